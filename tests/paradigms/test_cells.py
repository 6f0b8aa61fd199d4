"""A cell of the board that cannot be done says so; one whose process is lost is no finding about the cell."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.errors import ProcessLost, TrainingError
from workbench.paradigms import cells
from workbench.recipe import load_recipe
from workbench.training.control import Control


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception) -> dict[str, Any] | None:
    def fit(*_: Any) -> None:
        raise error

    monkeypatch.setattr(cells, "find_paradigm", lambda name: SimpleNamespace(fit=fit, warm=lambda *_: None))
    cell = cells.Cell(paradigm="prompting", method="lora", shots=8, seed=0)
    return cells.run_cell(cell, SimpleNamespace(), [], folder, Control(), SimpleNamespace())


@pytest.mark.parametrize(
    ("template", "asked"),
    [("{text} It was [MASK] .", "{text} It was [MASK]"), ("{text} so [MASK]", "{text} so [MASK]"), ("[MASK] . {text}", "[MASK] . {text}")],
)
def test_a_further_model_that_reads_from_left_to_right_is_asked_up_to_the_mask(tmp_path: Path, template: str, asked: str) -> None:
    recipe = load_recipe("en-board").replace({"prompt.templates": [template]})
    models = {"tiny-qwen": "embedded:tiny-qwen", "tiny-zh": "embedded:tiny-zh"}
    plan = cells.Plan((0,), (13,), {"prompting": ("zero_shot",)}, 10, 10, 10, 1.0, 1.0, 1, models)
    rows = {"validation": 2, "per_class": {"positive": 4, "negative": 4}}
    tasks = {cell.model: cells.task_of(cell, recipe, plan, tmp_path, rows) for cell in plan.cells()}
    assert tasks["tiny-qwen"].recipe.prompt.templates == [asked] and bool(tasks["tiny-qwen"].notes) == (asked != template)
    for name in ("", "tiny-zh"):
        assert tasks[name].recipe.prompt.templates == [template] and not tasks[name].notes


def test_a_refusal_is_the_cells_and_a_lost_process_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path, TrainingError("No.", fix="Yes."))["refused"] == {"message": "No.", "fix": "Yes."}
    with pytest.raises(ProcessLost):
        run(monkeypatch, tmp_path, ProcessLost("Gone."))
