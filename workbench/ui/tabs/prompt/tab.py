"""The layout of the prompt lab, and which handler follows which event.

Typing goes three ways at once: into the recipe, into the preview, and, once the preview has changed, into the score. Preview and score
read the boxes themselves, so neither waits for the recipe; a newer keystroke makes a running score stop at its next batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.prompts.cards import merged
from workbench.recipe import Recipe
from workbench.runs.from_cards import cards_of, with_card
from workbench.serving.scoring import Dropped
from workbench.ui import dialogues
from workbench.ui.forms import SELDOM, explained
from workbench.ui.frame import Frame, Part, session_key
from workbench.ui.glossary import lead
from workbench.ui.markup import heading, sentence
from workbench.ui.queueing import IN_ORDER
from workbench.ui.rows import dataset
from workbench.ui.session import ready, recipe_of
from workbench.ui.tabs.prompt import cards, editor, live, machine, sources, verbalizer, writing
from workbench.ui.text import Words


@dataclass
class Lab:
    """The components of the tab beside the editor's."""

    turn: gr.Button
    attention: gr.Checkbox
    preview: gr.HTML
    score: gr.HTML
    page: gr.State
    compare: gr.Button
    ensemble: gr.Button
    pet: gr.Button
    list: gr.HTML
    chart: gr.Accordion
    plot: gr.Plot
    note: gr.HTML
    picked: gr.State
    entry: gr.Dropdown
    add: gr.Button
    pasted: gr.Textbox
    notation: gr.Dropdown
    truncation: gr.Dropdown
    read: gr.Button
    imported: gr.HTML


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("prompt.tab"), id="prompt") as tab:
        gr.HTML(lead(t("prompt.lead"), t))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                edit = editor.layout(t)
                score = gr.HTML(elem_id="score")
            with gr.Column(scale=3, min_width=400):
                with gr.Row():
                    turn = gr.Button(t("prompt.other_rows"), size="sm", min_width=140, scale=0)
                    attention = gr.Checkbox(
                        label=t("prompt.attention"), info=t("prompt.attention_help"), container=False, elem_id="attention",
                        elem_classes=SELDOM,
                    )  # fmt: skip
                    ask = gr.Button(t("prompt.ask_untuned"), size="sm", min_width=220, scale=0, visible=False, elem_id="ask-untuned")
                preview = gr.HTML(sentence(t("working")), elem_id="preview")
        with gr.Column() as classes:
            lab = _layout(t, turn, attention, preview, score)
            searches = machine.layout(t)
    follow = _wire_editor(frame, edit, lab)
    _wire_own_words(frame, edit, follow)
    typed = (edit.templates, _typed)
    for changed, name in verbalizer.wire(frame, edit.panel, (edit.words, editor.verbalizer_words), typed, lab.preview.change):
        follow(changed, name)
    _wire_sources(frame, edit, lab)
    _wire_cards(frame, edit, lab)
    machine.wire(frame, searches, lab.list, tab)
    _wire_writing(frame, edit, lab, ask)

    def show(draft: dict[str, Any], page: int, attention: bool, *boxes: Any) -> list[Any]:
        # What stands in the boxes too: a look between a keystroke and its edit would put what was there before into the preview.
        recipe = _typed(draft, *boxes)
        shown = cards.cards_html(frame.service.lab.cards(recipe), recipe, t) if recipe.task == "classification" else ""
        return [_preview(frame, recipe, page, attention), shown]

    def fill(recipe: Recipe) -> list[Any]:
        choosing = gr.update(visible=recipe.task == "classification")
        asking = gr.update(visible=recipe.task == "generation")
        return [*editor.fill(recipe, t), editor.field_pieces(recipe), choosing, choosing, asking]

    controls = [*edit.controls, edit.fields, classes, attention, ask]
    return Part("prompt", tab, controls, fill, (show, [frame.draft, lab.page, lab.attention, *edit.templates], [lab.preview, lab.list]))


def _layout(t: Words, turn: gr.Button, attention: gr.Checkbox, preview: gr.HTML, score: gr.HTML) -> Lab:
    """The cards and where they come from, below the editor and the preview."""
    gr.HTML(heading(t("cards.title")) + sentence(t("cards.lead")))
    with gr.Row(elem_classes="pw-end"):
        entry = gr.Dropdown(
            sources.entry_choices(t), label=t("library.label"), info=t("library.help"), scale=3, min_width=240, elem_id="library"
        )
        add = gr.Button(t("library.add"), size="sm", scale=1, min_width=110, elem_id="library-add")
    with gr.Accordion(t("import.title"), open=False, elem_id="import"):
        pasted = gr.Textbox(label=t("import.text"), info=t("import.text_help"), lines=3, elem_id="import-text")
        with gr.Row():
            notation = gr.Dropdown(
                sources.notation_choices(t), value=sources.AUTO, label=t("import.notation"), elem_id="import-notation",
                info=explained(t("import.notation_help"), "", t("import.auto"), t),
            )
            truncation = gr.Dropdown(
                sources.cut_choices(t), value="tail", label=t("import.truncation"),
                info=explained(t("import.truncation_help"), "", t("import.cut_tail"), t),
            )  # fmt: skip
        read = gr.Button(t("import.read"), size="sm", elem_id="import-read")
        imported = gr.HTML(elem_id="imported")
    with gr.Row():
        compare = gr.Button(t("cards.compare"), variant="primary", size="sm", min_width=150, elem_id="cards-compare")
        ensemble = gr.Button(t("cards.ensemble"), size="sm", min_width=150, elem_id="cards-ensemble")
        pet = gr.Button(t("cards.pet"), size="sm", min_width=150, elem_id="cards-pet")
    note, picked = gr.HTML(elem_id="cards-note"), gr.State("")
    listed = gr.HTML(js_on_load=cards.CLICK, elem_id="cards")
    with gr.Accordion(t("cards.chart"), open=False, visible=False, elem_id="cards-chart") as chart:
        gr.HTML(sentence(t("cards.chart_help")))
        plot = gr.Plot(show_label=False, container=False, elem_id="cards-ranking")
    page = gr.State(0)
    return Lab(
        turn, attention, preview, score, page, compare, ensemble, pet, listed, chart, plot, note, picked, entry, add, pasted, notation,
        truncation, read, imported,
    )  # fmt: skip


def _preview(frame: Frame, recipe: Recipe, page: int, attention: bool) -> str:
    """The rows as the model reads them, or what is wrong. A hidden mark makes every other recipe another preview: its change asks for the
    score, and the one that ran for the recipe before has been dropped."""
    return _rows(frame, recipe, page, attention) + f'<span hidden data-asked="{_asked(recipe)}"></span>'


def _rows(frame: Frame, recipe: Recipe, page: int, attention: bool) -> str:
    try:
        if recipe.task == "generation":
            return dialogues.views_html(dialogues.views(frame.service, recipe, page), frame.t)
        shown = live.preview_html(live.view(frame.service, recipe, page, attention=attention), frame.t)
        return live.untrainable_html(recipe, frame.t) + shown
    except WorkbenchError as error:
        return live.error_html(error, recipe.prompt.templates, frame.t)


def _typed(draft: dict[str, Any], *boxes: Any) -> Recipe:
    """The draft with what stands in the boxes now, which may be newer."""
    recipe = ready(draft)
    return recipe.replace(editor.set_templates(recipe, *boxes))


def _asked(recipe: Recipe) -> str:
    """A mark of all that a preview and a score follow from."""
    content = recipe.model_dump_json(include={"task", "model", "data", "prompt"})
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _wire_editor(frame: Frame, edit: editor.Editor, lab: Lab) -> Callable[[Any, str], None]:
    """Joins the editor to the recipe; what comes back lets the preview follow a further event under a name."""
    looked = [frame.draft, lab.page, lab.attention, *edit.templates]

    def look(asked: gr.Request, draft: dict[str, Any], page: int, attention: bool, *boxes: Any) -> str:
        recipe = _typed(draft, *boxes)
        frame.service.lab.overtake(session_key(asked), _asked(recipe))
        return _preview(frame, recipe, page, attention)

    def rate(asked: gr.Request, draft: dict[str, Any], *boxes: Any) -> Iterator[Any]:
        recipe = _typed(draft, *boxes)
        dropped = frame.service.lab.newest(session_key(asked), _asked(recipe))
        if recipe.task == "generation":  # there is nothing to count before the model has written
            yield ""
            return
        for rows in live.ROUNDS:
            try:
                shown = live.score_view(frame.service, recipe, rows, dropped)
            except Dropped:
                return
            except WorkbenchError:
                # The preview says what is wrong; a score of what stood there before would be misleading.
                yield ""
                return
            yield live.score_html(shown, frame.t)
            if shown.complete:
                return

    def follow(event: Any, name: str) -> None:
        frame.on(event, look, looked, [lab.preview], name, queue=False)

    # change, not input: what an input method or a paste puts into a box raises no input event in gradio.
    for number, box in enumerate(edit.boxes):
        frame.edit(box.change, editor.set_templates, edit.templates, f"prompt_template_{number + 1}")
        follow(box.change, f"prompt_preview_{number + 1}")
    for button in (edit.fields, *edit.pieces):
        added = button.click(_append, [edit.boxes[0], button], [edit.boxes[0]], api_name=False, show_progress="hidden")
        follow(frame.edit(added.then, editor.set_templates, edit.templates, "prompt_insert").then, "prompt_insert_preview")
    follow(
        frame.edit(edit.words.input, editor.set_words, [edit.words], "prompt_words").then,
        "prompt_words_preview",
    )
    length = frame.edit(edit.length.release, lambda recipe, value: {"prompt.max_length": int(value)}, [edit.length], "prompt_length")
    follow(length.then, "prompt_length_preview")
    turned = frame.on(lab.turn.click, lambda number: number + 1, [lab.page], [lab.page], "prompt_other_rows")
    follow(turned.then, "prompt_other_rows_preview")
    follow(lab.attention.input, "prompt_attention")
    rated = {"trigger_mode": "always_last", "concurrency_limit": 4}
    frame.on(lab.preview.change, rate, [frame.draft, *edit.templates], [lab.score], "prompt_score", **rated)
    return follow


def _wire_own_words(frame: Frame, edit: editor.Editor, follow: Callable[[Any, str], None]) -> None:
    """Joins the label words of single templates to the recipe; their table has the templates whose boxes are seen."""

    def set_own(draft: dict[str, Any], rows: list[list[Any]], *typed: Any) -> list[Any]:
        recipe = recipe_of(draft)
        assigned, rest = editor.set_own_words(recipe, rows, *typed)
        return [*frame.drawn(recipe.replace(assigned)), rest]

    def add_template(draft: dict[str, Any], rest: editor.Unboxed) -> list[Any]:
        count = min(len(draft["prompt"]["templates"]) + 1, editor.MOST_TEMPLATES)
        seen = [gr.update(visible=i < count) for i in range(editor.MOST_TEMPLATES)]
        return [*seen, editor.own_words_rows(recipe_of(draft), rest, count)]

    worded, written = [frame.draft, edit.own_words, *edit.templates], [*frame.recipe_views, edit.rest]
    changed = frame.on(edit.own_words.input, set_own, worded, written, "prompt_own_words", **IN_ORDER)
    follow(changed.then, "prompt_own_words_preview")
    frame.on(edit.more.click, add_template, [frame.draft, edit.rest], [*edit.boxes, edit.own_words], "prompt_add_template")


def _wire_writing(frame: Frame, edit: editor.Editor, lab: Lab, ask: gr.Button) -> None:
    looked = [frame.draft, lab.page, *edit.templates]

    def look(draft: dict[str, Any], page: int, *boxes: Any) -> str:
        return _preview(frame, _typed(draft, *boxes), page, attention=False)

    def answer(draft: dict[str, Any], page: int, *boxes: Any) -> str:
        recipe = _typed(draft, *boxes)
        return dialogues.views_html(dialogues.views(frame.service, recipe, page, answers=True), frame.t)

    for number, event in enumerate(writing.wire(frame, edit.writing)):
        frame.on(event, look, looked, [lab.preview], f"prompt_writing_preview_{number + 1}")
    frame.on(ask.click, answer, looked, [lab.preview], "prompt_ask_untuned", show_progress="minimal", concurrency_limit=1)


def _wire_sources(frame: Frame, edit: editor.Editor, lab: Lab) -> None:
    t, book = frame.t, frame.service.lab

    def keep(draft: dict[str, Any], *boxes: Any) -> str:
        recipe = _typed(draft, *boxes)
        return cards.cards_html(book.keep(recipe, cards_of(recipe)), recipe, t)

    def add(draft: dict[str, Any], name: str | None) -> str:
        recipe = ready(draft)
        found = sources.library_cards(name, recipe, dataset(recipe)) if name else []
        return cards.cards_html(book.keep(recipe, found), recipe, t)

    def read(draft: dict[str, Any], text: str, notation: str, truncation: str) -> list[Any]:
        recipe = ready(draft)
        labels = dataset(recipe).labels
        try:
            found = sources.read(text or "", notation, truncation, recipe, labels)
        except WorkbenchError as error:
            return [live.error_html(error, [text or ""], t), gr.skip()]
        kept = book.keep(recipe, sources.imported_cards(found, recipe, labels))
        return [sources.imported_html(found, labels, t), cards.cards_html(kept, recipe, t)]

    frame.on(edit.keep.click, keep, [frame.draft, *edit.templates], [lab.list], "cards_keep")
    frame.on(lab.add.click, add, [frame.draft, lab.entry], [lab.list], "library_add")
    frame.on(lab.read.click, read, [frame.draft, lab.pasted, lab.notation, lab.truncation], [lab.imported, lab.list], "import_read")


def _wire_cards(frame: Frame, edit: editor.Editor, lab: Lab) -> None:
    t, book = frame.t, frame.service.lab
    opened = [*frame.recipe_views, *edit.controls]

    def compare(asked: gr.Request, draft: dict[str, Any], *boxes: Any) -> Iterator[Any]:
        # What stands in the editor is compared too: that is the one to beat.
        recipe = _typed(draft, *boxes)
        book.keep(recipe, merged(book.cards(recipe), cards_of(recipe)))
        dropped = book.newest(f"{session_key(asked)} cards")
        try:
            for found, done in cards.ranking(frame.service, recipe, dropped):
                yield [sentence(t("cards.measuring", done=done)), cards.cards_html(found, recipe, t)]
        except Dropped:
            return
        yield ["", cards.cards_html(book.cards(recipe), recipe, t)]

    def act(event: gr.EventData, draft: dict[str, Any], picked: str) -> list[Any]:
        recipe, change = ready(draft), recipe_of(draft)
        card = cards.find(book.cards(recipe), str(event.card), t)
        unchanged = [gr.skip()] * len(opened)
        if event.act == "use":
            change = with_card(change, card)
            return [*frame.drawn(change), *editor.fill(change, t), gr.skip(), _cards(change), gr.skip()]
        if event.act == "differ":
            found = cards.difference(frame.service, recipe, card, picked, t)
            return [*unchanged, cards.difference_html(found, t), gr.skip(), "" if found.chosen else cards.digest(card)]
        book.remove(recipe, [card.key])
        return [*unchanged, "", _cards(change), gr.skip()]

    def gathers(how: Callable[..., tuple[Recipe, str]]) -> Callable[..., list[Any]]:
        def gather(draft: dict[str, Any]) -> list[Any]:
            change, said = how(recipe_of(draft), book.cards(ready(draft)), t)
            return [*frame.drawn(change), sentence(said, "good"), _cards(change)]

        return gather

    def _cards(recipe: Recipe) -> str:
        shown = ready(recipe.model_dump())
        return cards.cards_html(book.cards(shown), shown, t)

    looked = [frame.draft, lab.page, lab.attention]

    def look(draft: dict[str, Any], page: int, attention: bool) -> str:
        return _preview(frame, ready(draft), page, attention)

    def rank(draft: dict[str, Any]) -> list[Any]:
        recipe = ready(draft)
        figure = cards.ranking_figure(book.cards(recipe), recipe, t)
        return [gr.update(visible=figure is not None), figure]

    frame.on(lab.list.change, rank, [frame.draft], [lab.chart, lab.plot], "cards_chart", look=True)
    frame.on(lab.compare.click, compare, [frame.draft, *edit.templates], [lab.note, lab.list], "cards_compare", trigger_mode="always_last")
    shown = [*opened, lab.note, lab.list, lab.picked]
    acted = frame.on(lab.list.click, act, [frame.draft, lab.picked], shown, "cards_act", **IN_ORDER)
    frame.on(acted.then, look, looked, [lab.preview], "cards_act_preview")
    for button, how in ((lab.ensemble, cards.ensemble), (lab.pet, cards.pet)):
        name = f"cards_{how.__name__}"
        gathered = frame.on(button.click, gathers(how), [frame.draft], [*frame.recipe_views, lab.note, lab.list], name, **IN_ORDER)
        # PET stands in the tab Train too.
        frame.opens(gathered.then, lambda recipe: recipe, [], f"{name}_shown")


def _append(text: str, piece: str) -> str:
    return f"{text.rstrip()} {piece}" if text and text.strip() else piece
