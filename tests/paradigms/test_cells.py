"""A cell of the board that cannot be done says so; one whose process is lost is no finding about the cell."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.errors import ProcessLost, TrainingError
from workbench.paradigms import cells
from workbench.training.control import Control


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception) -> dict[str, Any] | None:
    def fit(*_: Any) -> None:
        raise error

    monkeypatch.setattr(cells, "find_paradigm", lambda name: SimpleNamespace(fit=fit, warm=lambda *_: None))
    cell = cells.Cell(paradigm="prompting", method="lora", shots=8, seed=0)
    return cells.run_cell(cell, SimpleNamespace(), [], folder, Control(), SimpleNamespace())


def test_a_refusal_is_the_cells_and_a_lost_process_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path, TrainingError("No.", fix="Yes."))["refused"] == {"message": "No.", "fix": "Yes."}
    with pytest.raises(ProcessLost):
        run(monkeypatch, tmp_path, ProcessLost("Gone."))
