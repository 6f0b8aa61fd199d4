"""Rows 26 and 27: memory that runs out while loading, in a step, an evaluation, a save, at the end; row 28 in the long command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Whole
from tests.faults.memory import PLACES, fail_then_succeed, models_alive, out_of_memory, resident_after_each
from workbench.runs.service import RunService
from workbench.training.folder import damage


@pytest.mark.parametrize("place", PLACES)
def test_it_is_said_with_what_to_lower_and_the_next_run_succeeds(whole: Whole, tmp_path: Path, place: str) -> None:
    error, first, second = fail_then_succeed(tmp_path / "root", whole.recipe.replace({"training.epochs": 4}), place)
    assert (first, second) == ("failed", "finished")
    assert "memory" in error["message"] and error["error_id"] is None and "CUDA" not in error["message"]
    assert "batch_size" in error["fix"] or "quantization" in error["fix"]


@pytest.mark.parametrize("place", ["saving", "finishing"])
def test_weights_are_safe_when_it_happens_at_the_end(whole: Whole, tmp_path: Path, place: str) -> None:
    service = RunService(tmp_path / "root")
    with pytest.MonkeyPatch.context() as patch:
        out_of_memory(patch, place)
        run_id = service.submit(whole.recipe)
        service.wait(run_id, 60)
    assert damage(service.tuned_folder(run_id)) is None and service.predictor(run_id).predict([{"text": "w10"}])
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished" and whole.equals(service.store.folder(run_id))
    service.close()


def test_runs_leave_no_model_behind(whole: Whole, tmp_path: Path) -> None:
    """A fast look at row 28. A model this small is nothing beside what a process takes, so models are counted; the long command
    weighs what fifty runs leave."""
    alive: list[int] = []
    sizes = resident_after_each(4, tmp_path / "root", whole.recipe, lambda line: alive.append(models_alive()))
    assert 0 < alive[1] == alive[2] == alive[3] and max(sizes[2:]) < 1.1 * sizes[1]
