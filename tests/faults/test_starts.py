"""Rows 4, 13, 14, 18 to 21, 64: starting once, stopping, a finished run, a second server, a port that is taken."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time

import pytest

import app
from tests.faults.conftest import Whole
from workbench.errors import RunError, SettingsError
from workbench.recipe import PROJECT
from workbench.runs.service import RunService


@pytest.fixture
def service(tmp_path):
    service = RunService(tmp_path / "root")
    yield service
    service.close()


def until(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def at_once(count: int, work) -> list:
    """What `count` threads that start together got: results, or the WorkbenchErrors they met."""
    gate, got = threading.Barrier(count), []

    def one() -> None:
        gate.wait()
        try:
            got.append(work())
        except RunError as error:
            got.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_twenty_starts_at_once_make_one_run_and_nineteen_polite_refusals(service, whole: Whole) -> None:
    recipe = whole.recipe.replace({"training.epochs": 500})
    got = at_once(20, lambda: service.submit(recipe, alone=True))
    runs = [answer for answer in got if isinstance(answer, str)]
    assert len(runs) == 1 and len(got) == 20 and len(service.runs()) == 1
    assert {error.message for error in got if isinstance(error, RunError)} == {f"This recipe is being trained already, as run {runs[0]}."}
    service.stop(runs[0])
    service.wait(runs[0], 120)
    assert isinstance(service.submit(recipe, alone=True), str)


def test_a_replayed_key_returns_the_run_in_this_process_and_in_the_next(whole: Whole, tmp_path) -> None:
    service = RunService(tmp_path / "root")
    for repeat in range(25):
        assert len(set(at_once(20, lambda repeat=repeat: service.submit(whole.recipe, key=f"click {repeat}")))) == 1
    first = service.store.with_key("click 0")
    assert len(service.runs()) == 25
    service.close()
    service = RunService(tmp_path / "root", adopt_queue=False)
    assert service.submit(whole.recipe, key="click 0") == first and len(service.runs()) == 25
    service.close()


def test_a_finished_run_is_resumed_to_nothing(service, whole: Whole) -> None:
    run_id = service.submit(whole.recipe)
    service.wait(run_id, 60)
    events = (service.store.folder(run_id) / "events.jsonl").read_bytes()
    for _ in range(3):
        service.resume(run_id)
    assert service.wait(run_id, 5).status == "finished"
    assert (service.store.folder(run_id) / "events.jsonl").read_bytes() == events and whole.equals(service.store.folder(run_id))


@pytest.mark.parametrize("seed", range(3))
def test_stopped_at_a_random_moment_ten_times_over_it_is_one_stop_and_can_go_on(service, whole: Whole, seed: int) -> None:
    chance = random.Random(seed)
    run_id = service.submit(whole.recipe.replace({"training.epochs": 2}))
    time.sleep(chance.uniform(0, 1.0))
    at_once(10, lambda: service.stop(run_id))
    summary = service.wait(run_id, 120)
    assert summary.status in ("stopped", "finished")
    stops = [e for e in service.read(run_id).events if e["kind"] == "status" and e["status"] == "stopped"]
    assert len(stops) == (summary.status == "stopped" and bool(service.read(run_id).events))
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished" and whole.equals(service.store.folder(run_id))


def test_a_pause_holds_survives_a_kill_and_loses_nothing(whole: Whole, tmp_path) -> None:
    """What a pause leaves on the disk is a checkpoint of that very step, so hours later, or after a power cut, it goes on from there."""
    service = RunService(tmp_path / "root")
    run_id = service.submit(whole.recipe.replace({"training.epochs": 2}))
    until(lambda: service.read(run_id).step >= 1)
    service.pause(run_id)
    until(lambda: any(e.get("status") == "paused" for e in service.read(run_id).events) or service.read(run_id).status == "finished")
    step = service.read(run_id).step
    service.close()
    service = RunService(tmp_path / "root")
    assert service.read(run_id).status == "interrupted" or step == 8
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished" and whole.equals(service.store.folder(run_id))
    service.close()


def test_a_second_process_on_the_same_root_refuses_in_a_sentence(service, whole: Whole, tmp_path) -> None:
    (tmp_path / "recipe.yaml").write_text(whole.recipe.to_yaml(), encoding="utf-8")
    before = sorted((service.root).rglob("*"))
    command = [sys.executable, "-m", "workbench", "train", str(tmp_path / "recipe.yaml"), "--runs", str(service.root)]
    second = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert second.returncode == 2 and f"process {os.getpid()}" in second.stderr and "Traceback" not in second.stderr
    assert sorted((service.root).rglob("*")) == before


def test_a_taken_port_is_refused_when_asked_for_and_passed_over_when_not() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Port {port} .* is taken"):
            app.listen("127.0.0.1", port)
        command = [sys.executable, "app.py", "--no-browser", "--port", str(port)]
        second = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert second.returncode == 2 and "is taken" in second.stderr and "Traceback" not in second.stderr
    with app.listen("127.0.0.1", None) as first, app.listen("127.0.0.1", None) as next_free:
        assert first.getsockname()[1] != next_free.getsockname()[1]
