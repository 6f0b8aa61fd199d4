"""The six steps above the tabs: what the recipe says at each, and whether it can be worked with as it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.access import check_model_path
from workbench.data.table import Table
from workbench.errors import DataError, ModelError, WorkbenchError
from workbench.methods import check_method, check_soft_tokens
from workbench.prompts.template import parse_template
from workbench.prompts.verbalizers import check_verbalizer
from workbench.recipe import Recipe
from workbench.runs.record import UNFINISHED
from workbench.ui.markup import esc, percent
from workbench.ui.rows import training_table, whole_table
from workbench.ui.session import ready
from workbench.ui.text import Words

State = Literal["done", "wrong", "busy", "open"]
MARKS: dict[State, str] = {"done": "\u2713", "wrong": "!", "busy": "\u2026", "open": ""}


@dataclass(frozen=True)
class Step:
    """One step: the tab it leads to, what stands there in a few words, and for what is wrong a sentence."""

    tab: str
    value: str
    state: State
    problem: str = ""


def recipe_steps(recipe: Recipe, t: Words) -> list[Step]:
    """Model, data, prompt and method; nothing is loaded, files are read once per version."""
    shots = recipe.data.split.shots
    rows = t("summary.shots", shots=shots) if shots is not None else t("summary.all_rows")
    prompts = recipe.prompt.templates
    prompt = prompts[0] if len(prompts) == 1 else t("summary.templates", first=prompts[0], more=len(prompts) - 1)
    name = str(recipe.method.get("name", ""))
    method = t.get(f"methods.{name}.title", name)
    data = f"{recipe.data.train.rsplit('/', 1)[-1]} \u00b7 {rows}"
    checks: list[tuple[str, str, Callable[[Recipe], object]]] = [
        ("model", recipe.model.path, _model), ("data", data, _data), ("prompt", prompt, _prompt),
        ("method", method, _method),
    ]  # fmt: skip
    return [_checked(tab, value, recipe, check) for tab, value, check in checks]


def run_steps(name: str, status: str | None, metrics: dict[str, Any], t: Words) -> list[Step]:
    """Train and Try it, by the run in view; `status` is None before there is one."""
    if status is None:
        return [Step("train", t("steps.not_yet"), "open"), Step("try_it", t("steps.not_yet"), "open")]
    accuracy = metrics.get("accuracy")
    figure = f" \u00b7 {percent(accuracy)}" if accuracy is not None else ""
    state: State = "busy" if status in UNFINISHED else "done" if status == "finished" else "wrong" if status == "failed" else "open"
    done = status == "finished"
    return [
        Step("train", f"{t(f'status.{status}')}{figure}", state),
        Step("try_it", name if done else t("steps.not_yet"), "done" if done else "open"),
    ]


def steps_html(steps: list[Step], t: Words) -> str:
    """Buttons that lead to the tabs; a click is heard by the page's script."""
    return f'<nav class="pw-steps" aria-label="{esc(t("steps.label"))}">{"".join(_step(step, t) for step in steps)}</nav>'


def _step(step: Step, t: Words) -> str:
    said = t("steps.said", step=t(f"steps.{step.tab}"), value=step.value, state=t(f"steps.state_{step.state}"))
    title = t.said(step.problem) or step.value
    return (
        f'<button type="button" class="pw-step pw-step-{step.state}" data-step="{step.tab}" title="{esc(title)}" aria-label="{esc(said)}">'
        f'<span class="pw-step-mark" aria-hidden="true">{MARKS[step.state]}</span>'
        f'<span class="pw-step-name">{esc(t(f"steps.{step.tab}"))}</span><span class="pw-step-value">{esc(step.value)}</span></button>'
    )


def _checked(tab: str, value: str, recipe: Recipe, check: Callable[[Recipe], object]) -> Step:
    try:
        check(recipe)
    except WorkbenchError as error:
        return Step(tab, value, "wrong", f"{error.message} {error.fix}".strip())
    return Step(tab, value, "done")


def _model(recipe: Recipe) -> None:
    path = recipe.model.path
    if not path.startswith(("/", ".", "~")):
        return
    check_model_path(path)
    if not Path(path).expanduser().exists():
        raise ModelError(f"There is no folder {path}.", fix="Choose another model.")


def _data(recipe: Recipe) -> None:
    recipe = ready(recipe.model_dump())
    data, wanted = recipe.data, dict(recipe.data.columns)
    _columns(training_table(recipe), wanted)
    for path, columns in ((data.validation, wanted), (data.unlabeled, {name: wanted[name] for name in wanted if name != "label"})):
        if path and (recipe.task == "classification" or path == data.validation):
            _columns(whole_table(path, encoding=data.encoding, strict=False), columns)


def _columns(file: Table, wanted: dict[str, str]) -> None:
    missing = sorted(set(wanted.values()) - set(file.columns))
    if missing:
        raise DataError(f"{file.name} has no column {missing[0]}.", fix="Choose the columns on the Data tab.")


def _method(recipe: Recipe) -> None:
    check_method(recipe.method)
    if recipe.task == "classification":
        check_soft_tokens(recipe.method, recipe.prompt.templates)


def _prompt(recipe: Recipe) -> None:
    if recipe.task == "generation":
        for source in recipe.prompt.templates:
            parse_template(source, needs_mask=False)
        return
    for number, source in enumerate(recipe.prompt.templates):
        parse_template(source, needs_mask=check_verbalizer(recipe.prompt.verbalizer_of(number)).needs_mask)
