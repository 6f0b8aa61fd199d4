"""Label it yourself, a part of the tab Data: rows without labels, a click or a key for each, the least sure row next; training from there.

A person presses a button in the card; the browser says which act, row and class, and the handler looks them up in the book. The page's
script presses the button of a key while the card is in sight (`KEYS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.data.encoding import AUTO
from workbench.data.labelling import LabelBook, next_row, sureness, unsure
from workbench.data.table import Table
from workbench.errors import DataError
from workbench.recipe import Recipe
from workbench.runs.labelling import Opinions, check_labels
from workbench.ui.frame import Frame
from workbench.ui.markup import bars, esc, facts, heading, percent, problem, sentence, short, table
from workbench.ui.rows import SUFFIXES, whole_table
from workbench.ui.session import ready
from workbench.ui.text import Words
from workbench.ui.uploads import keep_upload

ROWS_SHOWN = 5
LONGEST_SHOWN = 1_500
SUGGESTED = (8, 16)
KEYED = 9
CLICK = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-act]');
    if (button) trigger('click', {act: button.dataset.act, row: button.dataset.row, name: button.dataset.name});
});"""
# Only while the card is in sight and nobody is writing; Ctrl+Z in a text box stays the box's own.
KEYS = """
document.addEventListener("keydown", (event) => {
    if (event.target.closest?.("input, textarea, select, [contenteditable]") || event.altKey || event.repeat) return;
    const undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    if ((event.ctrlKey || event.metaKey) && !undo) return;
    const button = document.querySelector(`#labels-card [data-key="${CSS.escape(undo ? "u" : event.key.toLowerCase())}"]`);
    if (!button?.offsetParent) return;
    event.preventDefault();
    button.click();
});"""
GO_TRAIN = """() => document.querySelector('#tabs [data-tab-id="train"]')?.click()"""
DOWNLOAD = """(text) => {
    if (!text) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\\ufeff" + text], {type: "text/csv"}));
    link.download = "labels.csv";
    link.click();
    URL.revokeObjectURL(link.href);
}"""


@dataclass(frozen=True)
class LabelView:
    """A book as the tab draws it.

    Args:
        asked: what a model thinks of the rows without a label.
        row: the one to ask about, None when every row has a mark.
        sure: how sure the model is of what is left, None where none was asked.
        unsure: the least sure of the other rows.
    """

    book: LabelBook
    asked: Opinions
    row: int | None
    sure: float | None
    unsure: list[int]


def view(service: Any, recipe: Recipe, book_id: str) -> LabelView:
    """A book, with the opinion of the newest run trained on it or else of the recipe's untuned prompt.

    Raises:
        DataError: there is no such book for the one who asks.
    """
    book = service.labelling.book(book_id)
    return drawn(book, service.labelling.opinions(service, book, recipe))


def drawn(book: LabelBook, asked: Opinions) -> LabelView:
    """A book under opinions that are known."""
    row = next_row(book, asked.shares)
    others = [other for other in unsure(book, asked.shares) if other != row]
    return LabelView(book, asked, row, sureness(book, asked.shares), others[:ROWS_SHOWN])


def view_html(shown: LabelView, t: Words) -> str:
    """Counters, the row with its buttons, and where the model is unsure."""
    return f'<div class="pw-labelling">{_counters(shown, t)}{_row(shown, t)}{_unsure(shown, t)}</div>'


def choices(service: Any, t: Words) -> list[tuple[str, str]]:
    """The books of the one who asks, newest first, named for a person."""
    return [
        (t("labels.book", classes=short(" / ".join(book.classes), 60), done=len(book.labelled), rows=f"{len(book.rows):,}"), book.id)
        for book in service.labelling.books()
    ]


def texts_of(pasted: str, file: str | None, column: str | None, encoding: str = AUTO) -> list[str]:
    """The rows that a person gave: pasted lines, else a column of a file.

    Raises:
        DataError: neither, or no such column.
    """
    if pasted.strip():
        return pasted.splitlines()
    if not file:
        raise DataError("There are no rows to label yet.", fix="Paste one text per line, or upload a file.")
    rows = whole_table(file, encoding=encoding, strict=False)
    place = rows.columns.index(column) if column in rows.columns else longest_column(rows)
    return [row[place] for row in rows.rows]


def longest_column(rows: Table) -> int:
    """The place of the column with the most text, which is most likely what a person wants to label."""
    return max(range(len(rows.columns)), key=lambda place: sum(len(row[place]) for row in rows.rows[:500]))


def build_labelling(frame: Frame) -> tuple[Any, list[Any], list[Any]]:
    """Lays out the part and wires it; returns what the tab does when it comes into view: handler, inputs, outputs."""
    t = frame.t
    book, expanded, going, file = gr.State(None), gr.State(False), gr.State(0), gr.State(None)
    with gr.Accordion(t("labels.title"), open=False, elem_id="labels") as part:
        gr.HTML(sentence(t("labels.lead")))
        with gr.Row():
            pasted = gr.Textbox(label=t("labels.rows"), info=t("labels.rows_help"), lines=5, max_lines=8, elem_id="labels-rows", scale=3)
            with gr.Column(scale=2, min_width=280):
                upload = gr.File(label=t("labels.upload"), file_types=list(SUFFIXES), height=120, elem_id="labels-upload")
                column = gr.Dropdown([], label=t("labels.column"), info=t("labels.column_help"), visible=False, elem_id="labels-column")
        with gr.Row():
            classes = gr.Textbox(label=t("labels.classes"), info=t("labels.classes_help"), max_lines=1, elem_id="labels-classes", scale=3)
            begin = gr.Button(t("labels.begin"), variant="primary", elem_id="labels-begin", scale=0, min_width=160)
        chosen = gr.Dropdown([], label=t("labels.books"), info=t("labels.books_help"), visible=False, elem_id="labels-books")
        card = gr.HTML(js_on_load=CLICK, elem_id="labels-card")
        with gr.Row(visible=False) as ends:
            train = gr.Button(t("labels.train"), variant="primary", elem_id="labels-train", min_width=200)
            save = gr.Button(t("labels.save"), elem_id="labels-save", min_width=160)
            remove = gr.Button(t("labels.remove"), elem_id="labels-remove", min_width=160)
            certain = gr.Button(t("labels.remove_sure"), variant="stop", visible=False, elem_id="labels-sure", min_width=160)
        text = gr.Textbox(visible="hidden", elem_id="labels-file")
    outputs = [book, chosen, card, ends, certain]
    ending = (remove, certain)
    look = _wire_books(frame, (begin, [pasted, file, column, classes]), (upload, file, column), (part, expanded), ending, outputs)
    _wire_card(frame, card, outputs)
    _wire_ends(frame, book, train, going, save, text)
    return look, [frame.draft, book, expanded, classes], [*outputs, classes]


def _wire_books(frame: Frame, start: Any, given: Any, part: Any, ending: Any, outputs: list[Any]) -> Any:
    """Which book is in view: a new one, an earlier one, at first the newest. Returns what the tab does on coming into view."""
    service, t = frame.service, frame.t
    (begin, inputs), (upload, file, column), (accordion, expanded) = start, given, part
    book, chosen, *_, certain = outputs
    remove, _ = ending

    def show(draft: dict[str, Any], book_id: str | None) -> list[Any]:
        found = choices(service, t)
        ids = [value for _, value in found]
        book_id = book_id if book_id in ids else ids[0] if ids else None
        listed = gr.update(choices=found, value=book_id, visible=len(found) > 1)
        drawn = view_html(view(service, ready(draft), book_id), t) if book_id else ""
        return [book_id, listed, drawn, gr.update(visible=book_id is not None), gr.update(visible=False)]

    def start_book(draft: dict[str, Any], rows: str, upload: str | None, name: str | None, names: str) -> list[Any]:
        return show(draft, service.labelling.begin(texts_of(rows or "", upload, name, draft["data"]["encoding"]), names or "").id)

    def open_part(draft: dict[str, Any], book_id: str | None, names: str) -> list[Any]:
        return [True, *show(draft, book_id), names or _classes_of(draft)]

    def look(draft: dict[str, Any], book_id: str | None, open_: bool, names: str) -> list[Any]:
        return [*show(draft, book_id), names or _classes_of(draft)] if open_ else [gr.skip()] * 6

    def take(draft: dict[str, Any], path: str | None) -> list[Any]:
        if not path:
            return [None, gr.update(visible=False)]
        kept = keep_upload(path, service.root)
        rows = whole_table(kept, encoding=draft["data"]["encoding"], strict=False)
        names = list(rows.columns)
        return [kept, gr.update(choices=names, value=names[longest_column(rows)], visible=len(names) > 1)]

    def drop(draft: dict[str, Any], book_id: str | None) -> list[Any]:
        if book_id:
            service.labelling.remove(book_id)
        return show(draft, None)

    classes = inputs[-1]
    waits = {"show_progress": "minimal", "show_progress_on": [outputs[2]]}
    frame.on(begin.click, start_book, [frame.draft, *inputs], outputs, "labels_begin", concurrency_limit=2, **waits)
    frame.on(upload.upload, take, [frame.draft, upload], [file, column], "labels_upload")
    frame.on(upload.clear, take, [frame.draft, upload], [file, column], "labels_upload_clear")
    frame.on(chosen.input, show, [frame.draft, chosen], outputs, "labels_open", **waits)
    frame.on(accordion.expand, open_part, [frame.draft, book, classes], [expanded, *outputs, classes], "labels_expand", **waits)
    frame.on(remove.click, lambda book_id: gr.update(visible=bool(book_id)), [book], [certain], "labels_ask_remove")
    frame.on(certain.click, drop, [frame.draft, book], outputs, "labels_remove")
    return look


def _wire_card(frame: Frame, card: gr.HTML, outputs: list[Any]) -> None:
    service, t = frame.service, frame.t
    book = outputs[0]

    def act(event: gr.EventData, draft: dict[str, Any], book_id: str | None) -> str:
        shown = view(service, ready(draft), str(book_id or ""))
        kept = service.labelling
        if event.act == "undo":
            changed = kept.undo(shown.book.id)
        else:
            label = None if event.act == "skip" else _named(shown.book, event.name)
            changed = kept.mark(shown.book.id, _number(event.row), label, shown.asked.shares)
        return view_html(drawn(changed, kept.opinions(service, changed, ready(draft))), t)

    # One at a time: each answer shows the next row, and a key pressed before it came is for the row that was seen.
    frame.on(card.click, act, [frame.draft, book], [card], "labels_act", concurrency_id="labels", concurrency_limit=1)


def _wire_ends(frame: Frame, book: gr.State, train: gr.Button, going: gr.State, save: gr.Button, text: gr.Textbox) -> None:
    kept = frame.service.labelling

    def check(book_id: str | None, count: int) -> int:
        check_labels(kept.book(str(book_id or "")))
        return count + 1

    frame.on(train.click, check, [book, going], [going], "labels_check")
    frame.opens(going.change, lambda recipe, book_id: kept.recipe(str(book_id or ""), recipe), [book], "labels_train")
    going.change(None, js=GO_TRAIN)
    told = frame.on(save.click, lambda book_id: kept.labels_file(str(book_id or "")), [book], [text], "labels_save")
    told.then(None, inputs=[text], js=DOWNLOAD)


def _counters(shown: LabelView, t: Words) -> str:
    book, (agreed, asked) = shown.book, shown.book.agreement
    done = len(book.labelled)
    tiles = [(t("labels.done"), f"{done} / {len(book.rows):,}"), *((name, str(count)) for name, count in book.counts.items())]
    if asked:
        tiles.append((t("labels.agreed"), f"{agreed} / {asked}"))
    if shown.sure is not None:
        tiles.append((t("labels.sure"), percent(shown.sure)))
    few, enough = SUGGESTED
    goal = t("labels.goal", few=few, enough=enough) if done < enough else t("labels.goal_met")
    return f'<div role="status">{facts(tiles)}{sentence(goal)}</div>'


def _row(shown: LabelView, t: Words) -> str:
    if shown.row is None:
        return sentence(t("labels.all_done"), "good") + f'<div class="pw-label-acts">{_undo(shown, t)}</div>'
    text = short(shown.book.rows[shown.row], LONGEST_SHOWN)
    buttons = "".join(
        f'<button type="button" class="pw-act pw-label-act" data-act="mark" data-row="{shown.row}" data-name="{number}"'
        f'{_key(str(number + 1)) if number < KEYED else ""}>{_kbd(str(number + 1)) if number < KEYED else ""}{esc(name)}</button>'
        for number, name in enumerate(shown.book.classes)
    )
    marks = f'data-act="skip" data-row="{shown.row}"{_key("0")}'
    skip = f'<button type="button" class="pw-act" {marks}>{_kbd("0")}{esc(t("labels.skip"))}</button>'
    return (
        f'<article class="pw-card pw-label-row" aria-label="{esc(t("labels.row"))}">{_why(shown, t)}'
        f'<p class="pw-label-text">{esc(text)}</p><div class="pw-label-acts">{buttons}{skip}{_undo(shown, t)}</div></article>'
    )


def _why(shown: LabelView, t: Words) -> str:
    """Why this row, and what the model would say."""
    asked = shown.asked
    if asked.source == "none":
        return problem(*asked.problem, t) + sentence(t("labels.why_none"))
    found = asked.shares.get(shown.row) if shown.row is not None else None
    if not found:
        return sentence(t("labels.why_none"))
    who = t("labels.by_run", run=asked.name) if asked.source == "run" else t("labels.by_prompt")
    said = max(found, key=found.__getitem__)
    return sentence(t("labels.why", who=who, label=said, share=percent(found[said])))


def _undo(shown: LabelView, t: Words) -> str:
    if not shown.book.marks:
        return ""
    return f'<button type="button" class="pw-act" data-act="undo"{_key("u")}>{_kbd("U")}{esc(t("labels.undo"))}</button>'


def _unsure(shown: LabelView, t: Words) -> str:
    if not shown.unsure:
        return ""
    title = t("labels.unsure_run", run=shown.asked.name) if shown.asked.source == "run" else t("labels.unsure_prompt")
    rows = "".join(
        f'<li class="pw-card"><p>{esc(short(shown.book.rows[row], 200))}</p>{bars(shown.asked.shares[row].items())}</li>'
        for row in shown.unsure
    )
    given = [[short(text, 120), label] for text, label in reversed(shown.book.labelled[-ROWS_SHOWN:])]
    last = heading(t("labels.last")) + table([t("cards.text"), t("prompt.label")], given) if given else ""
    return f'{heading(title)}<ol class="pw-unsure">{rows}</ol>{last}'


def _classes_of(draft: dict[str, Any]) -> str:
    """The recipe's own classes, as a beginning."""
    return ", ".join(map(str, draft["prompt"]["verbalizer"].get("words") or {}))


def _named(book: LabelBook, number: Any) -> str:
    place = _number(number)
    return book.classes[place] if 0 <= place < len(book.classes) else ""


def _number(value: Any) -> int:
    """A number that the browser sent; -1, which no row or class has, for anything else."""
    return int(value) if str(value).isdecimal() and len(str(value)) < 10 else -1


def _key(key: str) -> str:
    return f' data-key="{key}" aria-keyshortcuts="{key}"'


def _kbd(key: str) -> str:
    return f"<kbd aria-hidden='true'>{key}</kbd>"
