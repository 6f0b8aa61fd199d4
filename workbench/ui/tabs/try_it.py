"""Try it: one text in, label probabilities and the words that mattered out, two models side by side; or a whole file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.paradigms.flips import Flip, flips
from workbench.runs.boards import CellModel, measured
from workbench.ui.batch import build_batch
from workbench.ui.beside import (
    BASE,
    MOST_FIELDS,
    Side,
    answer,
    box_updates,
    cells,
    fields_of,
    has_language_model,
    is_cell,
    model_of,
    side_html,
    writes_text,
)
from workbench.ui.chat import build_chat
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.hard_sentences import choices as choices_of_sentences
from workbench.ui.hard_sentences import hard_sentences, sentence_of
from workbench.ui.markup import esc, heading, percent, scrolled, sentence
from workbench.ui.own_rows import cell_row, own_rows, whole_row
from workbench.ui.own_rows import choices as choices_of_rows
from workbench.ui.rows import dataset
from workbench.ui.session import Watch
from workbench.ui.take_away import build_programs, build_take_away
from workbench.ui.text import Words

ALONE = "alone"
ANSWERING = ("finished", "stopped", "interrupted", "paused", "running")
MOST_FLIPS = 12
# One listener on the place: its buttons come and go with every table.
CLICK = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-flip]');
    if (button) trigger('click', {flip: Number(button.dataset.flip)});
});"""


@dataclass(frozen=True)
class TryView:
    """The answers for one text: of what stands beside the chosen model, where anything does, and of that model."""

    beside: Side | None
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


def models(service: Any, t: Words) -> list[tuple[str, str]]:
    """Everything that can be asked: runs, then the models of boards."""
    return [*choices(service, t), *cells(service, t)]


def others(found: list[tuple[str, str]], t: Words, model: str | None) -> list[tuple[str, str]]:
    """What of the `found` models can stand beside one: beside a run also itself before tuning, beside a board's model also nothing."""
    first = (t("try.alone"), ALONE) if is_cell(model) else (t("try.base"), BASE)
    return [first, *((name, value) for name, value in found if value != model)]


def chosen_run(found: list[tuple[str, str]], current: str | None, watch: Watch) -> str | None:
    """The model in view: the one that was chosen, else the run that the tab Train shows, else the newest."""
    ids = [value for _, value in found]
    return next((run_id for run_id in (current, watch.run, *ids[:1]) if run_id in ids), None)


def view(service: Any, boards: Any, model: str, other: str, texts: dict[str, str], *, why: bool = False) -> TryView:
    """Both answers.

    Args:
        model: a run, or RUN/CELL of a board.
        other: BASE of a run, ALONE, another run, or RUN/CELL of a board.

    Raises:
        WorkbenchError: a model has no tuned weights, or the text cannot be used.
    """
    tuned = answer(service, boards, model, texts, why=why)
    if other == ALONE:
        return TryView(None, tuned)
    return TryView(answer(service, boards, f"{model}/{BASE}" if other == BASE else other, texts, why=why), tuned)


def answer_html(shown: TryView, t: Words, title: str = "", cell: str = "") -> str:
    """Two cards side by side, or one.

    Args:
        title: names the model beside the chosen one, when it is not the run's own before tuning.
        cell: names the chosen one, when it is a board's.
    """
    beside = (title, t("try.other_help")) if title else (t("try.base"), t("try.base_help"))
    chosen = (cell, t("try.other_help")) if cell else (t("try.tuned"), t("try.tuned_help"))
    first = side_html(*beside, shown.beside, t) if shown.beside else ""
    return f'<div class="pw-duel">{first}{side_html(*chosen, shown.tuned, t, strong=True)}</div>'


def limits_html(model: str | None, t: Words) -> str:
    """What a board's model cannot do that a run can; nothing of a run, and where there is no model how to get one."""
    if model is None:
        return sentence(t("try.none_yet"), "note")
    if not is_cell(model):
        return ""
    return sentence(t("try.cell_tuned" if has_language_model(model) else "try.cell_plain"), "note")


def flips_html(found: list[Flip], tried: int, label: str, t: Words, *, exchanged: bool = True) -> str:
    """The changes of one word that turn the answer away from `label`, as a table; or that none does. `exchanged` says whether words were
    put in the place of others as well."""
    way = "" if exchanged else "_out"
    title = heading(t("try.flips"))
    if not found:
        return title + sentence(t(f"try.flips_none{way}", count=tried), "good")
    names = [t(f"try.flip_{name}") for name in ("word", "instead", "answer", "share", "then")]
    head = "".join(f'<th scope="col">{esc(name)}</th>' for name in names)
    rows = "".join(_flip_row(flip, number, t) for number, flip in enumerate(found[:MOST_FLIPS]))
    drawn = f'<table class="pw-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return title + sentence(t(f"try.flips_found{way}", label=label, count=tried)) + scrolled(drawn, ", ".join(names))


def _flip_row(flip: Flip, number: int, t: Words) -> str:
    instead = flip.instead or t("try.flip_left_out")
    cells = "".join(f"<td>{esc(cell)}</td>" for cell in (flip.piece, instead, flip.label, percent(flip.probability)))
    name = esc(f"{t('try.flip_take')}: {flip.piece} \u2192 {instead}")
    button = f'<button type="button" class="pw-act" data-flip="{number}" aria-label="{name}">{esc(t("try.flip_take"))}</button>'
    return f"<tr>{cells}<td>{button}</td></tr>"


class Asking:
    """What the tab's handlers do, over one service and in one language."""

    def __init__(self, frame: Frame) -> None:
        self.service, self.boards, self.t = frame.service, frame.boards, frame.t

    def show_run(self, model: str | None) -> list[Any]:
        """One update per text box for the model's fields, one for the list of its own rows, what it cannot do, and no answer."""
        rows = gr.update(choices=self.hard_ones(model) if model else [], value=None)
        return [*box_updates(self._recipe(model) if model else None, self.t), rows, limits_html(model, self.t), ""]

    def hard_ones(self, model: str) -> list[tuple[str, str]]:
        """What may break the model: rows of its own, and hard sentences where it reads one text and calls it positive or negative."""
        run_id, _, cell = model.partition("/")
        run, rows = self.service.read(run_id, 1 << 30), own_rows(self.service, model)
        read = " ".join([*run.recipe.prompt.templates, *(row.text for row in rows)])
        known = measured(self.service, run_id, cell).labels if cell else run.log.last("plan").get("labels", [])
        labels = known if len(fields_of(run.recipe)) == 1 else []
        return [*choices_of_rows(rows, self.t), *choices_of_sentences(hard_sentences(labels, read), self.t)]

    def show_others(self, model: str | None, beside: str | None) -> Any:
        """What can stand beside the model; what stood there stays where it still can."""
        return self._beside(models(self.service, self.t), model, beside)

    def _beside(self, found: list[tuple[str, str]], model: str | None, beside: str | None) -> Any:
        offered = others(found, self.t, model)
        return gr.update(choices=offered, value=beside if beside in {value for _, value in offered} else offered[0][1])

    def refresh(self, current: str | None, beside: str | None, watch: Watch) -> list[Any]:
        """The models that can answer now, and what follows from the chosen one; the answer goes only when its model did."""
        found = models(self.service, self.t)
        chosen = chosen_run(found, current, watch)
        answered = "" if current is not None and chosen != current else gr.update()
        listed = gr.update(choices=found, value=chosen)
        return [listed, self._beside(found, chosen, beside), *self.show_run(chosen)[:-1], answered]

    def answer_to(self, current: str | None, beside: str | None, reasons: bool, watch: Watch, *texts: str) -> str:
        """Both answers, drawn."""
        model, given = self._given(current, watch, texts)
        shown = view(self.service, self.boards, model, beside or (ALONE if is_cell(model) else BASE), given, why=reasons)
        names = {value: name for name, value in models(self.service, self.t)}
        title = names.get(beside or "", "")
        return answer_html(shown, self.t, title, names.get(model, "") if is_cell(model) else "")

    def take_example(self, current: str | None, number: int, watch: Watch) -> list[Any]:
        """Another row of the run's data for the text boxes, and the number of the next."""
        recipe = self._recipe(self._asked(current, watch))
        examples, names = dataset(recipe).examples, fields_of(recipe)
        picked = examples[(number * 997 + 31) % len(examples)]
        return [number + 1, *(picked.fields.get(names[i], "") if i < len(names) else "" for i in range(MOST_FIELDS))]

    def take_row(self, current: str | None, line: str | None, watch: Watch) -> list[Any]:
        """The chosen row of the model's own, or the chosen hard sentence, for the text boxes."""
        model = self._asked(current, watch)
        recipe, sentence = self._recipe(model), sentence_of(line or "")
        names = fields_of(recipe)
        if sentence:
            picked = {names[0]: sentence}
        else:
            picked = cell_row(self.service, model, line or "") if is_cell(model) else whole_row(recipe, line or "")
        return [picked.get(names[i], "") if i < len(names) else "" for i in range(MOST_FIELDS)] if picked else [gr.skip()] * MOST_FIELDS

    def which_word(self, current: str | None, watch: Watch, *texts: str) -> list[Any]:
        """What the answer of the model hangs on, drawn, and the text boxes' content after each change that turns it."""
        model, given = self._given(current, watch, texts)
        asked = model_of(self.service, self.boards, model)
        predictor = asked.predictor if isinstance(asked, CellModel) else asked
        masked = predictor is not None and predictor.loaded.kind == "masked"
        guessing = self.service.pool.get(predictor.recipe.model) if masked else None
        found, tried = flips(asked, given, guessing)
        names = [*given, *[""] * (MOST_FIELDS - len(given))]
        turned = [[flip.fields.get(name, "") for name in names] for flip in found[:MOST_FLIPS]]
        label = asked.predict([given], label_words=False)[0].label
        return [flips_html(found, tried, label, self.t, exchanged=masked), turned]

    def take_flip(self, event: gr.EventData, turned: list[list[str]]) -> list[Any]:
        """The chosen change in the text boxes, to go on from; none where the page names none of those it was shown."""
        with suppress(AttributeError, TypeError):  # a call without a click carries nothing, or anything
            if 0 <= event.flip < len(turned):
                return turned[event.flip]
        return [gr.skip()] * MOST_FIELDS

    def _given(self, current: str | None, watch: Watch, texts: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        """The model that is asked, and its fields with what stands in the boxes."""
        model = self._asked(current, watch)
        given = {name: (text or "").strip() for name, text in zip(fields_of(self._recipe(model)), texts, strict=False)}
        if not any(given.values()):
            raise RunError(self.t("try.no_text"), fix=self.t("try.no_text_fix"))
        return model, given

    def _asked(self, current: str | None, watch: Watch) -> str:
        # A person may press before the page has filled the list of models; what it is about to choose is meant.
        model = current or chosen_run(models(self.service, self.t), None, watch)
        if not model:
            raise RunError(self.t("try.no_run"), fix=self.t("try.none_yet"))
        return model

    def _recipe(self, model: str) -> Any:
        return self.service.read(model.partition("/")[0], 1 << 30).recipe


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("try.tab"), id="try_it") as tab:
        gr.HTML(lead(t("try.lead"), t))
        with gr.Row():
            run = gr.Dropdown([], label=t("try.model"), info=t("try.model_help"), elem_id="try-run")
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
        flipped, turned = gr.HTML(js_on_load=CLICK, elem_id="try-flips"), gr.State([])
        build_batch(frame, run)
        build_take_away(frame, run)
        build_programs(frame, run, boxes)
        talk, talk_inputs, talk_outputs = build_chat(frame)
    asking = Asking(frame)
    _wire(frame, asking, (run, other, why, boxes), (ask, example, hard, turn), (none_yet, answered))
    told = [run, frame.watch, *boxes]
    waits = {"concurrency_limit": 2, "show_progress": "minimal"}
    frame.on(which.click, asking.which_word, told, [flipped, turned], "try_which", show_progress_on=[flipped], **waits)
    taken = frame.on(flipped.click, asking.take_flip, [turned], boxes, "try_flip")
    frame.on(taken.then, asking.answer_to, [run, other, why, frame.watch, *boxes], [answered], "try_flip_answer", **waits)
    frame.on(answered.change, lambda: "", [], [flipped], "try_which_other")

    def refresh(current: str | None, beside: str | None, watch: Watch, *talking: Any) -> list[Any]:
        return [*asking.refresh(current, beside, watch), *talk(*talking)]

    outputs = [run, other, *boxes, hard, none_yet, answered, *talk_outputs]
    return Part("try_it", tab, refresh=(refresh, [run, other, frame.watch, *talk_inputs], outputs))


def _wire(
    frame: Frame, asking: Asking, given: tuple[Any, Any, Any, list[Any]], presses: tuple[Any, ...], told: tuple[gr.HTML, gr.HTML]
) -> None:
    (run, other, why, boxes), (ask, example, hard, turn), (none_yet, answered) = given, presses, told
    asked = [run, other, why, frame.watch, *boxes]
    waits = {"show_progress": "minimal"}
    frame.on(run.input, asking.show_run, [run], [*boxes, hard, none_yet, answered], "try_run")
    frame.on(run.input, asking.show_others, [run, other], [other], "try_others")
    frame.on(ask.click, asking.answer_to, asked, [answered], "try_ask", concurrency_limit=2, **waits)
    frame.on(boxes[0].submit, asking.answer_to, asked, [answered], "try_submit", **waits)
    taken = frame.on(example.click, asking.take_example, [run, turn, frame.watch], [turn, *boxes], "try_example")
    frame.on(taken.then, asking.answer_to, asked, [answered], "try_example_answer", **waits)
    picked = frame.on(hard.input, asking.take_row, [run, hard, frame.watch], boxes, "try_hard")
    frame.on(picked.then, asking.answer_to, asked, [answered], "try_hard_answer", **waits)

