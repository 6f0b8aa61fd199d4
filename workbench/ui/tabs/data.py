"""Data: choose a file, say which column is what, see rows and histograms."""

from __future__ import annotations

import functools
import re
from typing import Any

import gradio as gr

from workbench.data.conversations import MESSAGES, RESPONSE
from workbench.data.conversations import guess_columns as conversation_columns
from workbench.data.dataset import dataset_from
from workbench.data.table import Table
from workbench.errors import DataError, WorkbenchError
from workbench.prompts.cards import verbalizer_for
from workbench.recipe import Recipe
from workbench.ui import charts, dialogues
from workbench.ui.data_view import DataView, labelled_view
from workbench.ui.forms import SELDOM
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.markup import all_fields, facts, heading, problem, sentence, table
from workbench.ui.rows import SUFFIXES, preset_files
from workbench.ui.rows import table as read
from workbench.ui.session import ready, short_path
from workbench.ui.tabs.labelling import build_labelling
from workbench.ui.text import Words
from workbench.ui.uploads import keep_upload

LABEL_LIKE = ("label", "class", "category", "sentiment", "target", "y")
TEXT_LIKE = ("text", "sentence", "review", "content", "comment", "body")
MOST_LABELS = 50
TASKS = ("classification", "generation")


def view(recipe: Recipe, t: Words, tokenizer: Any = None) -> DataView:
    """The training file under the recipe's task and columns.

    Raises:
        DataError: the file or its columns cannot be used.
    """
    return (dialogues.data_view if recipe.task == "generation" else labelled_view)(recipe, t, tokenizer)


def guess_columns(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> dict[str, str]:
    """A first mapping for a new file: the label by name, else the column with the fewest values; the text by name, else the longest."""
    distinct = {name: len({row[i] for row in rows}) for i, name in enumerate(columns)}
    lengths = {name: sum(len(row[i]) for row in rows) for i, name in enumerate(columns)}
    label = next((c for like in LABEL_LIKE for c in columns if c.lower() == like), None) or min(columns, key=lambda c: distinct[c])
    others = [c for c in columns if c != label]
    if not others:
        raise DataError("The file has one column only.", fix="Give a file with a text column and a label column.")
    text = next((c for like in TEXT_LIKE for c in others if c.lower() == like), None) or max(others, key=lambda c: lengths[c])
    return {"text": text, "label": label}


def named_fields(chosen: list[str], label: str, before: dict[str, str]) -> dict[str, str]:
    """Template fields for the chosen text columns: known ones keep their field, a single new one is `text`, others get their own name."""
    known = {column: name for name, column in before.items() if name != "label"}
    fields: dict[str, str] = {}
    for column in chosen:
        name = "text" if len(chosen) == 1 else known.get(column) or re.sub(r"[{}|\[\]\s]+", "_", column)
        while name in fields or name == "label":
            name += "_"
        fields[name] = column
    return {**fields, "label": label}


def with_file(recipe: Recipe, path: str, columns: dict[str, str] | None = None) -> Recipe:
    """The recipe over another file or other columns, its verbalizer following the labels that the file holds."""
    file = read(ready(recipe.replace({"data.train": path}).model_dump()).data.train)
    if recipe.task == "generation":
        return _with_answers(recipe, path, file, columns)
    wanted = recipe.data.columns if columns is None else columns
    if not set(wanted.values()) <= set(file.columns):
        wanted = guess_columns(file.columns, file.rows)
    labels = dataset_from(file, wanted).labels
    changes: dict[str, Any] = {"data.train": path, "data.columns": wanted}
    if path != recipe.data.train:
        changes |= {"data.validation": None, "data.unlabeled": None, "data.only": {}}
    if len(labels) <= MOST_LABELS:
        changes["prompt.verbalizer"] = verbalizer_for(recipe.prompt.verbalizer, labels)
    return recipe.replace(changes)


def with_task(recipe: Recipe, task: str) -> Recipe:
    """The recipe for another task over the same file, with columns, template and label words that suit it."""
    if task == recipe.task:
        return recipe
    columns = recipe.data.columns
    if task == "generation":
        file = read(ready(recipe.model_dump()).data.train)
        return dialogues.with_columns(recipe.replace({"task": task, "pet": None}), conversation_columns(file) or _asking(columns))
    label = columns.get("label") or columns.get(RESPONSE) or next(iter(columns.values()))
    text = next((column for name, column in columns.items() if name != MESSAGES and column != label), label)
    # Rows of one label were enough to write; to choose a class it takes them all.
    recipe = recipe.replace({"task": task, "prompt.templates": ["{text} [MASK]"], "data.only": {}})
    return with_file(recipe, recipe.data.train, {"text": text, "label": label})


def set_only(t: Words, text: str) -> dict[str, Any]:
    """Which rows are read, as an assignment, from lines such as label = positive.

    Raises:
        DataError: a line without an equals sign.
    """
    wanted: dict[str, str] = {}
    for line in filter(str.strip, (text or "").splitlines()):
        column, sign, value = (line if "=" in line else line.replace("\uff1d", "=")).partition("=")
        if not sign or not column.strip():
            raise DataError(t("data.only_wrong", line=line.strip()), fix=t("data.only_fix"))
        wanted[column.strip()] = value.strip()
    return {"data.only": wanted}


def only_lines(recipe: Recipe) -> str:
    """Which rows are read, in the lines of `set_only`."""
    return "\n".join(f"{column} = {value}" for column, value in recipe.data.only.items())


def _asking(columns: dict[str, str]) -> dict[str, str]:
    """For a file of labelled texts: the label asks and the text answers, so that a model learns to write what the label says."""
    columns = dict(columns)
    label = columns.pop("label", None)
    text = next(iter(columns.values()), "text")
    return {"label": label, RESPONSE: text} if label else {"question": text, RESPONSE: text}


def _with_answers(recipe: Recipe, path: str, file: Table, columns: dict[str, str] | None) -> Recipe:
    wanted = recipe.data.columns if columns is None else columns
    if not set(wanted.values()) <= set(file.columns):
        found = guess_columns(file.columns, file.rows)
        wanted = conversation_columns(file) or {"question": found["text"], RESPONSE: found["label"]}
    changes: dict[str, Any] = {"data.train": path}
    if path != recipe.data.train:
        changes |= {"data.validation": None, "data.unlabeled": None, "data.only": {}}
    return dialogues.with_columns(recipe.replace(changes), wanted)


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("data.tab"), id="data") as tab:
        gr.HTML(lead(t("data.lead"), t))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                task = gr.Radio(
                    [(t(f"data.task_{name}"), name) for name in TASKS], label=t("data.task"), info=t("data.task_help"), elem_id="data-task"
                )
                file = gr.Dropdown(_choices(None), label=t("data.file"), info=t("data.file_help"), elem_id="data-file")
                upload = gr.File(label=t("data.upload"), file_types=list(SUFFIXES), height=140, elem_id="data-upload")
                texts = gr.Dropdown([], label=t("data.texts"), info=t("data.texts_help"), multiselect=True, elem_id="data-texts")
                label = gr.Dropdown([], label=t("data.label"), info=t("data.label_help"), elem_id="data-label")
                only = gr.Textbox(
                    label=t("data.only"), info=t("data.only_help"), lines=1, max_lines=4, elem_id="data-only", elem_classes=SELDOM
                )
                gr.HTML(all_fields(t))
            with gr.Column(scale=3, min_width=380):
                about = gr.HTML(elem_id="data-facts")
                with gr.Row():
                    labels_plot = gr.Plot(show_label=False, container=False, elem_id="data-labels")
                    lengths_plot = gr.Plot(show_label=False, container=False, elem_id="data-lengths")
        sample = gr.HTML(elem_id="data-rows")
        look, look_inputs, look_outputs = build_labelling(frame)

    frame.opens(file.input, lambda recipe, path: with_file(recipe, path), [file], "data_file")
    frame.opens(upload.upload, lambda recipe, path: with_file(recipe, keep_upload(path, frame.service.root)), [upload], "data_upload")

    frame.opens(task.input, with_task, [task], "data_task")

    def choose_columns(recipe: Recipe, chosen: list[str], label_column: str) -> Recipe:
        if recipe.task == "generation":
            file = read(ready(recipe.model_dump()).data.train)
            return with_file(recipe, recipe.data.train, dialogues.named_columns(file, chosen or [], label_column or ""))
        if not chosen or not label_column:
            raise DataError(t("data.columns_needed"), fix=t("data.columns_fix"))
        columns = named_fields([c for c in chosen if c != label_column] or chosen, label_column, recipe.data.columns)
        return with_file(recipe, recipe.data.train, columns)

    frame.opens(texts.input, choose_columns, [texts, label], "data_texts")
    frame.opens(label.input, choose_columns, [texts, label], "data_label")

    show = _shower(frame)

    def refresh(draft: dict[str, Any], *labelling: Any) -> tuple[Any, ...]:
        return (*show(draft), *look(*labelling))

    shown = [about, labels_plot, lengths_plot, sample, *look_outputs]
    fill, controls = functools.partial(_filled, t=t), [task, file, texts, label, only]
    part = Part("data", tab, controls, fill, (refresh, [frame.draft, *look_inputs], shown))
    # Once a line is whole: half a column's name is no mistake of whoever is still writing it.
    chosen = frame.edit(only.blur, lambda recipe, text: set_only(t, text), [only], "data_only")
    frame.refresh(chosen.then, [part])
    return part


def _filled(recipe: Recipe, t: Words) -> list[Any]:
    """What the controls show of a recipe; the file's own columns to choose from where it can be read."""
    columns = recipe.data.columns
    try:
        names = list(read(ready(recipe.model_dump()).data.train).columns)
    except WorkbenchError:
        names = list(columns.values())
    answer = ("label",) if recipe.task == "classification" else (RESPONSE, MESSAGES)
    chosen = [column for name, column in columns.items() if name not in answer]
    said = next((columns[name] for name in answer if name in columns), None)
    words = ("texts", "label") if recipe.task == "classification" else ("questions", "answers")
    named = [{"label": t(f"data.{word}"), "info": t(f"data.{word}_help")} for word in words]
    return [
        recipe.task,
        gr.update(choices=_choices(recipe.data.train), value=short_path(recipe.data.train)),
        gr.update(choices=names, value=chosen, **named[0]),
        gr.update(choices=names, value=said, **named[1]),
        only_lines(recipe),
    ]


def _shower(frame: Frame) -> Any:
    t = frame.t

    def show(draft: dict[str, Any]) -> tuple[Any, ...]:
        recipe = ready(draft)
        try:
            shown = view(recipe, t, _tokenizer(frame, recipe))
        except WorkbenchError as error:
            return problem(error.message, error.fix, t), None, None, ""
        unit = t.get(f"data.unit_{shown.unit}", shown.unit)
        counted = sorted(shown.label_counts.items(), key=lambda pair: -pair[1])[:MOST_LABELS]
        labels = charts.counts([name for name, _ in counted], [count for _, count in counted], x=t("data.rows"), y=t("data.labels"))
        labels = gr.update(value=labels if counted else None, visible=bool(counted))
        lengths = charts.histogram(shown.edges, shown.lengths, x=t("data.length", unit=unit), limit=shown.limit, limit_name=t("data.cut"))
        notes = "".join(sentence(note, "note") for note in shown.notes)
        rows = heading(t("data.sample", count=len(shown.rows))) + table(shown.headers, shown.rows, numeric=frozenset({0}))
        return heading(shown.name) + facts(shown.facts) + notes, labels, lengths, rows

    return show


def _tokenizer(frame: Frame, recipe: Recipe) -> Any:
    """The model's tokenizer when having it costs no download; lengths are counted without it otherwise."""
    if not recipe.model.path.startswith("embedded:"):
        return None
    try:
        return frame.service.pool.get(recipe.model).tokenizer
    except WorkbenchError:
        return None


def _choices(current: str | None) -> list[tuple[str, str]]:
    files = preset_files()
    if current and short_path(current) not in files:
        files.append(short_path(current))
    return [(path.rsplit("/", 1)[-1], path) for path in files]
