"""P11: both sides take the same steps, and the row says what a processor can say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.bench import processes
from workbench.bench.comparison import Scale


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = processes.make_still_recipe
    monkeypatch.setattr(processes, "make_still_recipe", lambda folder, rows, layers, hidden, device: small(folder, 32, 1, 64, device))
    speed, losses = processes.two_processes(Scale(True, 1, tmp_path))
    assert speed.value > 0 and speed.wanted is None and "not what two devices give" in speed.note
    assert losses.met and losses.value <= 1e-6
