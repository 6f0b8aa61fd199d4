"""The page's queue under a launcher: a run in two processes, one of which is killed; and a launcher that is not there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.training.small_run import losses, make_recipe
from workbench.errors import SettingsError
from workbench.runs.isolation import Isolation
from workbench.runs.service import RunService
from workbench.settings import Settings

LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def step_of(service: RunService, run_id: str, least: int) -> None:
    end = time.monotonic() + 120
    while service.read(run_id).step < least:
        assert service.read(run_id).status in ("queued", "running") and time.monotonic() < end
        time.sleep(0.05)


def launched() -> list[psutil.Process]:
    """The launcher and the processes of a run; other tests' helpers may live on beside them."""
    children = psutil.Process().children(recursive=True)
    return [process for process in children if "RANK" in process.environ() or "torch.distributed.run" in process.cmdline()]


@pytest.mark.slow
def test_killed_in_one_process_it_is_interrupted_and_goes_on_in_two(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "files", {"training.epochs": 60, "method": {"name": "lora", "r": 4, "dropout": 0.0}})
    service = RunService(tmp_path / "root", isolation=Isolation.under(LAUNCHER))
    try:
        run_id = service.submit(recipe)
        step_of(service, run_id, 12)
        next(process for process in launched() if process.environ().get("RANK") == "1").kill()
        assert service.wait(run_id, 60).status == "interrupted"
        assert service.read(run_id).error["message"].startswith("A process of this run has ended")
        service.resume(run_id)
        step_of(service, run_id, 60)
        service.pause(run_id)
        service.resume(run_id)
        assert service.wait(run_id, 120).status == "finished"
        view = service.read(run_id)
        assert "2 processes share every batch" in view.log.last("plan")["notes"][-1]
        assert [step for step, _ in losses(service.store.folder(run_id))] == list(range(1, view.total_steps + 1))
        assert not launched()
    finally:
        service.close()


def test_a_launcher_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="--launch srunn is not a program"):
        Settings(launch=("srunn", "-n", "2"))
