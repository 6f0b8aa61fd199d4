"""A sweep: templates x methods x learning rates x seeds as one run, with the poorer half dropped after every seed.

Every configuration is trained with the first seed; the better half goes on to the next one, and so on (successive halving, Karnin et al.
2013, with seeds as the resource). So a configuration that is lost costs one training, and the winner's figure is a mean over all seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from workbench.errors import RecipeError
from workbench.prompts.template import parse_template
from workbench.recipe import Recipe
from workbench.runs.cluster import Training, refuse_without_ray, train_side_by_side
from workbench.runs.jobs import JobOptions, register_job

if TYPE_CHECKING:
    from workbench.runs.job import Job

COLUMNS = ["method", "template", "learning_rate", "accuracy", "macro_f1", "loss", "seeds", "seconds"]
METRICS = ("accuracy", "macro_f1", "loss")


class SweepOptions(JobOptions):
    """`job: {kind: sweep, methods: [lora, full], learning_rates: [1.0e-3, 1.0e-4], seeds: 3}`; what is left out stays the recipe's."""

    templates: list[str] = Field(default_factory=list, description="Each is tried by itself; empty takes the recipe's.")
    methods: list[str | dict[str, Any]] = Field(default_factory=list, description="Names, or mappings of a name and its options.")
    learning_rates: list[float] = Field(default_factory=list, description="Peak rates; empty takes the recipe's.")
    seeds: int = Field(1, ge=1, le=100, description="training.seed and the ones after it, for drawing the rows too.")
    engine: Literal["queue", "ray"] = Field("queue", description="One training after the other, or side by side through Ray.")
    prune: bool = Field(True, description="Drop the poorer half of the configurations after every seed.")


@dataclass
class _Configuration:
    """One point of the grid and what its seeds gave. `number` is its place in the grid, which names its cells."""

    number: int
    recipe: Recipe
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rank(self) -> tuple[float, float]:
        """Mean accuracy, ties by loss; larger is better."""
        return mean(r["metrics"]["accuracy"] for r in self.results), -mean(r["metrics"]["loss"] for r in self.results)

    def row(self) -> list[Any]:
        figures = [mean(result["metrics"][name] for result in self.results) for name in METRICS]
        seconds = round(sum(result["seconds"] for result in self.results), 2)
        name, template = str(self.recipe.method["name"]), self.recipe.prompt.templates[0]
        return [name, template, self.recipe.training.learning_rate, *figures, len(self.results), seconds]


def check_sweep(recipe: Recipe, options: SweepOptions) -> None:
    """Refuses, before anything is trained, a configuration that could not be.

    Raises:
        WorkbenchError: an unknown method or option, a template that does not parse, no validation rows to compare by.
    """
    from workbench.methods import check_method

    if options.engine == "ray":
        refuse_without_ray()
    if recipe.task != "classification":
        raise RecipeError("A sweep ranks configurations by accuracy, so it needs a classification task.", fix="Set task to classification.")
    for configuration in grid(recipe, options):
        check_method(configuration.recipe.method)
        parse_template(configuration.recipe.prompt.templates[0])
    if recipe.data.split.validation == 0 and recipe.data.validation is None:
        raise RecipeError("A sweep compares by validation rows, and there are none.", fix="Set data.split.validation.")


@register_job("sweep", SweepOptions, check_sweep)
def sweep(job: Job) -> dict[str, Any]:
    """Each training is a cell; the answer lists every configuration, the best first."""
    options: SweepOptions = job.options
    everything = running = grid(job.recipe, options)
    job.plan(_trainings(len(running), options))
    for place in range(options.seeds):
        seed = job.recipe.training.seed + place
        changes = {"training.seed": seed, "data.split.seed": job.recipe.data.split.seed + place, "job": None, "pet": None}
        recipes = [configuration.recipe.replace(changes) for configuration in running]
        trainings = [
            Training(f"{configuration.number}-seed-{seed}", recipe, text=f"{recipe.method['name']}, seed {seed}")
            for configuration, recipe in zip(running, recipes, strict=True)
        ]
        for configuration, result in zip(running, _train(job, trainings), strict=True):
            configuration.results.append(result)
        running = sorted(running, key=lambda configuration: configuration.rank, reverse=True)
        if options.prune and place + 1 < options.seeds:
            running = running[: -(-len(running) // 2)]
    everything = sorted(everything, key=lambda configuration: (len(configuration.results), configuration.rank), reverse=True)
    best = everything[0]
    metrics = dict(zip(METRICS, best.row()[3:6], strict=True))
    table = {"columns": COLUMNS, "rows": [configuration.row() for configuration in everything]}
    return {"metrics": metrics, "table": table, "best": best.recipe.replace({"job": None}).model_dump(mode="json")}


def _train(job: Job, trainings: list[Training]) -> list[dict[str, Any]]:
    if job.options.engine == "ray":
        return train_side_by_side(job, trainings)
    return [job.train(training.name, training.recipe, text=training.text) for training in trainings]


def grid(recipe: Recipe, options: SweepOptions) -> list[_Configuration]:
    """Every combination, in a fixed order."""
    methods = [{"name": method} if isinstance(method, str) else method for method in options.methods] or [recipe.method]
    rates: list[float | str] = [*options.learning_rates] or [recipe.training.learning_rate]
    combinations = [
        {"prompt.templates": [template], "method": method, "training.learning_rate": rate}
        for template in options.templates or recipe.prompt.templates
        for method in methods
        for rate in rates
    ]
    return [_Configuration(number, recipe.replace({"job": None, **changes})) for number, changes in enumerate(combinations)]


def _trainings(configurations: int, options: SweepOptions) -> int:
    total = 0
    for _ in range(options.seeds):
        total += configurations
        configurations = -(-configurations // 2) if options.prune else configurations
    return total
