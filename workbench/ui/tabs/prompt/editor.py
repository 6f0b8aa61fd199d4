"""Templates, label words and the longest prompt: the recipe's prompt as controls, and back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from workbench.errors import VerbalizerError
from workbench.recipe import Recipe
from workbench.ui.forms import SELDOM, explained
from workbench.ui.markup import all_fields, sentence
from workbench.ui.tabs.prompt import verbalizer, writing
from workbench.ui.text import Words

MOST_TEMPLATES = 6
PIECES = ("[MASK]", "[SEP]", "[SOFT]")


@dataclass(frozen=True)
class Unboxed:
    """What the boxes do not show: the templates that stand in none, and the label words of single templates, those of the boxes first."""

    templates: list[str] = field(default_factory=list)
    words: list[dict[str, Any] | None] = field(default_factory=lambda: [None] * MOST_TEMPLATES)


@dataclass
class Editor:
    """The controls of the recipe's prompt, in the order in which `fill` gives their values."""

    boxes: list[gr.Textbox]
    rest: gr.State
    unboxed: gr.HTML
    fields: gr.Button
    pieces: list[gr.Button]
    more: gr.Button
    keep: gr.Button
    worded: gr.Column
    table: gr.Column
    words: gr.Dataframe
    own: gr.Column
    own_words: gr.Dataframe
    panel: verbalizer.Panel
    writing: writing.Writing
    length: gr.Slider

    @property
    def templates(self) -> list[Any]:
        """What holds the recipe's templates: the boxes, and those that stand in none."""
        return [*self.boxes, self.rest]

    @property
    def controls(self) -> list[Any]:
        """What shows the recipe."""
        words = [self.more, self.keep, self.worded, self.table, self.words, self.own, self.own_words, *self.panel.controls]
        return [*self.boxes, self.rest, self.unboxed, *words, *self.writing.controls, self.length]


def layout(t: Words) -> Editor:
    """Lays the controls out, one under the other."""
    boxes = [
        gr.Textbox(
            label=t("prompt.template") if i == 0 else t("prompt.template_more", number=i + 1),
            info=t("prompt.template_help") if i == 0 else t("prompt.template_more_help"),
            lines=2, visible=i == 0, elem_id=f"template-{i}",
        )
        for i in range(MOST_TEMPLATES)
    ]  # fmt: skip
    rest, unboxed = gr.State(Unboxed()), gr.HTML(visible=False, elem_id="templates-unboxed")
    with gr.Row():
        fields = gr.Button("{text}", size="sm", min_width=60, elem_id="insert-fields")
        pieces = [gr.Button(piece, size="sm", min_width=60) for piece in PIECES]
    with gr.Row():
        keep = gr.Button(t("prompt.keep"), size="sm", min_width=120, variant="primary", elem_id="keep-card")
        more = gr.Button(t("prompt.add_template"), size="sm", min_width=120)
    with gr.Column() as worded:
        panel = verbalizer.layout(t)
        with gr.Column() as table:
            words = gr.Dataframe(
                headers=[t("prompt.label"), t("prompt.words")], column_count=2, type="array", interactive=True,
                label=t("prompt.verbalizer"), static_columns=[0], wrap=True, column_widths=["30%", "70%"], elem_id="verbalizer",
            )  # fmt: skip
            gr.HTML(sentence(t("prompt.verbalizer_help")))
            with gr.Column(elem_classes=SELDOM, elem_id="own-words") as own:
                own_words = gr.Dataframe(
                    headers=[t("prompt.template"), t("prompt.label"), t("prompt.words")], column_count=3, type="array", interactive=True,
                    label=t("prompt.own_words"), static_columns=[0, 1], wrap=True, column_widths=["20%", "25%", "55%"],
                    elem_id="template-words",
                )  # fmt: skip
                gr.HTML(sentence(t("prompt.own_words_help")))
            gr.HTML(all_fields(t))
        panel.shown.render()
    layout = writing.layout(t)
    kept = explained(t("prompt.max_length_help"), t("prompt.max_length_higher"), 128, t)
    length = gr.Slider(16, 512, step=8, label=t("prompt.max_length"), info=kept)
    return Editor(boxes, rest, unboxed, fields, pieces, more, keep, worded, table, words, own, own_words, panel, layout, length)


def fill(recipe: Recipe, t: Words) -> list[Any]:
    """One update per control of `Editor.controls`."""
    templates = recipe.prompt.templates
    boxes = [gr.update(value=templates[i] if i < len(templates) else "", visible=i < len(templates)) for i in range(MOST_TEMPLATES)]
    own = recipe.prompt.template_words or [None] * len(templates)
    rest = Unboxed(templates[MOST_TEMPLATES:], [*own, *[None] * (MOST_TEMPLATES - len(own))])
    more = len(rest.templates)
    unboxed = gr.update(value=sentence(t("prompt.templates_unboxed", count=more), "note"), visible=more > 0)
    worded = verbalizer.has_words(str(recipe.prompt.verbalizer.get("kind", "manual")))
    # The words stay in a table that is not seen, for whoever goes back to a kind with words.
    rows = verbalizer_rows(recipe) if worded else gr.skip()
    own_rows = own_words_rows(recipe, rest, min(len(templates), MOST_TEMPLATES)) if worded else gr.skip()
    seldom = gr.update(elem_classes=[] if any(rest.words) else [SELDOM])
    length = gr.update(value=recipe.prompt.max_length, maximum=max(512, recipe.prompt.max_length))
    shown = [gr.update(visible=recipe.task == "classification")] * 3
    tables = [gr.update(visible=worded), rows, seldom, own_rows]
    return [*boxes, rest, unboxed, *shown, *tables, *verbalizer.fill(recipe), *writing.fill(recipe), length]


def set_templates(recipe: Recipe, *values: Any) -> dict[str, Any]:
    """What `Editor.templates` holds, as an assignment: an emptied box makes none of those in no box its own, and keeps its label words for
    what is written into it next."""
    *boxes, rest = values
    held = zip([*(value or "" for value in boxes), *rest.templates], rest.words, strict=True)
    pairs = [(template, words) for template, words in held if template.strip()] or [("", None)]
    own = [words for _, words in pairs]
    return {"prompt.templates": [template for template, _ in pairs], "prompt.template_words": own if any(own) else None}


def set_words(recipe: Recipe, rows: list[list[Any]]) -> dict[str, Any]:
    """The table of label words, as an assignment."""
    return {"prompt.verbalizer": {**recipe.prompt.verbalizer, "words": verbalizer_words(rows)}}


def own_words_rows(recipe: Recipe, rest: Unboxed, boxes: int) -> list[list[str]]:
    """The label words of single templates as a table of template, label and words: first those of so many boxes, then those in no box."""
    labels = recipe.prompt.verbalizer.get("words") or {}
    numbers = [*range(boxes), *range(MOST_TEMPLATES, len(rest.words))]
    own = {number: rest.words[number] or {} for number in numbers}
    return [[str(number + 1), str(label), ", ".join(_written(own[number].get(label, [])))] for number in numbers for label in labels]


def set_own_words(recipe: Recipe, rows: list[list[Any]], *values: Any) -> tuple[dict[str, Any], Unboxed]:
    """The table of label words of single templates, as an assignment, and what the boxes do not show. A template without any has the
    verbalizer's; a label without any beside others that have some, too.

    Args:
        values: what `Editor.templates` holds.

    Raises:
        VerbalizerError: a weight that is not a number.
    """
    *boxes, rest = values
    general, words = recipe.prompt.verbalizer.get("words") or {}, list(rest.words)
    for place in range(len(words)):
        given = verbalizer_words([row[1:] for row in rows if str(row[0]) == str(place + 1)])
        words[place] = {label: own or general.get(label, []) for label, own in given.items()} if any(given.values()) else None
    rest = replace(rest, words=words)
    return set_templates(recipe, *boxes, rest), rest


def field_pieces(recipe: Recipe) -> str:
    """The fields of the data as a template writes them: {text}, or {text_a} {text_b}."""
    return " ".join(f"{{{name}}}" for name in recipe.fields)


def verbalizer_rows(recipe: Recipe) -> list[list[str]]:
    """The label words as a table of label and words; a weight other than 1 is written word*0.5."""
    words = recipe.prompt.verbalizer.get("words") or {}
    return [[str(label), ", ".join(_written(entry))] for label, entry in words.items()]


def verbalizer_words(rows: list[list[Any]]) -> dict[str, Any]:
    """The table back as `words` of a manual verbalizer.

    Raises:
        VerbalizerError: a weight that is not a number.
    """
    words: dict[str, Any] = {}
    for label, text, *_ in ([*row, "", ""] for row in rows):
        parts = [part.strip() for part in str(text or "").replace("\uff0c", ",").replace("\u3001", ",").split(",") if part.strip()]
        if not str(label or "").strip():
            continue
        weights = dict(_weighted(part, str(label)) for part in parts)
        words[str(label)] = weights if any(weight != 1 for weight in weights.values()) else list(weights)
    return words


def _written(entry: Any) -> list[str]:
    if isinstance(entry, dict):
        return [str(word) if weight == 1 else f"{word}*{weight:g}" for word, weight in entry.items()]
    return [str(word) for word in (entry if isinstance(entry, list) else [entry])]


def _weighted(part: str, label: str) -> tuple[str, float]:
    word, star, weight = part.rpartition("*")
    if not star or not word:
        return part, 1.0
    if not weight:  # on its way to a number: the table is read while it is typed
        return word, 1.0
    try:
        return word, float(weight)
    except ValueError:
        raise VerbalizerError(f"The weight '{weight}' of '{word}' under '{label}' is not a number.", fix="Write word*0.5.") from None
