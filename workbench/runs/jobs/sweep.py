"""A sweep: templates x methods x learning rates x seeds as one run, with the poorer half dropped after every seed.

Every configuration is trained with the first seed; the better half goes on to the next one, and so on (successive halving, Karnin et al.
2013, with seeds as the resource). So a configuration that is lost costs one training, and the winner's figure is a mean over all seeds.
"""

from __future__ import annotations

import copy
import random
import re
import sys
from dataclasses import dataclass, field
from math import prod
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from workbench.errors import DiskError, ProcessLost, RecipeError, WorkbenchError
from workbench.prompts.template import parse_template
from workbench.recipe import MEASURED, Rate, Recipe
from workbench.runs.cluster import Training, refuse_without_ray, train_side_by_side
from workbench.runs.jobs import JobOptions, register_job

if TYPE_CHECKING:
    from workbench.runs.job import Job

MOST_CONFIGURATIONS = 500
VARIED = re.compile(r"(training|method|data\.split)\.\w+|prompt\.max_length")
# A sweep sets these itself, or has an option for them.
FIXED = ("training.seed", "data.split.seed", "method.name")
COLUMNS = ["method", "template", "learning_rate", "accuracy", "macro_f1", "loss", "seeds", "seconds"]
METRICS = MEASURED["classification"]


class SweepOptions(JobOptions):
    """`job: {kind: sweep, methods: [lora, full], learning_rates: [1.0e-3, 1.0e-4], seeds: 3}`; what is left out stays the recipe's."""

    templates: list[str] = Field(default_factory=list, description="Each is tried by itself; empty takes the recipe's.")
    methods: list[str | dict[str, Any]] = Field(default_factory=list, description="Names, or mappings of a name and its options.")
    learning_rates: list[Rate] = Field(default_factory=list, description="Peak rates; empty takes the recipe's.")
    seeds: int = Field(1, ge=1, le=100, description="training.seed and the ones after it, for drawing the rows too.")
    fields: dict[str, list[Any]] = Field(
        default_factory=dict, description="Other fields under training, method, data.split, and prompt.max_length -> values to try."
    )
    trials: int | None = Field(None, ge=1, description="Configurations tried at most, drawn from all by training.seed; null tries all.")
    engine: Literal["queue", "ray"] = Field("queue", description="One training after the other, or side by side through Ray.")
    prune: bool = Field(True, description="Drop the poorer half of the configurations after every seed.")


@dataclass
class _Configuration:
    """One point of the grid and what its seeds gave. `number` is its place in the grid, which names its cells."""

    number: int
    recipe: Recipe
    results: list[dict[str, Any]] = field(default_factory=list)
    refusal: WorkbenchError | None = None

    @property
    def rank(self) -> tuple[float, float]:
        """Mean accuracy, ties by loss; larger is better."""
        return mean(r["metrics"]["accuracy"] for r in self.results), -mean(r["metrics"]["loss"] for r in self.results)

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the seeds."""
        return {name: mean(result["metrics"][name] for result in self.results) for name in METRICS}

    def row(self, columns: list[str]) -> list[Any]:
        """What the columns ask for, which are `columns_of` the sweep."""
        content = self.recipe.model_dump()
        seconds = round(sum(result["seconds"] for result in self.results), 2)
        found = {
            "method": str(self.recipe.method["name"]), "template": self.recipe.prompt.templates[0],
            "learning_rate": self.recipe.training.learning_rate, **self.metrics, "seeds": len(self.results), "seconds": seconds,
        }  # fmt: skip
        return [found[name] if name in found else _at(content, name) for name in columns]


def check_sweep(recipe: Recipe, options: SweepOptions) -> None:
    """Refuses, before anything is trained, a configuration that could not be.

    Raises:
        WorkbenchError: an unknown method or option, a template that does not parse, no validation rows to compare by, nothing to compare.
    """
    from workbench.data.dataset import load_splits
    from workbench.methods import check_method, check_soft_tokens

    if options.engine == "ray":
        refuse_without_ray()
    if recipe.task != "classification":
        raise RecipeError("A sweep ranks configurations by accuracy, so it needs a classification task.", fix="Set task to classification.")
    if recipe.pet is not None:
        raise RecipeError("A sweep trains single models, and this recipe asks for PET.", fix="Set pet to null, or job to null.")
    for place, values in options.fields.items():
        if place in FIXED or not VARIED.fullmatch(place):
            fix = f"Name a field of training, method or data.split, or prompt.max_length; not {', '.join(FIXED)}."
            raise RecipeError(f"A sweep cannot vary '{place}'.", fix=fix)
        if not values:
            raise RecipeError(f"The sweep has no values for '{place}'.", fix="List at least one.")
    tries = [configuration.recipe for configuration in grid(recipe, options)]
    for tried in tries:
        check_method(tried.method)
        parse_template(tried.prompt.templates[0])
        check_soft_tokens(tried.method, tried.prompt.templates)
        if tried.data.split.validation == 0 and tried.data.validation is None:
            raise RecipeError("A sweep compares by validation rows, and there are none.", fix="Set data.split.validation.")
    if options.seeds == 1 and prod(map(len, _axes(recipe, options).values())) == 1:
        raise RecipeError("This sweep varies nothing.", fix="List several templates, methods, learning rates or values of a field.")
    for data in {tried.data.split.validation: tried.data for tried in tries}.values():
        if not len(load_splits(data).validation):
            fix = "Add rows: a class with a single one spares none. Or name a file of labelled rows in data.validation."
            raise RecipeError("A sweep compares by validation rows, and there are none.", fix=fix)


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
        for configuration, training, result in zip(running, trainings, _train(job, trainings), strict=True):
            if isinstance(result, WorkbenchError):
                configuration.refusal = result
                job.note(result.message)
                job.note(f"The sweep goes on without {training.text}.")
            else:
                configuration.results.append(result)
        running = [configuration for configuration in running if configuration.refusal is None]
        running = sorted(running, key=lambda configuration: configuration.rank, reverse=True)
        if options.prune and place + 1 < options.seeds:
            running = running[: -(-len(running) // 2)]
    first = next((configuration.refusal for configuration in everything if configuration.refusal), None)
    everything = [configuration for configuration in everything if configuration.results]
    if first and not everything:
        raise first
    everything = sorted(everything, key=lambda configuration: (len(configuration.results), configuration.rank), reverse=True)
    best = everything[0]
    columns = columns_of(options)
    table = {"columns": columns, "rows": [configuration.row(columns) for configuration in everything]}
    # Without the PET that no configuration was trained with.
    return {"metrics": best.metrics, "table": table, "best": best.recipe.replace({"job": None, "pet": None}).model_dump(mode="json")}


def columns_of(options: SweepOptions) -> list[str]:
    """What was varied, then what it came to."""
    place = COLUMNS.index("accuracy")
    return [*COLUMNS[:place], *(field for field in options.fields if field != "training.learning_rate"), *COLUMNS[place:]]


def _train(job: Job, trainings: list[Training]) -> list[dict[str, Any] | WorkbenchError]:
    """The result of each, or why it could not be had: a rate too large, a method that a model does not take."""
    if job.options.engine == "ray":
        return train_side_by_side(job, trainings)
    return [_result(job, training) for training in trainings]


def _result(job: Job, training: Training) -> dict[str, Any] | WorkbenchError:
    try:
        return job.train(training.name, training.recipe, text=training.text)
    except (ProcessLost, DiskError):
        raise  # nothing is wrong with the configuration
    except WorkbenchError as error:
        return error


def grid(recipe: Recipe, options: SweepOptions) -> list[_Configuration]:
    """Every combination in a fixed order, or as many of them as `trials` asks for, numbered by their place among all.

    Raises:
        RecipeError: a value that its field does not take, or more configurations than anybody waits for.
    """
    axes = _axes(recipe, options)
    size = prod(map(len, axes.values()))
    count = size if options.trials is None else min(options.trials, size)
    if count > MOST_CONFIGURATIONS:
        fix = f"Set job.trials to {MOST_CONFIGURATIONS} or less, or list fewer values."
        raise RecipeError(f"This sweep has {size} configurations.", fix=fix)
    numbers = range(size) if count == size else _drawn(size, count, random.Random(recipe.training.seed))
    return [_Configuration(number, recipe.replace({"job": None, **_point(axes, number)})) for number in numbers]


def _axes(recipe: Recipe, options: SweepOptions) -> dict[str, list[Any]]:
    """What is varied, and the values of each; what is left out has the recipe's own."""
    methods = [{"name": method} if isinstance(method, str) else method for method in options.methods] or [recipe.method]
    prompt = recipe.prompt
    listed = [prompt.model_copy(update={"templates": [template], "template_words": None}) for template in options.templates]
    prompts = listed or [prompt.alone(number) for number in range(len(prompt.templates))]
    return {
        "prompt": [prompt.model_dump() for prompt in prompts],
        "method": methods,
        "training.learning_rate": [*options.learning_rates] or [recipe.training.learning_rate],
        **options.fields,
    }


def _drawn(size: int, count: int, draw: random.Random) -> list[int]:
    """As many different places of a grid."""
    if size <= sys.maxsize:
        return sorted(draw.sample(range(size), count))
    found: set[int] = set()  # no sequence has such a length
    while len(found) < count:
        found.add(draw.randrange(size))
    return sorted(found)


def _point(axes: dict[str, list[Any]], number: int) -> dict[str, Any]:
    """The combination at this place: the last axis turns fastest."""
    point = {}
    for name, values in reversed(axes.items()):
        number, place = divmod(number, len(values))
        point[name] = copy.deepcopy(values[place])  # `method.r` is set inside of a `method` that other combinations share
    return dict(reversed(point.items()))


def _at(content: Any, place: str) -> Any:
    for name in place.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _trainings(configurations: int, options: SweepOptions) -> int:
    total = 0
    for _ in range(options.seeds):
        total += configurations
        configurations = -(-configurations // 2) if options.prune else configurations
    return total
