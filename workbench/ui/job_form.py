"""What Start does in the tab Train: one training, the same one with several seeds, or a sweep over values of some fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from workbench.errors import RecipeError
from workbench.methods import method_info, method_names
from workbench.options import chosen_fields
from workbench.recipe import Recipe
from workbench.runs.jobs import job_options
from workbench.runs.jobs.seeds import SeedsOptions
from workbench.runs.jobs.sweep import SweepOptions
from workbench.ui import forms
from workbench.ui.frame import Frame
from workbench.ui.text import Words

ONCE, SEEDS, SWEEP = "train", "seeds", "sweep"
ROWS = 3
RATE, METHOD, LENGTH = "training.learning_rate", "method", "prompt.max_length"
SEED_FIELDS = chosen_fields(SeedsOptions, ("seeds", "held_out"))
# gradio shows an empty number as 0 once its column comes into sight: 0 is what stands for all.
SWEEP_FIELDS = tuple(
    replace(field, default=0, minimum=0) if field.name == "trials" else field for field in chosen_fields(SweepOptions, ("trials", "seeds"))
)


def varied_choices(t: Words) -> list[tuple[str, str]]:
    """The fields that a sweep offers: nothing, what most people vary, and the numbers of the tuning methods."""
    options = [(name, field.name) for name in method_names() for field in method_info(name).fields if field.kind in ("int", "float")]
    owners = {option: [t(f"methods.{name}.title") for name, other in options if other == option] for _, option in options}
    return [
        ("\u2013", ""), (t("train.rate"), RATE), (t("jobs.words.method"), METHOD), (t("train.epochs"), "training.epochs"),
        (t("train.batch_size"), "training.batch_size"), (t("train.shots"), "data.split.shots"), (t("repeat.length"), LENGTH),
        *((t(f"training.any.fields.{name}.label"), f"training.{name}") for name in ("warmup", "weight_decay", "scheduler")),
        *((f"{option} \u00b7 {', '.join(titles)}", f"method.{option}") for option, titles in owners.items()),
    ]  # fmt: skip


def build_job(frame: Frame) -> list[Any]:
    """Lays the choice and its settings out and wires them; gives the controls that `fill` fills."""
    t = frame.t
    choices = [(t(f"repeat.{kind}"), kind) for kind in (ONCE, SEEDS, SWEEP)]
    said = forms.explained(t("repeat.help"), "", t(f"repeat.{ONCE}"), t)
    kind = gr.Dropdown(choices, value=ONCE, label=t("repeat.title"), info=said, elem_id="train-job")
    with gr.Column(visible=False, elem_id="train-seeds-settings") as repeated:
        seeds = [forms.control(field, SEEDS, t, "repeat", elem_id=f"{SEEDS}-{field.name.replace('_', '-')}") for field in SEED_FIELDS]
    with gr.Column(visible=False, elem_id="train-sweep-settings") as swept:
        rows = []
        for number in range(1, ROWS + 1):
            rows += [
                gr.Dropdown(
                    varied_choices(t), value="", label=t("repeat.field", number=number), info=t("repeat.field_help"),
                    elem_id=f"sweep-field-{number}",
                ),
                gr.Textbox(
                    label=t("repeat.values", number=number), info=t("repeat.values_help"), max_lines=1, elem_id=f"sweep-values-{number}"
                ),
            ]  # fmt: skip
        sweep = [forms.control(field, SWEEP, t, "repeat", elem_id=f"{SWEEP}-{field.name}") for field in SWEEP_FIELDS]
    controls, unseen = [*seeds, *rows, *sweep], gr.State({})

    def assign(recipe: Recipe, chosen: str | None, *values: Any) -> dict[str, Any]:
        if chosen == SWEEP:
            check_rows(values, t)
        changes = set_job(recipe, chosen, *values)
        job_options(recipe.replace(changes))  # a number out of bounds is said as it is typed
        return changes

    given = [kind, *controls, unseen]
    frame.edit(kind.input, lambda recipe, chosen, *values: assign(recipe, chosen, *possible(values)), given, "train_job")
    frame.on(kind.input, lambda chosen: [*shown(chosen), {}], [kind], [repeated, swept, unseen], "train_job_shown")
    for control in controls:
        frame.edit(control.input, assign, given, f"train_job_{control.elem_id}".replace("-", "_"))
    return [kind, repeated, swept, *controls, unseen]


def possible(values: Sequence[Any]) -> list[Any]:
    """What stands in the form, the default for a number out of bounds: it was refused as it was typed, and must not hold the choice."""
    swept = len(SEED_FIELDS) + 2 * ROWS
    found = list(values)
    for place, field in [*enumerate(SEED_FIELDS), *enumerate(SWEEP_FIELDS, swept)]:
        least, most = field.minimum, field.maximum
        if found[place] is not None and ((least is not None and found[place] < least) or (most is not None and found[place] > most)):
            found[place] = field.default
    return found


def check_rows(values: Sequence[Any], t: Words) -> None:
    """Raises RecipeError where two rows of the sweep vary the same field: only one of them could count."""
    filled = [field for field, text in _rows(values) if field and typed(text)]
    twice = next((field for field in filled if filled.count(field) > 1), None)
    if twice:
        name = next(title for title, field in [*varied_choices(t), (twice, twice)] if field == twice)
        raise RecipeError(t("repeat.twice", field=name), fix=t("repeat.twice_fix"))


def shown(kind: str | None) -> list[Any]:
    """Which settings are in sight."""
    return [gr.update(visible=kind == SEEDS), gr.update(visible=kind == SWEEP)]


def set_job(recipe: Recipe, kind: str | None, *values: Any) -> dict[str, Any]:
    """The recipe's `job` as an assignment. What no control shows, such as a sweep's templates, stays.

    Args:
        values: of the controls, and last the varied fields that have no row, with their values.
    """
    if kind not in (SEEDS, SWEEP):
        return {"job": None}
    own = dict(recipe.job) if recipe.job and recipe.kind == kind else {}
    *values, unseen = values
    repeated, swept = values[: len(SEED_FIELDS)], values[len(SEED_FIELDS) + 2 * ROWS :]
    if kind == SEEDS:
        return {"job": {**own, "kind": kind, **_given(SEED_FIELDS, repeated)}}
    varied = {field: typed(text) for field, text in _rows(values) if field and typed(text)}
    varied |= {field: found for field, found in unseen.items() if field not in varied}
    shown_in_rows = ("fields", "learning_rates", *(["methods"] if _named(own) else []))
    own = {name: value for name, value in own.items() if name not in shown_in_rows}
    methods = {"methods": varied.pop(METHOD)} if METHOD in varied else {}
    chosen = _given(SWEEP_FIELDS, swept)
    return {"job": {**own, "kind": kind, **methods, "fields": varied, **chosen, "trials": chosen["trials"] or None}}


def fill(recipe: Recipe, t: Words) -> list[Any]:
    """One value per control of `build_job`. Where the recipe asks for one training, what was set stays for another time."""
    job, kind = recipe.job or {}, recipe.kind if recipe.job else ONCE
    # Other work has buttons of its own, and Start leaves it aside.
    kind = kind if kind in (SEEDS, SWEEP) else ONCE
    # What a generation cannot do is offered to nobody, but whoever opened such a recipe has to be able to choose something else.
    choice = gr.update(value=kind, visible=recipe.task == "classification" or kind != ONCE)
    rows: list[Any] = [gr.skip()] * 2 * ROWS
    unseen: dict[str, list[Any]] = {}
    if kind == SWEEP:
        offered = varied_choices(t)
        rows, unseen = [], dict(_varied(job)[ROWS:])
        for field, values in [*_varied(job), *[("", [])] * ROWS][:ROWS]:
            known = field in dict(map(reversed, offered))
            rows += [field if known else gr.update(choices=[*offered, (field, field)], value=field), written(values)]
    seeds = [job.get(field.name, field.default) if kind == SEEDS else gr.skip() for field in SEED_FIELDS]
    sweep = [job.get(field.name) or field.default if kind == SWEEP else gr.skip() for field in SWEEP_FIELDS]
    return [choice, *shown(kind), *seeds, *rows, *sweep, unseen]


def _rows(values: Sequence[Any]) -> list[tuple[str | None, str | None]]:
    """What stands in the rows: a field and the text of its values each."""
    rows = values[len(SEED_FIELDS) : len(SEED_FIELDS) + 2 * ROWS]
    return list(zip(rows[::2], rows[1::2], strict=True))


def typed(text: str | None) -> list[Any]:
    """Values separated by commas as a recipe takes them: numbers, null, words."""
    parts = (text or "").replace("\uff0c", ",").replace("\u3001", ",").split(",")
    return [_value(part.strip()) for part in parts if part.strip()]


def written(values: list[Any]) -> str:
    """Values as a person types them."""
    return ", ".join("null" if value is None else str(value) for value in values)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None if text == "null" else text


def _given(fields: Any, values: Any) -> dict[str, Any]:
    return {field.name: forms.given(field, value) for field, value in zip(fields, values, strict=True)}


def _named(job: dict[str, Any]) -> bool:
    """Whether the sweep's methods are names alone, which a line can hold."""
    return all(isinstance(method, str) for method in job.get("methods") or [])


def _varied(job: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """What a sweep varies, as the form's rows."""
    rows = [(METHOD, list(job.get("methods") or []))] if _named(job) else []
    rows += [(RATE, list(job.get("learning_rates") or [])), *(job.get("fields") or {}).items()]
    return [(field, values) for field, values in rows if values]
