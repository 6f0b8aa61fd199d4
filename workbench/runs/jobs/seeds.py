"""The same recipe with several seeds on one set of held-out rows: means and spreads instead of one lucky number."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workbench.errors import DataError, RecipeError
from workbench.recipe import MEASURED, Recipe
from workbench.runs.jobs import JobOptions, register_job

if TYPE_CHECKING:
    from workbench.runs.job import Job

COLUMNS = ["what", "template", "accuracy", "accuracy_std", "macro_f1", "macro_f1_std", "loss", "seeds"]
METRICS = MEASURED["classification"]


class SeedsOptions(JobOptions):
    """`job: {kind: seeds, seeds: 5}` beside a recipe that trains or has a `pet` part."""

    seeds: int = Field(5, ge=1, le=100, description="How often; seeds training.seed and the ones after it, for rows and training alike.")
    held_out: int = Field(1000, ge=2, description="Rows of the training file that no seed ever trains on, and that measure all of them.")
    held_out_seed: int = Field(13, ge=0, description="Seed that chooses the held-out rows.")


def check_seeds(recipe: Recipe, options: SeedsOptions) -> None:
    """Refuses what has no accuracy to take the mean of, and what cannot be trained."""
    from workbench.methods import check_soft_tokens

    if recipe.task != "classification":
        raise RecipeError(
            "Several seeds are measured by accuracy, so they need a classification task.", fix="Set job to null, or task to classification."
        )
    check_soft_tokens(recipe.method, recipe.prompt.templates)


@register_job("seeds", SeedsOptions, check_seeds)
def seeds(job: Job) -> dict[str, Any]:
    """Each seed is a cell; the answer has a line for every line of theirs."""
    first, rows = job.recipe.training.seed, Rows(job)
    job.plan(job.options.seeds)
    numbers = range(first, first + job.options.seeds)
    found = [job.run(f"seed-{seed}", rows.recipe(seed), rows.measured, text=f"seed {seed}")["lines"] for seed in numbers]
    lines = [_line(list(same)) for same in zip(*found, strict=True)]
    last = dict(zip(COLUMNS, lines[-1], strict=True))
    return {"metrics": {name: last[name] for name in METRICS}, "table": {"columns": COLUMNS, "rows": lines}, "held_out": rows.count}


class Rows:
    """The files that all seeds share: the held-out rows and the others."""

    def __init__(self, job: Job) -> None:
        from workbench.data.dataset import load_splits
        from workbench.data.soft_labels import columns_of, write_labelled

        self.job = job
        split = {"shots": None, "validation": job.options.held_out, "seed": job.options.held_out_seed}
        data = job.recipe.data.model_copy(update={"split": job.recipe.data.split.model_copy(update=split), "validation": None})
        splits = load_splits(data)
        folder = job.folder / "rows"
        folder.mkdir(exist_ok=True)
        self.count = len(splits.validation)
        if not self.count:
            raise DataError("No rows can be held out to measure the seeds by.", fix="Add rows: a class with a single one spares none.")
        self.labels = splits.labels
        self.files = {"train": folder / "train.jsonl", "held_out": folder / "held_out.jsonl"}
        write_labelled(self.files["train"], splits.train.examples)
        write_labelled(self.files["held_out"], splits.validation.examples)
        if splits.unlabeled is not None:
            self.files["unlabeled"] = folder / "unlabeled.jsonl"
            write_labelled(self.files["unlabeled"], splits.unlabeled.examples)
        self.columns = columns_of(job.recipe.fields)

    def recipe(self, seed: int) -> Recipe:
        """The recipe of one seed. A PET run measures the held-out rows itself, since it trains without looking at validation rows; a
        training chooses its best step on validation rows of its own and is measured afterwards."""
        changes: dict[str, Any] = {
            "job": None,
            "data.train": str(self.files["train"]),
            "data.validation": None,
            "data.unlabeled": str(self.files["unlabeled"]) if "unlabeled" in self.files else None,
            "data.columns": self.columns,
            "data.only": {},
            "data.encoding": "auto",
            "data.soft_labels": None,
            "data.split.seed": seed,
            "training.seed": seed,
        }
        if self.job.recipe.pet is not None:
            changes["data.validation"] = str(self.files["held_out"])
        return self.job.recipe.replace(changes)

    def measured(self, folder: Path, result: dict[str, Any]) -> dict[str, Any]:
        """The seed's lines: a PET run's report, or the held-out figures of a training."""
        if "table" in result:
            names = result["table"]["columns"]
            return {"lines": [dict(zip(names, row, strict=True)) for row in result["table"]["rows"]]}
        return {"lines": [{"what": "trained", "template": None, **self._figures(folder, result)}]}

    def _figures(self, folder: Path, result: dict[str, Any]) -> dict[str, float]:
        from workbench.runs.answers import tuned_predictor
        from workbench.runs.files import evaluate_file

        recipe = self.recipe(0)
        tuned = tuned_predictor(self.job.pool, recipe, self.labels, folder / "final")
        tuned.pace.between = self.job.between
        metrics = evaluate_file(tuned, self.files["held_out"])["metrics"]
        return {name: metrics[name] for name in METRICS}


def _line(same: list[dict[str, Any]]) -> list[Any]:
    means = {name: mean(line[name] for line in same) for name in METRICS}
    spreads = {f"{name}_std": stdev(line[name] for line in same) if len(same) > 1 else None for name in METRICS}
    found = {**same[0], **means, **spreads, "seeds": len(same)}
    return [found[name] for name in COLUMNS]
