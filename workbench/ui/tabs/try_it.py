"""Try it: one text in, label probabilities and the words that mattered out, two models side by side; or a whole file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.paradigms.flips import Flip, flips
from workbench.ui.batch import build_batch
from workbench.ui.beside import BASE, MOST_FIELDS, Side, answer, box_updates, cells, fields_of, side_html, writes_text
from workbench.ui.chat import build_chat
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.hard_sentences import choices as choices_of_sentences
from workbench.ui.hard_sentences import hard_sentences, sentence_of
from workbench.ui.markup import heading, percent, sentence, table
from workbench.ui.own_rows import choices as choices_of_rows
from workbench.ui.own_rows import own_rows, whole_row
from workbench.ui.rows import dataset
from workbench.ui.session import Watch
from workbench.ui.take_away import build_programs, build_take_away
from workbench.ui.text import Words

ANSWERING = ("finished", "stopped", "interrupted", "paused", "running")
MOST_FLIPS = 12


@dataclass(frozen=True)
class TryView:
    """The two answers for one text: of what stands beside the run, and of the run."""

    beside: Side
    tuned: Side


def choices(service: Any, t: Words) -> list[tuple[str, str]]:
    """Runs that can answer, newest first, named for a person."""
    found = []
    for run in service.runs():
        accuracy = (run.metrics or {}).get("accuracy")
        if run.status not in ANSWERING or writes_text(service, run):  # the chat below is the place of those that write
            continue
        if (run.status == "finished" or accuracy is not None) and _tuned(service, run):
            score = t("try.accuracy", share=f"{accuracy:.1%}") if accuracy is not None else t(f"status.{run.status}")
            method = t.get(f"methods.{run.method}.title", run.method)
            found.append((f"{run.name} \u00b7 {method} \u00b7 {score} \u00b7 {run.id[-6:]}", run.id))
    return found


def _tuned(service: Any, run: Any) -> bool:
    """A job may end without weights: a search finds words."""
    if run.kind == "train":
        return True
    try:
        service.tuned_folder(run.id)
    except RunError:
        return False
    return True


def others(service: Any, t: Words, run_id: str | None) -> list[tuple[str, str]]:
    """What can stand beside a run: itself before tuning, other runs, the models of boards."""
    runs = [(name, value) for name, value in choices(service, t) if value != run_id]
    return [(t("try.base"), BASE), *runs, *cells(service, t)]


def chosen_run(found: list[tuple[str, str]], current: str | None, watch: Watch) -> str | None:
    """The run in view: the one that was chosen, else the one that the tab Train shows, else the newest."""
    ids = [value for _, value in found]
    return next((run_id for run_id in (current, watch.run, *ids[:1]) if run_id in ids), None)


def view(service: Any, boards: Any, run_id: str, other: str, texts: dict[str, str], *, why: bool = False) -> TryView:
    """Both answers.

    Args:
        other: BASE, another run, or RUN/CELL of a board.

    Raises:
        WorkbenchError: a model has no tuned weights, or the text cannot be used.
    """
    tuned = answer(service, boards, run_id, texts, why=why)
    return TryView(answer(service, boards, f"{run_id}/{BASE}" if other == BASE else other, texts, why=why), tuned)


def answer_html(shown: TryView, t: Words, title: str = "") -> str:
    """Two cards side by side; `title` names the model beside the run, when it is not the run's own before tuning."""
    beside = (title, t("try.other_help")) if title else (t("try.base"), t("try.base_help"))
    cards = side_html(*beside, shown.beside, t) + side_html(t("try.tuned"), t("try.tuned_help"), shown.tuned, t, strong=True)
    return f'<div class="pw-duel">{cards}</div>'


def flips_html(found: list[Flip], tried: int, label: str, t: Words) -> str:
    """The changes of one word that turn the answer away from `label`, as a table; or that none does."""
    title = heading(t("try.flips"))
    if not found:
        return title + sentence(t("try.flips_none", count=tried), "good")
    names = [t(f"try.flip_{name}") for name in ("word", "instead", "answer", "share")]
    rows = [[flip.piece, flip.instead or t("try.flip_left_out"), flip.label, percent(flip.probability)] for flip in found[:MOST_FLIPS]]
    return title + sentence(t("try.flips_found", label=label, count=tried)) + table(names, rows, numeric=frozenset({3}))


class Asking:
    """What the tab's handlers do, over one service and in one language."""

    def __init__(self, frame: Frame) -> None:
        self.service, self.boards, self.t = frame.service, frame.boards, frame.t

    def show_run(self, run_id: str | None) -> list[Any]:
        """One update per text box for the run's fields, one for the list of its own rows, and no answer."""
        rows = gr.update(choices=self.hard_ones(run_id) if run_id else [], value=None)
        return [*box_updates(self._recipe(run_id) if run_id else None, self.t), rows, ""]

    def hard_ones(self, run_id: str) -> list[tuple[str, str]]:
        """What may break the run: rows of its own, and hard sentences where it reads one text and calls it positive or negative."""
        run, rows = self.service.read(run_id, 1 << 30), own_rows(self.service, run_id)
        read = " ".join([*run.recipe.prompt.templates, *(row.text for row in rows)])
        labels = run.log.last("plan").get("labels", []) if len(fields_of(run.recipe)) == 1 else []
        return [*choices_of_rows(rows, self.t), *choices_of_sentences(hard_sentences(labels, read), self.t)]

    def show_others(self, run_id: str | None, beside: str | None) -> Any:
        """What can stand beside the run; what stood there stays where it still can."""
        found = others(self.service, self.t, run_id)
        return gr.update(choices=found, value=beside if beside in {value for _, value in found} else BASE)

    def refresh(self, current: str | None, beside: str | None, watch: Watch) -> list[Any]:
        """The runs that can answer now, and what follows from the chosen one; the answer goes only when its run did."""
        found = choices(self.service, self.t)
        chosen = chosen_run(found, current, watch)
        none = "try.cells_alone" if cells(self.service, self.t) else "try.none_yet"
        note = "" if found else sentence(self.t(none), "note")
        answered = "" if current is not None and chosen != current else gr.update()
        runs = gr.update(choices=found, value=chosen)
        return [runs, self.show_others(chosen, beside), *self.show_run(chosen)[:-1], note, answered]

    def answer_to(self, current: str | None, beside: str | None, reasons: bool, watch: Watch, *texts: str) -> str:
        """Both answers, drawn."""
        run_id, given = self._given(current, watch, texts)
        title = next((name for name, value in others(self.service, self.t, run_id) if value == beside and value != BASE), "")
        return answer_html(view(self.service, self.boards, run_id, beside or BASE, given, why=reasons), self.t, title)

    def take_example(self, current: str | None, number: int, watch: Watch) -> list[Any]:
        """Another row of the run's data for the text boxes, and the number of the next."""
        recipe = self._recipe(self._asked(current, watch))
        examples, names = dataset(recipe).examples, fields_of(recipe)
        picked = examples[(number * 997 + 31) % len(examples)]
        return [number + 1, *(picked.fields.get(names[i], "") if i < len(names) else "" for i in range(MOST_FIELDS))]

    def take_row(self, current: str | None, line: str | None, watch: Watch) -> list[Any]:
        """The chosen row of the run's validation data, or the chosen hard sentence, for the text boxes."""
        recipe = self._recipe(self._asked(current, watch))
        names, sentence = fields_of(recipe), sentence_of(line or "")
        picked = {names[0]: sentence} if sentence else whole_row(recipe, line or "")
        return [picked.get(names[i], "") if i < len(names) else "" for i in range(MOST_FIELDS)] if picked else [gr.skip()] * MOST_FIELDS

    def which_word(self, current: str | None, watch: Watch, *texts: str) -> str:
        """What the answer of the run hangs on, drawn."""
        run_id, given = self._given(current, watch, texts)
        predictor = self.service.predictor(run_id)
        guessing = self.service.pool.get(predictor.recipe.model) if predictor.loaded.kind == "masked" else None
        found, tried = flips(predictor, given, guessing)
        return flips_html(found, tried, predictor.predict([given], label_words=False)[0].label, self.t)

    def _given(self, current: str | None, watch: Watch, texts: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        """The run that is asked, and its fields with what stands in the boxes."""
        run_id = self._asked(current, watch)
        given = {name: (text or "").strip() for name, text in zip(fields_of(self._recipe(run_id)), texts, strict=False)}
        if not any(given.values()):
            raise RunError(self.t("try.no_text"), fix=self.t("try.no_text_fix"))
        return run_id, given

    def _asked(self, current: str | None, watch: Watch) -> str:
        # A person may press before the page has filled the list of runs; what it is about to choose is meant.
        run_id = current or chosen_run(choices(self.service, self.t), None, watch)
        if not run_id:
            raise RunError(self.t("try.no_run"), fix=self.t("try.none_yet"))
        return run_id

    def _recipe(self, run_id: str) -> Any:
        return self.service.read(run_id, 1 << 30).recipe


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("try.tab"), id="try_it") as tab:
        gr.HTML(lead(t("try.lead"), t))
        with gr.Row():
            run = gr.Dropdown([], label=t("try.run"), info=t("try.run_help"), elem_id="try-run")
            base = [(t("try.base"), BASE)]
            other = gr.Dropdown(base, value=BASE, label=t("try.beside"), info=t("try.beside_help"), elem_id="try-beside")
        named = {"label": t("try.text"), "placeholder": t("try.placeholder"), "lines": 3, "submit_btn": False}
        boxes = [gr.Textbox(**named, visible=i == 0, elem_id=f"try-text-{i}") for i in range(MOST_FIELDS)]
        with gr.Row():
            ask = gr.Button(t("try.ask"), variant="primary", elem_id="try-ask", scale=0, min_width=160)
            example = gr.Button(t("try.example"), scale=0, min_width=240, elem_id="try-example")
            why = gr.Checkbox(True, label=t("try.why"), info=t("try.why_help"), elem_id="try-why", min_width=260)
        with gr.Row(elem_classes="pw-end"):
            hard = gr.Dropdown([], value=None, label=t("try.hard"), info=t("try.hard_help"), elem_id="try-hard", scale=4)
            which = gr.Button(t("try.which"), size="sm", scale=1, min_width=160, elem_id="try-which")
        none_yet, answered, turn = gr.HTML(elem_id="try-none"), gr.HTML(elem_id="try-answer"), gr.State(0)
        flipped = gr.HTML(elem_id="try-flips")
        build_batch(frame, run)
        build_take_away(frame, run)
        build_programs(frame, run, boxes)
        talk, talk_inputs, talk_outputs = build_chat(frame)
    asking = Asking(frame)
    _wire(frame, asking, (run, other, why, boxes), (ask, example, hard, turn), answered)
    told = [run, frame.watch, *boxes]
    frame.on(which.click, asking.which_word, told, [flipped], "try_which", concurrency_limit=2, show_progress="minimal")
    frame.on(answered.change, lambda: "", [], [flipped], "try_which_other")

    def refresh(current: str | None, beside: str | None, watch: Watch, *talking: Any) -> list[Any]:
        return [*asking.refresh(current, beside, watch), *talk(*talking)]

    outputs = [run, other, *boxes, hard, none_yet, answered, *talk_outputs]
    return Part("try_it", tab, refresh=(refresh, [run, other, frame.watch, *talk_inputs], outputs))


def _wire(frame: Frame, asking: Asking, given: tuple[Any, Any, Any, list[Any]], presses: tuple[Any, ...], answered: gr.HTML) -> None:
    (run, other, why, boxes), (ask, example, hard, turn) = given, presses
    asked = [run, other, why, frame.watch, *boxes]
    waits = {"show_progress": "minimal"}
    frame.on(run.input, asking.show_run, [run], [*boxes, hard, answered], "try_run")
    frame.on(run.input, asking.show_others, [run, other], [other], "try_others")
    frame.on(ask.click, asking.answer_to, asked, [answered], "try_ask", concurrency_limit=2, **waits)
    frame.on(boxes[0].submit, asking.answer_to, asked, [answered], "try_submit", **waits)
    taken = frame.on(example.click, asking.take_example, [run, turn, frame.watch], [turn, *boxes], "try_example")
    frame.on(taken.then, asking.answer_to, asked, [answered], "try_example_answer", **waits)
    picked = frame.on(hard.input, asking.take_row, [run, hard, frame.watch], boxes, "try_hard")
    frame.on(picked.then, asking.answer_to, asked, [answered], "try_hard_answer", **waits)

