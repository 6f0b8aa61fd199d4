"""Rows 22 and 25: runs in processes of their own that are killed, that hang, that are stopped; and what they answer otherwise."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Whole
from workbench.runs import isolation
from workbench.runs.isolation import Isolation
from workbench.runs.service import RunService

HANGS = (sys.executable, "-m", "tests.faults.hanging_child")
SLOW = (sys.executable, "-m", "tests.faults.slow_child")


def until(condition, seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


before: list[int] = []


def children() -> list[int]:
    """Ids of this process's children that are alive, beside those that earlier tests left (resource trackers)."""
    alive = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()] + [
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        if task.name != str(os.getpid())
        for pid in (task / "children").read_text().split()
    ]
    return [child for child in alive if child not in before]


@pytest.fixture(autouse=True)
def _children_before() -> None:
    before.clear()
    before.extend(children())


def test_killed_by_the_kernel_then_resumed_it_ends_like_any_other(whole: Whole, tmp_path: Path, monkeypatch) -> None:
    service = RunService(tmp_path / "root", isolation=Isolation())
    long = whole.recipe.replace({"training.epochs": 400, "name": "long"})
    run_id = service.submit(long)
    until(lambda: service.read(run_id).step >= 3)
    kills = isolation.out_of_memory_kills()
    monkeypatch.setattr(isolation, "out_of_memory_kills", lambda: kills + 1)  # what /proc/vmstat says after the kernel's kill
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    assert service.wait(run_id, 120).status == "failed"
    assert service.read(run_id).error["message"] == "The run was killed: out of memory."
    assert "batch_size" in service.read(run_id).error["fix"] and children() == []
    monkeypatch.undo()
    service.resume(run_id)
    until(lambda: service.read(run_id).status == "running" and service.read(run_id).events[-1]["kind"] == "train")
    service.pause(run_id)
    until(lambda: any(e.get("status") == "paused" for e in service.read(run_id).events))
    service.resume(run_id)
    service.stop(run_id)
    assert service.wait(run_id, 100).status == "stopped"
    second = service.submit(whole.recipe)
    assert service.wait(second, 400).status == "finished" and whole.equals(service.store.folder(second))
    assert service.result(second)["steps"] == whole.result["steps"]
    service.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_hung_step_is_ended_and_the_next_run_works(whole: Whole, tmp_path: Path, stopped: bool) -> None:
    """Without a stop after `silent_seconds`, with one after `stop_seconds`; the workbench itself answers all the while."""
    limits = Isolation(silent_seconds=600 if stopped else 12, stop_seconds=3, command=HANGS)
    service = RunService(tmp_path / "root", isolation=limits)
    run_id = service.submit(whole.recipe)
    until((service.store.folder(run_id) / "hangs").exists)
    if stopped:
        service.stop(run_id)
    assert service.wait(run_id, 100).status == "failed" and children() == []
    assert service.read(run_id).error["message"] == f"The run was unresponsive for {3 if stopped else 12} seconds and was ended."
    service._isolation = None
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished" and whole.equals(service.store.folder(run_id))
    service.close()


def test_a_slow_evaluation_is_not_taken_for_a_hung_one_and_stops_soon(whole: Whole, tmp_path: Path) -> None:
    """An evaluation takes longer here than a child may be silent, and than it may take to stop."""
    service = RunService(tmp_path / "root", isolation=Isolation(silent_seconds=4, stop_seconds=4, command=SLOW))
    recipe = whole.recipe.replace({"training.epochs": 1, "training.batch_tokens": 64, "prompt.max_length": 32})
    run_id = service.submit(recipe)

    def reached(step: int) -> bool:
        view = service.read(run_id)
        return view.error is not None or bool(view.log.of("evaluation") if step == 0 else view.log.last("train").get("step") == step)

    until(lambda: reached(0))
    steps = int(service.read(run_id).log.last("plan")["total_steps"])
    until(lambda: reached(steps))
    assert service.read(run_id).error is None
    service.stop(run_id)
    assert service.wait(run_id, 120).status == "stopped", "one that had not ended in time would have been killed, and have failed"
    assert [event["step"] for event in service.read(run_id).log.of("evaluation")] == [0]
    service.close()


def test_a_mistake_and_the_death_of_the_server_reach_the_child(whole: Whole, tmp_path: Path) -> None:
    service = RunService(tmp_path / "root", isolation=Isolation())
    recipe = whole.recipe.replace({"training.precision": "float16"})
    run_id = service.submit(recipe)
    assert service.wait(run_id, 400).status == "failed"
    assert service.read(run_id).error["message"] == "Training in float16 needs a CUDA device."
    service.close()
    assert children() == []
