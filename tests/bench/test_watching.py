"""P6 and P8: both sides of the comparison take the same steps, and the rate is one of real products."""

from __future__ import annotations

from pathlib import Path

from workbench.bench.arithmetic import matrix_rate
from workbench.bench.watching import bare, make_recipe, watched
from workbench.runs.service import RunService


def test_the_bare_side_takes_the_steps_of_the_watched_one(tmp_path: Path, monkeypatch) -> None:
    recipe = make_recipe(tmp_path, 32, 1, 64)
    from workbench.training.stepper import Stepper

    losses: list[float] = []
    real = Stepper.step

    def step(self, number, total):
        figures = real(self, number, total)
        losses.append(figures.loss)
        return figures

    monkeypatch.setattr(Stepper, "step", step)
    service = RunService(tmp_path / "runs")
    watched(service, recipe)
    assert [run.status for run in service.runs()] == ["finished"]
    service.close()
    bare(recipe, tmp_path / "bare")
    assert len(losses) == 4 and losses[:2] == losses[2:]


def test_the_matrix_rate_is_a_plausible_one() -> None:
    assert 1e8 < matrix_rate(64, seconds=0.05) < 1e13
