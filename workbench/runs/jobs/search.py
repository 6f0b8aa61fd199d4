"""Search for templates or label words as a job: `job: {kind: search, what: template, how: trigger}`; the work is in `runs.search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from workbench.access import check_model_path
from workbench.errors import RecipeError
from workbench.recipe import Recipe
from workbench.runs.jobs import JobOptions, register_job

if TYPE_CHECKING:
    from workbench.runs.job import Job

WAYS = {"template": ("trigger", "generate"), "verbalizer": ("combinations", "greedy")}


class SearchOptions(JobOptions):
    """What is searched and how far."""

    what: Literal["template", "verbalizer"] = "template"
    how: Literal["trigger", "generate", "combinations", "greedy"] | None = Field(
        None, description="Templates: trigger or generate; label words: combinations or greedy. Null takes generate or combinations."
    )
    count: int = Field(10, ge=1, le=50, description="Candidates measured on the validation rows.")
    rows: int = Field(32, ge=2, le=1000, description="Training rows that the search looks at.")
    layout: str | None = Field(None, description="Where trigger tokens stand, such as '{text} [T] [MASK] .'; null is before the mask.")
    tokens: int = Field(3, ge=1, le=10, description="Trigger tokens.")
    steps: int = Field(20, ge=1, le=1000, description="Trigger steps per restart.")
    candidates: int = Field(8, ge=1, le=1000, description="Tokens tried at a trigger step, and words per label in a search for words.")
    restarts: int = Field(2, ge=1, le=20, description="Trigger searches from different starts.")
    beam: int = Field(8, ge=1, le=200, description="Texts kept at each step of generation.")
    longest: int = Field(3, ge=1, le=6, description="Most words before the mask in a template of the model's own fills.")
    generator: str | None = Field(None, description="Folder of a T5 that writes templates; null lets the recipe's model write them.")
    ranking: Literal["petal", "likely"] = Field(
        "petal", description="Candidate words: by PETAL's likelihood ratio, or the likeliest ones on a label's own rows (LM-BFF)."
    )
    words: int = Field(3, ge=1, le=10, description="Most words per label of a greedy search.")

    @property
    def way(self) -> str:
        """The way of searching, with the default filled in."""
        return self.how or {"template": "generate", "verbalizer": "combinations"}[self.what]


def check_search(recipe: Recipe, options: SearchOptions) -> None:
    """Refuses what cannot be searched, without loading the model."""
    if recipe.task != "classification":
        raise RecipeError("A search is measured by accuracy, so it needs a classification task.", fix="Set task to classification.")
    ways = WAYS[options.what]
    if options.way not in ways:
        raise RecipeError(f"A search for a {options.what} has no way '{options.way}'.", fix=f"Set job.how to one of: {', '.join(ways)}.")
    if recipe.prompt.verbalizer.get("kind", "manual") != "manual":
        raise RecipeError("A search needs label words.", fix="Set prompt.verbalizer.kind to manual.")
    if options.generator is not None:
        check_model_path(options.generator)
    if options.layout is not None and options.layout.count("[T]") != 1:
        raise RecipeError("job.layout has to hold [T] once.", fix="Write it like '{text} [T] [MASK] .'.")
    if recipe.data.split.shots == 0:
        raise RecipeError("A search needs training rows.", fix="Set data.split.shots to 1 or more.")


@register_job("search", SearchOptions, check_search)
def search(job: Job) -> dict[str, Any]:
    """Candidates from training rows, ranked on validation rows."""
    from workbench.runs.search import Search

    return Search(job).run()
