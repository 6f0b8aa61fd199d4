"""What the tests of runs share."""

import time

import pytest

from workbench.runs.service import RunService
from workbench.training.trainer import Trainer


@pytest.fixture
def service(tmp_path):
    """A service over a data root of its own."""
    service = RunService(tmp_path / "root")
    yield service
    service.close()


@pytest.fixture
def nothing_starts(monkeypatch):
    """Runs stay in the queue."""
    monkeypatch.setattr(RunService, "_start_worker", lambda self: None)


@pytest.fixture
def held_at(monkeypatch):
    """`held_at(step)`: trainings in this process wait behind that step until they are to pause or stop, however late somebody asks."""

    def hold(step):
        take = Trainer._step

        def held(self):
            while self.progress.step == step and self.control.state == "running":
                time.sleep(0.005)
            take(self)

        monkeypatch.setattr(Trainer, "_step", held)

    return hold
