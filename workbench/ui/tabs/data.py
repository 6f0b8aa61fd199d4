"""Data: choose files, say which column is what, see rows and histograms, and what a training would take of them."""

from __future__ import annotations

import functools
import re
from typing import Any

import gradio as gr

from workbench.data.conversations import MESSAGES, RESPONSE
from workbench.data.conversations import guess_columns as conversation_columns
from workbench.data.dataset import dataset_from
from workbench.data.encoding import AUTO
from workbench.data.table import Table
from workbench.errors import DataError, EncodingError, WorkbenchError
from workbench.models.known import tokenizer_here
from workbench.prompts.cards import words_for
from workbench.recipe import Recipe
from workbench.ui import charts, dialogues
from workbench.ui.data_view import DataView, labelled_view
from workbench.ui.forms import SELDOM
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.markup import all_fields, facts, heading, problem, sentence, table
from workbench.ui.rows import SUFFIXES, whole_table
from workbench.ui.rows import table as first_or_all
from workbench.ui.session import ready, short_path
from workbench.ui.tabs import data_files
from workbench.ui.tabs.labelling import build_labelling
from workbench.ui.text import Words
from workbench.ui.training_form import stopping_for
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
        name = known.get(column) or ("text" if len(chosen) == 1 else "") or re.sub(r"[{}|\[\]\s]+", "_", column)
        while name in fields or name == "label":
            name += "_"
        fields[name] = column
    return {**fields, "label": label}


def with_file(recipe: Recipe, path: str, columns: dict[str, str] | None = None) -> Recipe:
    """The recipe over another file or other columns, its verbalizer following the labels that the file holds. A file whose encoding
    cannot be told is taken too: the page then asks for it."""
    if path != recipe.data.train:
        other = {"data.validation": None, "data.unlabeled": None, "data.only": {}, "data.encoding": AUTO}
        recipe = recipe.replace({"data.train": path, **other})
    try:
        file = _file(recipe)
    except EncodingError:
        return recipe
    if recipe.task == "generation":
        return _with_answers(recipe, file, columns)
    wanted = recipe.data.columns if columns is None else columns
    if not set(wanted.values()) <= set(file.columns):
        wanted = guess_columns(file.columns, file.rows)
    labels = dataset_from(file, wanted).labels
    changes: dict[str, Any] = {"data.columns": wanted}
    if not file.whole:  # a stream gives neither
        changes |= {"data.split.shots": None, "data.soft_labels": None}
    if len(labels) <= MOST_LABELS:
        changes |= words_for(recipe.prompt, labels)
    return recipe.replace(changes)


def with_encoding(recipe: Recipe, encoding: str) -> Recipe:
    """The recipe with its files read in an encoding, and the columns and labels that they then have."""
    return with_file(recipe.replace({"data.encoding": encoding or AUTO}), recipe.data.train)


def proposed(before: Recipe, after: Recipe) -> tuple[Recipe, dict[str, Any] | None]:
    """The second recipe, and which columns of which file were guessed for it: none where it kept those of the first."""
    if after.data.columns == before.data.columns:
        return after, None
    return after, {"train": short_path(after.data.train), "columns": after.data.columns}


def proposal(recipe: Recipe, guess: dict[str, Any] | None, t: Words) -> list[str]:
    """A note that names the guessed columns and asks to look, as long as nobody chose others."""
    current = {"train": short_path(recipe.data.train), "columns": recipe.data.columns}
    if guess != current:
        return []
    names = {"label": t("data.label"), RESPONSE: t("data.answers"), MESSAGES: t("data.answers")}
    other = t("data.texts") if recipe.task == "classification" else t("data.questions")
    pairs = [t("data.guessed_pair", role=names.get(name, other), column=column) for name, column in recipe.data.columns.items()]
    return [t("data.guessed", columns=t("data.guessed_join").join(pairs))]


def with_task(recipe: Recipe, task: str) -> Recipe:
    """The recipe for another task over the same file, with columns, template and label words that suit it."""
    if task == recipe.task:
        return recipe
    recipe = stopping_for(recipe, task)
    columns = recipe.data.columns
    if task == "generation":
        # Ensembles, sweeps and the like choose between classes.
        recipe = recipe.replace({"task": task, "pet": None, "job": None, "prompt.template_words": None})
        return dialogues.with_columns(recipe, conversation_columns(_file(recipe)) or _asking(columns))
    label = columns.get("label") or columns.get(RESPONSE) or next(iter(columns.values()))
    text = next((column for name, column in columns.items() if name != MESSAGES and column != label), label)
    # Rows of one label were enough to write; to choose a class it takes them all.
    recipe = recipe.replace({"task": task, "prompt.templates": ["{text} [MASK]"], "data.only": {}})
    return with_file(recipe, recipe.data.train, {"text": text, "label": label})


def with_task_again(recipe: Recipe, task: str, left: dict[str, Any] | None) -> tuple[Recipe, dict[str, Any] | None]:
    """`with_task`, and what it left behind of a classification, to be given as `left` the next time: over the same file the columns and
    templates that a person wrote come back with the task."""
    if task == recipe.task:
        return recipe, left
    found = with_task(recipe, task)
    if task == "generation":
        prompt = {"templates": recipe.prompt.templates, "template_words": recipe.prompt.template_words}
        return found, {"train": recipe.data.train, "columns": recipe.data.columns, **prompt}
    if left and left["train"] == found.data.train:
        prompt = {f"prompt.{name}": left[name] for name in ("templates", "template_words")}
        found = with_file(found.replace(prompt), found.data.train, left["columns"])
    return found, left


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


def _file(recipe: Recipe) -> Table:
    """The training file: of a large one the first rows, or a refusal where its task needs all of them in memory."""
    data = ready(recipe.model_dump()).data
    return (whole_table if recipe.task == "generation" else first_or_all)(data.train, encoding=data.encoding)


def _with_answers(recipe: Recipe, file: Table, columns: dict[str, str] | None) -> Recipe:
    wanted = recipe.data.columns if columns is None else columns
    if not set(wanted.values()) <= set(file.columns):
        found = guess_columns(file.columns, file.rows)
        wanted = conversation_columns(file) or {"question": found["text"], RESPONSE: found["label"]}
    return dialogues.with_columns(recipe, wanted)


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("data.tab"), id="data") as tab:
        guess, left = gr.State(None), gr.State(None)
        gr.HTML(lead(t("data.lead"), t))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                task = gr.Radio(
                    [(t(f"data.task_{name}"), name) for name in TASKS], label=t("data.task"), info=t("data.task_help"), elem_id="data-task"
                )
                file = gr.Dropdown(data_files.choices(None), label=t("data.file"), info=t("data.file_help"), elem_id="data-file")
                upload = gr.File(label=t("data.upload"), file_types=list(SUFFIXES), height=140, elem_id="data-upload")
                encoding = data_files.build_encoding(t)
                texts = gr.Dropdown([], label=t("data.texts"), info=t("data.texts_help"), multiselect=True, elem_id="data-texts")
                label = gr.Dropdown([], label=t("data.label"), info=t("data.label_help"), elem_id="data-label")
                only = gr.Textbox(
                    label=t("data.only"), info=t("data.only_help"), lines=1, max_lines=4, elem_id="data-only", elem_classes=SELDOM
                )
                more, status = data_files.build_files(frame)
                gr.HTML(all_fields(t))
            with gr.Column(scale=3, min_width=380):
                about = gr.HTML(sentence(t("working")), elem_id="data-facts")
                with gr.Row():
                    labels_plot = gr.Plot(show_label=False, container=False, elem_id="data-labels")
                    lengths_plot = gr.Plot(show_label=False, container=False, elem_id="data-lengths")
        sample = gr.HTML(elem_id="data-rows")
        look, look_inputs, look_outputs = build_labelling(frame)

    _wire(frame, (task, file, upload, encoding, texts, label), guess, left)
    show = _shower(frame)

    def refresh(draft: dict[str, Any], guessed: dict[str, Any] | None, *labelling: Any) -> tuple[Any, ...]:
        return (*show(draft, guessed), *look(*labelling))

    shown = [about, labels_plot, lengths_plot, sample, status, *look_outputs]
    fill, controls = functools.partial(_filled, t=t), [task, file, texts, label, only, encoding, *more]
    part = Part("data", tab, controls, fill, (refresh, [frame.draft, guess, *look_inputs], shown))
    # Once a line is whole: half a column's name is no mistake of whoever is still writing it.
    chosen = frame.edit(only.blur, lambda recipe, text: set_only(t, text), [only], "data_only")
    frame.refresh(chosen.then, [part])
    return part


def _wire(frame: Frame, controls: Any, guess: gr.State, left: gr.State) -> None:
    """What is chosen here becomes another recipe; `guess` holds columns that nobody chose, `left` what a task left behind."""
    t = frame.t
    task, file, upload, encoding, texts, label = controls

    def keep(recipe: Recipe, path: str) -> tuple[Recipe, Any]:
        return proposed(recipe, with_file(recipe, keep_upload(path, frame.service.root)))

    def choose_columns(recipe: Recipe, chosen: list[str], label_column: str) -> tuple[Recipe, None]:
        if recipe.task == "generation":
            columns = dialogues.named_columns(_file(recipe), chosen or [], label_column or "")
        elif not chosen or not label_column:
            raise DataError(t("data.columns_needed"), fix=t("data.columns_fix"))
        else:
            columns = named_fields([c for c in chosen if c != label_column] or chosen, label_column, recipe.data.columns)
        return with_file(recipe, recipe.data.train, columns), None

    frame.opens(file.input, lambda recipe, path: proposed(recipe, with_file(recipe, path)), [file], "data_file", [guess])
    frame.opens(upload.upload, keep, [upload], "data_upload", [guess])
    frame.opens(encoding.input, lambda recipe, name: proposed(recipe, with_encoding(recipe, name)), [encoding], "data_encoding", [guess])
    frame.opens(task.input, with_task_again, [task, left], "data_task", [left])
    frame.opens(texts.input, choose_columns, [texts, label], "data_texts", [guess])
    frame.opens(label.input, choose_columns, [texts, label], "data_label", [guess])


def _filled(recipe: Recipe, t: Words) -> list[Any]:
    """What the controls show of a recipe; the file's own columns to choose from where it can be read."""
    columns = recipe.data.columns
    try:
        names = list(_file(recipe).columns)
    except WorkbenchError:
        names = list(columns.values())
    answer = ("label",) if recipe.task == "classification" else (RESPONSE, MESSAGES)
    chosen = [column for name, column in columns.items() if name not in answer]
    said = next((columns[name] for name in answer if name in columns), None)
    words = ("texts", "label") if recipe.task == "classification" else ("questions", "answers")
    named = [{"label": t(f"data.{word}"), "info": t(f"data.{word}_help")} for word in words]
    return [
        recipe.task,
        gr.update(choices=data_files.choices(recipe.data.train), value=short_path(recipe.data.train)),
        gr.update(choices=names, value=chosen, **named[0]),
        gr.update(choices=names, value=said, **named[1]),
        only_lines(recipe),
        data_files.encoding_update(recipe, t),
        *data_files.filled(recipe, t),
    ]


def _shower(frame: Frame) -> Any:
    t = frame.t

    def show(draft: dict[str, Any], guess: dict[str, Any] | None) -> tuple[Any, ...]:
        recipe = ready(draft)
        status = data_files.status_html(data_files.extras(recipe), t)
        try:
            shown = view(recipe, t, _tokenizer(frame, recipe))
        except WorkbenchError as error:
            return problem(error.message, error.fix, t), None, None, "", status
        unit = t.get(f"data.unit_{shown.unit}", shown.unit)
        counted = sorted(shown.label_counts.items(), key=lambda pair: -pair[1])[:MOST_LABELS]
        labels = charts.counts([name for name, _ in counted], [count for _, count in counted], x=t("data.rows"), y=t("data.labels"))
        labels = gr.update(value=labels if counted else None, visible=bool(counted))
        axes = {"x": t("data.length", unit=unit), "y": t("data.rows")}
        lengths = charts.histogram(shown.edges, shown.lengths, **axes, limit=shown.limit, limit_name=t("data.cut"))
        rows = heading(t("data.sample", count=len(shown.rows))) + table(shown.headers, shown.rows, numeric=frozenset({0}))
        return about_html(shown, proposal(recipe, guess, t), t), labels, lengths, rows, status

    return show


def about_html(shown: DataView, proposals: list[str], t: Words) -> str:
    """Facts and notes of the file, and what a training would take of it; what asks for a look stands first."""
    taken = shown.taken
    wrong = problem(*taken.problem, t) if taken.problem else ""
    asked = "".join(sentence(note, "note") for note in proposals)
    notes = "".join(sentence(note, "note") for note in (*shown.notes, *taken.notes))
    return heading(shown.name) + asked + facts([*shown.facts, *taken.facts]) + wrong + notes


def _tokenizer(frame: Frame, recipe: Recipe) -> Any:
    """The model's tokenizer when having it costs no download; lengths are counted without it otherwise."""
    return tokenizer_here(recipe.model, frame.service.pool)
