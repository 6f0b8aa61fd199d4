"""The kind of verbalizer and its options, and what a person should know about it before training: warnings, found words, the prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.data.dataset import InputExample
from workbench.data.splits import seeded_order
from workbench.errors import VerbalizerError, WorkbenchError
from workbench.options import OptionField
from workbench.prompts.verbalizers import VerbalizerInfo, check_verbalizer, verbalizer_info, verbalizer_kinds
from workbench.prompts.verbalizers.automatic import AutomaticVerbalizer
from workbench.prompts.verbalizers.verbalizer import CONTENT_FREE, Diagnosis
from workbench.recipe import Recipe
from workbench.serving.classifier import PromptClassifier
from workbench.serving.predictor import untuned
from workbench.ui import forms
from workbench.ui.frame import Frame
from workbench.ui.markup import bars, chips, esc, sentence
from workbench.ui.rows import dataset
from workbench.ui.session import ready
from workbench.ui.text import Words

ROWS_LEARNT_FROM = 64
# Kept out of the forms: words have a table of their own, and the inputs that say nothing a box, for one of them may be the empty text.
UNLISTED = ("words", "content_free")
GRAVE = ("skew", "first_token", "same")


@dataclass
class Panel:
    """The controls, in the order in which `fill` gives their values."""

    kind: gr.Dropdown
    groups: dict[str, gr.Column]
    fields: dict[str, list[Any]]
    content_free: gr.Textbox
    shown: gr.HTML

    @property
    def controls(self) -> list[Any]:
        """Every control, as inputs or outputs of a handler."""
        options = (control for kind in self.fields for control in self.fields[kind])
        return [self.kind, *self.groups.values(), *options, self.content_free]


@dataclass(frozen=True)
class VerbalizerView:
    """What is known of a verbalizer on a model before training.

    Args:
        prior: label -> probability on content-free input; None for a verbalizer that knows nothing yet.
        found: label -> words that were found, best first; None for other kinds.
    """

    diagnoses: list[Diagnosis]
    prior: dict[str, float] | None
    found: dict[str, list[str]] | None


def infos() -> dict[str, VerbalizerInfo]:
    """Every kind, the one by hand first."""
    return {kind: verbalizer_info(kind) for kind in sorted(verbalizer_kinds(), key=lambda kind: (kind != "manual", kind))}


def listed(info: VerbalizerInfo) -> list[OptionField]:
    """The options that the form shows, those of the kind itself before those that every kind has."""
    general = ("calibration", "learning_rate")
    return sorted((field for field in info.fields if field.name not in UNLISTED), key=lambda field: field.name in general)


def has_words(kind: str) -> bool:
    """Whether a person gives words to this kind."""
    return kind in verbalizer_kinds() and any(field.name == "words" for field in verbalizer_info(kind).fields)


def layout(t: Words) -> Panel:
    """The dropdown and one form per kind, of which one is seen; the place for what is known is made and left for the caller to render."""
    known = infos()
    choices = [(t.get(f"verbalizers.{kind}.title", info.title), kind) for kind, info in known.items()]
    said = forms.explained(t("verbalizer.kind_help"), "", t("verbalizers.manual.title"), t)
    kind = gr.Dropdown(choices, value="manual", label=t("verbalizer.kind"), info=said, elem_id="verbalizer-kind")
    groups, fields = {}, {}
    for name, info in known.items():
        with gr.Column(visible=name == "manual") as groups[name]:
            gr.HTML(sentence(t.get(f"verbalizers.{name}.description", info.description), "note"))
            with gr.Accordion(t("verbalizer.options"), open=False):
                fields[name] = [forms.control(field, name, t, group="verbalizers") for field in listed(info)]
    free = gr.Textbox(
        "\n".join(CONTENT_FREE), label=t("verbalizer.content_free"), info=t("verbalizer.content_free_help"), lines=3, visible=False,
        elem_id="content-free",
    )  # fmt: skip
    return Panel(kind, groups, fields, free, gr.HTML(elem_id="verbalizer-view", render=False))


def fill(recipe: Recipe) -> list[Any]:
    """One update per control of `Panel.controls`."""
    chosen = str(recipe.prompt.verbalizer.get("kind", "manual"))
    updates: list[Any] = [chosen if chosen in verbalizer_kinds() else None]
    updates += [gr.update(visible=kind == chosen) for kind in infos()]
    for kind, info in infos().items():  # the forms of the others keep what was set in them, for whoever comes back to one
        given = [forms.shown(field, recipe.prompt.verbalizer.get(field.name, field.default)) for field in listed(info)]
        updates += given if kind == chosen else [gr.skip()] * len(given)
    inputs = "\n".join(recipe.prompt.verbalizer.get("content_free", CONTENT_FREE))
    return [*updates, gr.update(value=inputs, visible=_reads_nothing(recipe.prompt.verbalizer.get("calibration")))]


def with_content_free(recipe: Recipe, text: str | None) -> dict[str, Any]:
    """The verbalizer with the inputs that say nothing, one in each line; an empty line is the empty text.

    Raises:
        VerbalizerError: too many of them.
    """
    inputs = (text or "").split("\n")
    others = {name: value for name, value in recipe.prompt.verbalizer.items() if name != "content_free"}
    verbalizer = others if inputs == CONTENT_FREE else {**others, "content_free": inputs}
    check_verbalizer(verbalizer)
    return verbalizer


def _reads_nothing(calibration: Any) -> bool:
    """Whether this calibration asks about the inputs that say nothing."""
    return calibration == "contextual"


def chosen(recipe: Recipe, kind: str, words: dict[str, Any], values: Sequence[Any]) -> dict[str, Any]:
    """The verbalizer after another kind was chosen, with what stands in its form; its defaults where that is no choice. The words that
    stand in the table go along, a label without any names itself.

    Args:
        values: of every kind's form, one after the other.
    """
    verbalizer = {"kind": kind, **{name: value for name, value in recipe.prompt.verbalizer.items() if name == "content_free"}}
    if has_words(kind):
        labels = dataset(ready(recipe.model_dump())).labels
        verbalizer["words"] = {label: words.get(label) or [label] for label in labels}
    places = iter(values)
    standing = {name: [next(places) for _ in listed(info)] for name, info in infos().items()}
    try:
        return with_options(recipe.replace({"prompt.verbalizer": verbalizer}), kind, standing[kind])
    except VerbalizerError:
        return verbalizer


def with_options(recipe: Recipe, kind: str, values: list[Any]) -> dict[str, Any]:
    """The verbalizer with what stands in its form; what is as it would be anyway is left out.

    Raises:
        VerbalizerError: a value out of bounds.
    """
    fields = listed(verbalizer_info(kind))
    given = {field.name: forms.given(field, value) for field, value in zip(fields, values, strict=True)}
    kept = {name: recipe.prompt.verbalizer[name] for name in UNLISTED if name in recipe.prompt.verbalizer}
    verbalizer = {"kind": kind, **kept, **{field.name: given[field.name] for field in fields if given[field.name] != field.default}}
    check_verbalizer(verbalizer)
    return verbalizer


def view(service: Any, recipe: Recipe) -> VerbalizerView:
    """What is known of the recipe's verbalizer on its untuned model.

    Raises:
        WorkbenchError: the model, the data, the templates or the words cannot be used.
    """
    data = dataset(recipe)
    classifier = PromptClassifier(service.pool.get(recipe.model), untuned(recipe.prompt), data.labels)
    classifier.fit(learnt_from(data.examples))
    diagnoses, prior = classifier.before_reading()
    verbalizer = classifier.verbalizer
    found = None
    if isinstance(verbalizer, AutomaticVerbalizer):
        found = {label: [word for word, _ in words] for label, words in verbalizer.ranking().items()}
    return VerbalizerView(diagnoses, prior, found)


def learnt_from(examples: list[InputExample]) -> list[InputExample]:
    """A few rows of each label for a kind that learns from rows, always the same ones."""
    labelled = [example for example in examples if example.label is not None]
    order = [labelled[i] for i in seeded_order([example.guid for example in labelled[:2000]], seed=0)]
    share = max(1, ROWS_LEARNT_FROM // max(1, len({example.label for example in order})))
    counts: dict[str | None, int] = {}
    taken = []
    for example in order:
        counts[example.label] = counts.get(example.label, 0) + 1
        if counts[example.label] <= share:
            taken.append(example)
    return taken


def view_html(shown: VerbalizerView, t: Words) -> str:
    """Warnings, found words, and the prior as bars: what the prompt says before it has read a text."""
    parts = [sentence(said(found, t), "warning" if found.code in GRAVE else "quiet") for found in shown.diagnoses]
    for label, words in (shown.found or {}).items():
        parts.append(f'<p class="pw-sentence"><b>{esc(label)}</b> {chips(words)}</p>')
    if shown.prior is not None:
        parts.append(f"<h4>{esc(t('verbalizer.prior'))}</h4>{sentence(t('verbalizer.prior_help'))}{bars(shown.prior.items())}")
    return "".join(parts)


def said(diagnosis: Diagnosis, t: Words) -> str:
    """A diagnosis in the page's language."""
    return t(f"diagnosis.{diagnosis.code}", **diagnosis.values)


def wire(frame: Frame, panel: Panel, words: tuple[gr.Dataframe, Any], typed: tuple[list[Any], Any], after: Any) -> list[tuple[Any, str]]:
    """Joins the panel to the recipe; the events behind which the model answers otherwise, each with a name.

    Args:
        words: the table of label words, and what makes words of its rows.
        typed: the boxes of the templates, and what makes a recipe of the draft and of what stands in them.
        after: an event after which what is known is worked out again: a change of the preview, which follows those events.
    """
    table, read_words = words
    boxes, recipe_of = typed

    def choose(recipe: Recipe, kind: str, rows: list[list[Any]], *values: Any) -> Recipe:
        if recipe.prompt.verbalizer.get("kind", "manual") == kind:
            return recipe
        other = {"prompt.verbalizer": chosen(recipe, kind, read_words(rows), values)}
        return recipe.replace(other if has_words(kind) else {**other, "prompt.template_words": None})

    def show(draft: dict[str, Any], *texts: str) -> str:
        try:
            return view_html(view(frame.service, recipe_of(draft, *texts)), frame.t)
        except WorkbenchError:
            return ""  # the preview says what is wrong

    follows = []
    every = [control for controls in panel.fields.values() for control in controls]
    frame.opens(panel.kind.input, choose, [panel.kind, table, *every], "verbalizer_kind")
    for kind, info in infos().items():
        for field, control in zip(listed(info), panel.fields[kind], strict=True):

            def assign(recipe: Recipe, *values: Any, kind: str = kind) -> dict[str, Any]:
                return {"prompt.verbalizer": with_options(recipe, kind, list(values))}

            event = control.blur if isinstance(control, gr.Textbox) else control.input
            name = f"verbalizer_{kind}_{field.name}"
            changed = frame.edit(event, assign, panel.fields[kind], name)
            follows.append((changed.then, f"{name}_view"))
            if field.name == "calibration":
                frame.on(event, lambda value: gr.update(visible=_reads_nothing(value)), [control], [panel.content_free], f"{name}_inputs")

    def assign_free(recipe: Recipe, text: str | None) -> dict[str, Any]:
        return {"prompt.verbalizer": with_content_free(recipe, text)}

    changed = frame.edit(panel.content_free.blur, assign_free, [panel.content_free], "verbalizer_content_free")
    follows.append((changed.then, "verbalizer_content_free_view"))
    frame.on(after, show, [frame.draft, *boxes], [panel.shown], "verbalizer_view")
    return follows
