"""Prompt: write the template and the label words, and see at once what the model reads and answers, on real rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.data.dataset import InputExample
from workbench.data.splits import seeded_order
from workbench.errors import DataError, TemplateError, VerbalizerError, WorkbenchError
from workbench.recipe import Recipe
from workbench.serving.preview import PreviewRow, preview
from workbench.ui.frame import Frame, Part
from workbench.ui.markup import bars, esc, percent, problem, sentence, token
from workbench.ui.rows import dataset
from workbench.ui.session import ready
from workbench.ui.text import Words

ROWS_SHOWN = 4
MOST_TEMPLATES = 6
ROLES = ("text", "template", "mask", "soft", "special")


@dataclass(frozen=True)
class PromptView:
    """Rows of the data as the model reads them, with its answers before any training."""

    rows: list[PreviewRow]
    labels: tuple[str, ...]


def view(service: Any, recipe: Recipe, page: int = 0) -> PromptView:
    """The preview of a recipe; `page` turns to other rows of the file.

    Raises:
        WorkbenchError: the model, the data, the template or the label words cannot be used.
    """
    data = dataset(recipe)
    examples = _some(data.examples, page)
    loaded = service.pool.get(recipe.model)
    return PromptView(preview(loaded, recipe.prompt, data.labels, examples, k=5), data.labels)


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
    for label, text, *_ in rows:
        parts = [part.strip() for part in str(text or "").replace("\uff0c", ",").replace("\u3001", ",").split(",") if part.strip()]
        if not str(label or "").strip():
            continue
        weights = dict(_weighted(part, str(label)) for part in parts)
        words[str(label)] = weights if any(weight != 1 for weight in weights.values()) else list(weights)
    return words


def preview_html(shown: PromptView, t: Words) -> str:
    """The rows as cards: tokens by role, what was cut, answers at the mask, label words, classes."""
    legend = "".join(f'<span class="pw-token pw-role-{role}">{esc(t(f"prompt.role_{role}"))}</span>' for role in ROLES if _has(shown, role))
    right = sum(row.example.label == max(row.class_probabilities, key=row.class_probabilities.__getitem__) for row in shown.rows)
    note = sentence(t("prompt.before_training", right=right, rows=len(shown.rows)), "quiet")
    return f'<div class="pw-legend">{legend}</div>{note}' + "".join(_card(row, t) for row in shown.rows)


def error_html(error: WorkbenchError, templates: list[str], t: Words) -> str:
    """The error's two sentences and, for a template, the place marked in it."""
    text = problem(error.message, error.fix)
    position = getattr(error, "position", None)
    if not isinstance(error, TemplateError) or position is None:
        return text
    source = next((s for s in templates if _fails(s, position)), None)
    if source is None:
        return text
    marked = f'{esc(source[:position])}<mark>{esc(source[position : position + 1] or " ")}</mark>{esc(source[position + 1 :])}'
    return f'{text}<pre class="pw-marked" aria-label="{esc(t("prompt.position", position=position + 1))}">{marked}</pre>'


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("prompt.tab"), id="prompt") as tab:
        gr.HTML(sentence(t("prompt.lead")))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                boxes = [
                    gr.Textbox(label=t("prompt.template") if i == 0 else t("prompt.template_more", number=i + 1), lines=2, visible=i == 0,
                               info=t("prompt.template_help") if i == 0 else None, elem_id=f"template-{i}")
                    for i in range(MOST_TEMPLATES)
                ]
                with gr.Row():
                    pieces = [gr.Button(piece, size="sm", min_width=64) for piece in ("{text}", "[MASK]", "[SEP]")]
                    more = gr.Button(t("prompt.add_template"), size="sm", min_width=120)
                words = gr.Dataframe(
                    headers=[t("prompt.label"), t("prompt.words")],
                    column_count=2,
                    type="array",
                    interactive=True,
                    label=t("prompt.verbalizer"),
                    static_columns=[0],
                    wrap=True,
                    column_widths=["30%", "70%"],
                    elem_id="verbalizer",
                )
                gr.HTML(sentence(t("prompt.verbalizer_help")))
                length = gr.Slider(16, 512, step=8, label=t("prompt.max_length"), info=t("prompt.max_length_help"))
            with gr.Column(scale=3, min_width=400):
                with gr.Row():
                    turn = gr.Button(t("prompt.other_rows"), size="sm", min_width=140, scale=0)
                shown = gr.HTML(elem_id="preview")
        page = gr.State(0)
    _wire(frame, boxes, pieces, more, words, length, turn, shown, page)

    def fill(recipe: Recipe) -> list[Any]:
        templates = recipe.prompt.templates
        filled = [gr.update(value=templates[i] if i < len(templates) else "", visible=i < len(templates)) for i in range(MOST_TEMPLATES)]
        return [*filled, verbalizer_rows(recipe), gr.update(value=recipe.prompt.max_length, maximum=max(512, recipe.prompt.max_length))]

    return Part("prompt", tab, [*boxes, words, length], fill, (_shower(frame), [frame.draft, page], [shown]))


def _wire(
    frame: Frame, boxes: list[Any], pieces: list[Any], more: Any, words: Any, length: Any, turn: Any, shown: Any, page: gr.State
) -> None:
    show = _shower(frame)

    def set_templates(recipe: Recipe, *values: str) -> dict[str, Any]:
        # The draft may hold more templates than there are boxes; those stay.
        kept = [value for value in values if value and value.strip()] + recipe.prompt.templates[MOST_TEMPLATES:]
        return {"prompt.templates": kept or [""]}

    def set_words(recipe: Recipe, rows: list[list[Any]]) -> dict[str, Any]:
        return {"prompt.verbalizer": {**recipe.prompt.verbalizer, "words": verbalizer_words(rows)}}

    def live(changed: Any, name: str) -> None:
        frame.on(
            changed.then,
            show,
            [frame.draft, page],
            [shown],
            name,
            trigger_mode="always_last",
            concurrency_limit=2,
            concurrency_id="preview",
        )

    for number, box in enumerate(boxes):
        live(
            frame.edit(box.input, set_templates, boxes, f"prompt_template_{number + 1}", trigger_mode="always_last"),
            f"prompt_preview_{number + 1}",
        )
    for button in pieces:
        added = button.click(_appender(str(button.value)), [boxes[0]], [boxes[0]], api_name=False, show_progress="hidden")
        live(frame.edit(added.then, set_templates, boxes, "prompt_insert"), "prompt_insert_preview")
    live(frame.edit(words.input, set_words, [words], "prompt_words", trigger_mode="always_last"), "prompt_words_preview")
    live(
        frame.edit(length.release, lambda recipe, value: {"prompt.max_length": int(value)}, [length], "prompt_length"),
        "prompt_length_preview",
    )

    def add_template(draft: dict[str, Any]) -> list[Any]:
        count = min(len(draft["prompt"]["templates"]) + 1, MOST_TEMPLATES)
        return [gr.update(visible=i < count) for i in range(MOST_TEMPLATES)]

    frame.on(more.click, add_template, [frame.draft], boxes, "prompt_add_template")
    turned = frame.on(turn.click, lambda number: number + 1, [page], [page], "prompt_other_rows")
    live(turned, "prompt_other_rows_preview")


def _shower(frame: Frame) -> Any:
    t = frame.t

    def show(draft: dict[str, Any], page: int) -> str:
        recipe = ready(draft)
        try:
            return preview_html(view(frame.service, recipe, page), t)
        except WorkbenchError as error:
            return error_html(error, recipe.prompt.templates, t)

    return show


def _appender(piece: str) -> Any:
    def append(text: str) -> str:
        return f"{(text or '').rstrip()} {piece}".strip()

    return append


def _some(examples: list[InputExample], page: int) -> list[InputExample]:
    if not examples:
        raise DataError("The file holds no rows.", fix="Choose another file in the tab Data.")
    order = seeded_order([example.guid for example in examples[:2000]], seed=0)
    start = page * ROWS_SHOWN % len(order)
    return [examples[i] for i in (order + order)[start : start + min(ROWS_SHOWN, len(order))]]


def _card(row: PreviewRow, t: Words) -> str:
    tokens = "".join(token(piece.text, piece.role.split(":")[0], piece.role.partition(":")[2]) for piece in row.tokens)
    cut = f'<span class="pw-cut">{esc(t("prompt.cut", count=row.removed_tokens))}</span>' if row.removed_tokens else ""
    best = max(row.class_probabilities, key=row.class_probabilities.__getitem__)
    tone = "good" if best == row.example.label else "off"
    verdict = f'<span class="pw-verdict pw-{tone}">{esc(t("prompt.verdict", predicted=best, actual=row.example.label))}</span>'
    words = "".join(_label_words(label, found, row.class_probabilities[label], label == best) for label, found in row.label_words.items())
    return (
        f'<article class="pw-card"><div class="pw-tokens">{tokens}{cut}</div><div class="pw-answers">'
        f'<section><h4>{esc(t("prompt.top"))}</h4>{bars(row.top)}</section>'
        f'<section><h4>{esc(t("prompt.label_words"))}</h4>{words}</section></div>{verdict}</article>'
    )


def _label_words(label: str, words: dict[str, float], share: float, best: bool) -> str:
    listed = "".join(f'<span class="pw-word"><b>{esc(word)}</b> {small(p)}</span>' for word, p in words.items())
    mark = " pw-best" if best else ""
    name = f'<span class="pw-class-name">{esc(label)}</span><span class="pw-class-share">{percent(share)}</span>'
    return f'<div class="pw-class{mark}">{name}{listed}</div>'


def small(probability: float) -> str:
    """A probability that may be tiny."""
    return percent(probability) if probability >= 0.001 else f"{probability:.0e}".replace("e-0", "e-")


def _has(shown: PromptView, role: str) -> bool:
    return any(piece.role.split(":")[0] == role for row in shown.rows for piece in row.tokens)


def _fails(source: str, position: int) -> bool:
    from workbench.prompts.template import parse_template

    try:
        parse_template(source)
    except TemplateError as error:
        return error.position == position
    return False


def _written(entry: Any) -> list[str]:
    if isinstance(entry, dict):
        return [str(word) if weight == 1 else f"{word}*{weight:g}" for word, weight in entry.items()]
    return [str(word) for word in (entry if isinstance(entry, list) else [entry])]


def _weighted(part: str, label: str) -> tuple[str, float]:
    word, star, weight = part.rpartition("*")
    if not star or not word:
        return part, 1.0
    try:
        return word, float(weight)
    except ValueError:
        raise VerbalizerError(f"The weight '{weight}' of '{word}' under '{label}' is not a number.", fix="Write word*0.5.") from None
