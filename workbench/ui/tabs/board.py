"""Board: the same task by four paradigms, on the same rows; results appear as they come, and every model can be asked."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import RunError, WorkbenchError
from workbench.paradigms import find_paradigm, paradigm_names
from workbench.recipe import Recipe
from workbench.runs.boards import BoardModels, board_of, open_model
from workbench.runs.record import UNFINISHED
from workbench.ui.beside import MOST_FIELDS, box_updates, fields_of
from workbench.ui.board_job import BUDGETS, USUAL_SHOTS, budget_of, job_of
from workbench.ui.board_report import confusions_html, curves_figure, intervals_figure, zip_report
from workbench.ui.board_words import (
    color,
    disagreements_html,
    line_name,
    method_name,
    notes_html,
    paradigm_name,
    paradigms_html,
    seed_of,
    shots_name,
    significance_html,
    table_html,
    why_html,
)
from workbench.ui.forms import explained, number
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.markup import all_fields, bars, duration, esc, heading, problem, progress, sentence
from workbench.ui.queueing import IN_ORDER
from workbench.ui.rows import dataset
from workbench.ui.session import Watch, ready
from workbench.ui.tabs.model import embedded_models
from workbench.ui.tabs.train import buttons
from workbench.ui.text import Words

MOST_ASKED = 6
MOST_FURTHER = 8


@dataclass(frozen=True)
class BoardView:
    """A board as the tab draws it; `report` is None before the rows are set aside."""

    id: str
    name: str
    status: str
    done: int
    total: int
    seconds_left: float | None
    doing: str
    problem: tuple[str, str] | None
    report: dict[str, Any] | None
    recipe: Recipe
    buttons: dict[str, bool]
    watch: Watch = field(default_factory=Watch)


@dataclass(frozen=True)
class Picked:
    """The number of examples that a person looks closely at, and on which board; the largest is looked at until there is one."""

    run: str | None = None
    key: str | None = None


def view(service: Any, watch: Watch) -> BoardView | None:
    """The board in view, or None when nothing happened since it was drawn. Without one in view, the newest is taken."""
    run_id = watch.run or newest(service)
    if run_id is None:
        return None
    try:
        new = service.read(run_id, max(watch.seen, 0))
    except WorkbenchError:  # gone, or damaged
        return None
    if run_id == watch.run and new.status == watch.mark and new.next == watch.seen:
        return None
    return draw(service, run_id)


def draw(service: Any, run_id: str) -> BoardView:
    """A board as it stands."""
    run = service.read(run_id, 0)
    doing = next((str(event.get("text", "")) for event in reversed(run.events) if event.get("kind") == "progress"), "")
    return BoardView(
        run.id, run.name, run.status, run.step, run.total_steps, run.seconds_left, doing,
        (run.error.get("message", ""), run.error.get("fix", "")) if run.error else None,
        board_of(service, run_id), run.recipe, buttons(run.status), Watch(run.id, run.next, run.status),
    )  # fmt: skip


def newest(service: Any) -> str | None:
    """The board that is being worked on, else the newest one."""
    active = service.readable(lambda run: run.kind == "board" and run.status in UNFINISHED)
    return next((run.id for run, _ in chain(active, service.readable(lambda run: run.kind == "board"))), None)


def choices(service: Any, t: Words) -> list[tuple[str, str]]:
    """Every board, newest first."""
    boards = [run for run in service.runs() if run.kind == "board"]
    return [(f"{run.name} \u00b7 {t(f'status.{run.status}')} \u00b7 {run.id[-6:]}", run.id) for run in boards]


def method_choices(t: Words) -> list[tuple[str, str]]:
    """Every method of every paradigm as paradigm/method, the usual ones first."""
    found = []
    for name in paradigm_names():
        kind = find_paradigm(name)
        for method in [*kind.methods, *(other for other in kind.known() if other not in kind.methods)]:
            found.append((f"{paradigm_name(name, t)} \u00b7 {method_name(method, t)}", f"{name}/{method}"))
    return found


def usual_methods() -> list[str]:
    """What is chosen before anything is: every paradigm's own usual methods."""
    return [f"{name}/{method}" for name in paradigm_names() for method in find_paradigm(name).methods]


def status_html(shown: BoardView | None, t: Words) -> str:
    """Status, progress and time left."""
    if shown is None:
        return sentence(t("board.empty"), "note")
    left = t("train.left", time=duration(shown.seconds_left)) if shown.seconds_left is not None and shown.status == "running" else ""
    cells = t("board.cells_done", done=shown.done, total=shown.total)
    line = " \u00b7 ".join(part for part in (cells, left, t.said(shown.doing) if shown.status == "running" else "") if part)
    badge = f'<span class="pw-badge pw-status-{esc(shown.status)}">{esc(t(f"status.{shown.status}"))}</span>'
    head = f'<div class="pw-runhead"><strong>{esc(shown.name)}</strong>{badge}<code>{esc(shown.id)}</code></div>'
    trouble = problem(*shown.problem, t) if shown.problem else ""
    return head + progress(shown.done / shown.total if shown.total else 0.0, line) + trouble


def detail_html(report: dict[str, Any] | None, key: str | None, t: Words) -> str:
    """Table, significance, confusion matrices and disagreements at one number of examples."""
    if report is None or not key:
        return ""
    parts = (table_html, significance_html, confusions_html, disagreements_html)
    return "".join(part(report, key, t) for part in parts) + notes_html(report, t)


def models_of(report: dict[str, Any] | None, t: Words) -> list[tuple[str, str]]:
    """Every cell that can be asked: paradigm, method, examples and seed."""
    found = []
    for line in report["lines"] if report else []:
        for name in line["cells"]:
            seed = t("board.seed", seed=seed_of(name))
            found.append((f"{line_name(line, t)} \u00b7 {shots_name(line['shots'], t)} \u00b7 {seed}", name))
    return found


def champions_of(report: dict[str, Any] | None, key: str | None) -> list[str]:
    """The first seed's cell of every paradigm's champion at one number of examples."""
    if report is None or not key:
        return []
    chosen = report["champions"].get(key, {})
    return [line["cells"][0] for line in report["lines"] if line["shots"] == key and chosen.get(line["paradigm"]) == line["method"]]


def answers_html(service: Any, models: BoardModels, run_id: str, names: list[str], fields: dict[str, str], t: Words) -> str:
    """One card per model: its answer and which pieces of the text spoke for it."""
    titles = {name: title for title, name in models_of(board_of(service, run_id), t)}
    cards = []
    for name in names[:MOST_ASKED]:
        paradigm = name.partition("-")[0]
        title = f'<h3 class="pw-heading">{esc(titles.get(name, name))}</h3>'
        try:
            answerer = open_model(service, models, run_id, name)
            row = answerer.probabilities([fields])[0]
            label = answerer.labels[max(range(len(row)), key=row.__getitem__)]
            shares = bars(sorted(zip(answerer.labels, row, strict=True), key=lambda pair: -pair[1])[:5], winner=label)
            body = f'<p class="pw-answer">{esc(label)}</p>{shares}{why_html(answerer.why(fields, label), t)}'
        except WorkbenchError as error:
            body = problem(error.message, error.fix, t)
        cards.append(f'<section class="pw-card" style="border-top: 3px solid {color(paradigm)}">{title}{body}</section>')
    return f'<div class="pw-duel">{"".join(cards)}</div>'


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("board.tab"), id="board") as tab:
        gr.HTML(lead(t("board.lead"), t))
        with gr.Accordion(t("board.four"), open=False):
            gr.HTML(paradigms_html(t))
        with gr.Row():
            with gr.Column(scale=1, min_width=270):
                budget = gr.Radio(_budgets(t), value="quick", label=t("board.budget"), info=t("board.budget_help"), elem_id="board-budget")
                shots = gr.Textbox("0, 8, 32", label=t("board.shots"), info=t("board.shots_help"), max_lines=1, elem_id="board-shots")
                times = explained(t("board.seeds_help"), t("board.seeds_higher"), 3, t)
                seeds = number(1, label=t("board.seeds"), info=times, minimum=1, precision=0, elem_id="board-seeds")
                with gr.Accordion(t("board.what_label"), open=False, elem_classes="pw-more"):
                    methods = gr.Dropdown(
                        method_choices(t), value=usual_methods(), label=t("board.methods_label"), info=t("board.methods_help"),
                        multiselect=True, elem_id="board-methods",
                    )  # fmt: skip
                    further = gr.Dropdown(
                        embedded_models(), value=[], label=t("board.further_label"), info=t("board.further_help"),
                        multiselect=True, allow_custom_value=True, max_choices=MOST_FURTHER, elem_id="board-further",
                    )  # fmt: skip
                gr.HTML(all_fields(t))
                start = gr.Button(t("board.start"), variant="primary", elem_id="board-start")
                with gr.Row():
                    pause = gr.Button(t("train.pause"), interactive=False, elem_id="board-pause", min_width=70)
                    resume = gr.Button(t("train.resume"), interactive=False, elem_id="board-resume", min_width=70)
                    stop = gr.Button(t("train.stop"), interactive=False, elem_id="board-stop", min_width=70)
                chosen = gr.Dropdown([], label=t("board.chosen"), info=t("board.chosen_help"), elem_id="board-chosen")
            with gr.Column(scale=3, min_width=420):
                status = gr.HTML(sentence(t("board.empty"), "note"), elem_id="board-status")
                curves = gr.Plot(show_label=False, container=False, elem_id="board-curves")
                detail_key = gr.Radio([], label=t("board.detail"), info=t("board.detail_help"), visible=False, elem_id="board-detail-shots")
                points = gr.Plot(show_label=False, container=False, elem_id="board-intervals")
        detail = gr.HTML(elem_id="board-detail")
        # Without a finished cell there is nobody to ask and nothing to report.
        with gr.Column(visible=False) as answered:
            asking = _ask_area(t)
            with gr.Row():
                export = gr.Button(t("board.export"), size="sm", elem_id="board-export")
                download = gr.File(label=t("board.download"), visible=False, elem_id="board-download")
        timer, watch, done, picked = gr.Timer(1.0, render=False), gr.State(Watch()), gr.State(-1), gr.State(Picked())
    drawn = [watch, done, status, curves, detail_key, points, detail, asking.models, answered, start, pause, resume, stop, chosen]
    drawn += asking.boxes
    wiring = _Wiring(frame, drawn)
    looked = [frame.shown_tab, watch, done, picked]
    frame.on(timer.tick, wiring.poll, looked, drawn, "board_poll", look=True, queue=True, concurrency_limit=None)
    frame.on(start.click, wiring.begin, [frame.draft, shots, seeds, methods, further, budget], drawn, "board_start", **IN_ORDER)
    for button, name in ((pause, "pause"), (resume, "resume"), (stop, "stop")):
        frame.on(button.click, wiring.act(name), [watch, picked], drawn, f"board_{name}")
    frame.on(chosen.input, wiring.choose, [chosen], drawn, "board_choose")
    frame.on(detail_key.input, wiring.detail, [watch, detail_key], [picked, points, detail, asking.models], "board_detail")
    taken = frame.on(asking.example.click, wiring.example, [watch, asking.turn], [asking.turn, *asking.boxes], "board_example")
    asked = ((asking.ask.click, "ask"), (asking.boxes[0].submit, "submit"), (taken.then, "example_answer"))
    for event, name in asked:
        given = [watch, asking.models, *asking.boxes]
        frame.on(event, wiring.ask, given, [asking.answers], f"board_{name}", show_progress="minimal")
    frame.on(export.click, wiring.export, [watch], [download], "board_export", show_progress="minimal")
    return Part("board", tab, [shots, seeds, methods, further, budget], _filled, (wiring.look, [watch, picked], drawn), timer)


def _filled(recipe: Recipe) -> list[Any]:
    job = recipe.job if recipe.kind == "board" else None
    if job is None:
        return [gr.skip()] * 5
    names = [f"{name}/{method}" for name, listed in (job.get("paradigms") or {}).items() for method in listed]
    numbers = ", ".join(str(number) for number in job.get("shots", USUAL_SHOTS.split(", ")))
    return [numbers, job.get("seeds", 3), names or usual_methods(), job.get("models") or [], budget_of(job)]


@dataclass
class _Asking:
    models: gr.Dropdown
    boxes: list[gr.Textbox]
    ask: gr.Button
    example: gr.Button
    answers: gr.HTML
    turn: gr.State


def _ask_area(t: Words) -> _Asking:
    gr.HTML(heading(t("board.ask_title")) + sentence(t("board.ask_help")))
    models = gr.Dropdown(
        [], label=t("board.models"), info=t("board.models_help"), multiselect=True, max_choices=MOST_ASKED, elem_id="board-models"
    )
    with gr.Row():
        boxes = [
            gr.Textbox(label=t("try.text"), placeholder=t("try.placeholder"), visible=i == 0, elem_id=f"board-text-{i}", scale=3)
            for i in range(MOST_FIELDS)
        ]
        ask = gr.Button(t("try.ask"), variant="primary", elem_id="board-ask", min_width=90)
        example = gr.Button(t("try.example"), elem_id="board-example", min_width=140)
    return _Asking(models, boxes, ask, example, gr.HTML(elem_id="board-answers"), gr.State(0))


class _Wiring:
    """The tab's handlers over one service."""

    def __init__(self, frame: Frame, drawn: list[Any]) -> None:
        self.service, self.t, self.size = frame.service, frame.t, len(drawn)
        self.models = frame.boards

    def updates(self, shown: BoardView, done: int, picked: Picked) -> list[Any]:
        """Everything that a view changes; what hangs on finished cells alone is drawn only when there are new ones."""
        t, report = self.t, shown.report
        count = report["done"] if report else 0
        presses = [gr.update(interactive=shown.buttons[name]) for name in ("start", "pause", "resume", "stop")]
        chosen, boxes = gr.update(choices=choices(self.service, t), value=shown.id), box_updates(shown.recipe, t)
        if report is None or not report["lines"]:
            empty = _nothing_measured()
            return [shown.watch, count, status_html(shown, t), *empty, *presses, chosen, *boxes]
        if count == done:
            return [shown.watch, count, status_html(shown, t), *[gr.skip()] * 6, *presses, chosen, *boxes]
        known = [name for name in report["shots"] if any(line["shots"] == name for line in report["lines"])]
        key = picked.key if picked.run == shown.id and picked.key in known else known[-1]
        radio = gr.update(choices=[(shots_name(name, t), name) for name in known], value=key, visible=True)
        found = [curves_figure(report, t), radio, *self._detail(report, key), gr.update(visible=True)]
        return [shown.watch, count, status_html(shown, t), *found, *presses, chosen, *boxes]

    def cleared(self) -> list[Any]:
        """The tab without a board: the one that it showed is gone, and there is no other."""
        empty = _nothing_measured()
        presses = [gr.update(interactive=name == "start") for name in ("start", "pause", "resume", "stop")]
        return [Watch(), 0, status_html(None, self.t), *empty, *presses, gr.update(choices=[], value=None), *box_updates(None, self.t)]

    def poll(self, tab: str, watch: Watch, done: int, picked: Picked) -> Any:
        shown = view(self.service, watch) if tab == "board" else None
        return gr.skip() if shown is None else self.updates(shown, done, picked)

    def look(self, watch: Watch, picked: Picked) -> Any:
        """The tab comes into view."""
        run_id = watch.run if watch.run in {run.id for run in self.service.runs()} else newest(self.service)
        if run_id is not None:
            return self.updates(draw(self.service, run_id), -1, picked)
        return self.cleared() if watch.run else [gr.skip()] * self.size

    def begin(self, draft: dict[str, Any], shots: str, seeds: float, methods: list[str], further: list[str], budget: str) -> Any:
        recipe = ready(draft)
        own = recipe.job if recipe.kind == "board" else None
        recipe = recipe.replace({"job": job_of(shots, seeds, methods, further, budget, self.t, own)})
        return self.updates(draw(self.service, self.service.submit(recipe, alone=True)), -1, Picked())

    def act(self, name: str) -> Any:
        def press(watch: Watch, picked: Picked) -> Any:
            run_id = self._board(watch)
            getattr(self.service, name)(run_id)
            return self.updates(draw(self.service, run_id), -1, picked)

        return press

    def choose(self, run_id: str | None) -> Any:
        return [gr.skip()] * self.size if not run_id else self.updates(draw(self.service, run_id), -1, Picked())

    def detail(self, watch: Watch, key: str) -> list[Any]:
        run_id = self._board(watch)
        return [Picked(run_id, key), *self._detail(board_of(self.service, run_id), key)]

    def ask(self, watch: Watch, names: list[str], *texts: str) -> str:
        run_id = self._board(watch)
        fields = fields_of(self.service.read(run_id, 1 << 30).recipe)
        given = {name: (text or "").strip() for name, text in zip(fields, texts, strict=False)}
        if not any(given.values()) or not names:
            raise RunError(self.t("board.no_question"), fix=self.t("board.no_question_fix"))
        return answers_html(self.service, self.models, run_id, names, given, self.t)

    def example(self, watch: Watch, turn: int) -> list[Any]:
        recipe = self.service.read(self._board(watch), 1 << 30).recipe
        examples = dataset(recipe).examples
        picked = examples[(turn * 997 + 31) % len(examples)]
        names = fields_of(recipe)
        return [turn + 1, *(picked.fields.get(names[i], "") if i < len(names) else "" for i in range(MOST_FIELDS))]

    def export(self, watch: Watch) -> Any:
        run_id = self._board(watch)
        report = board_of(self.service, run_id)
        if report is None or not report["lines"]:
            raise RunError(self.t("board.nothing_yet"), fix=self.t("board.nothing_yet_fix"))
        folder = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()) / "boards"
        file = zip_report(report, self.service.read(run_id, 1 << 30).recipe, folder / f"board-{run_id}.zip", self.t)
        return gr.update(value=str(file), visible=True)

    def _detail(self, report: dict[str, Any] | None, key: str) -> list[Any]:
        if report is None:
            return [None, "", gr.skip()]
        models = gr.update(choices=models_of(report, self.t), value=champions_of(report, key)[:MOST_ASKED])
        return [intervals_figure(report, key, self.t), detail_html(report, key, self.t), models]

    def _board(self, watch: Watch) -> str:
        if not watch.run:
            raise RunError(self.t("board.none"), fix=self.t("board.empty"))
        return watch.run


def _nothing_measured() -> list[Any]:
    """Curves, numbers of examples, points, detail, models and who can be asked, without a finished cell. A value goes with its choices:
    one that stays without them makes every later event that reads the component fail."""
    numbers, models = gr.update(choices=[], value=None, visible=False), gr.update(choices=[], value=[])
    return [None, numbers, None, "", models, gr.update(visible=False)]


def _budgets(t: Words) -> list[tuple[str, str]]:
    return [(t(f"board.budgets.{name}"), name) for name in BUDGETS]
