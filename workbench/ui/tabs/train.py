"""Train: set how long and how fast, start, and watch. The run belongs to the service; the page only looks at it every half second."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import gradio as gr

from workbench.errors import RunError, WorkbenchError
from workbench.recipe import Recipe, recipe_from
from workbench.runs.record import UNFINISHED
from workbench.runs.trackers import NONE
from workbench.ui import charts, job_form, memory_report, pet_form, training_form
from workbench.ui.findings import build_findings
from workbench.ui.forms import SELDOM, explained, number
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.job_form import build_job
from workbench.ui.job_report import kind_name, report_figure, report_html, sweep_figure
from workbench.ui.learnt import learnt_html
from workbench.ui.markup import all_fields, duration, esc, facts, problem, progress, sentence, size
from workbench.ui.pet_form import build_pet
from workbench.ui.quality import evaluation_html, one_class_html, quality_tiles, telling_html
from workbench.ui.queue_list import QueueList, Seen, build_queue, choose, chosen_run
from workbench.ui.queue_list import updates as queue_updates
from workbench.ui.queueing import IN_ORDER
from workbench.ui.samples import samples_html, text_tiles, writes
from workbench.ui.session import Watch, portable, ready
from workbench.ui.steps import run_steps, steps_html
from workbench.ui.text import Words
from workbench.ui.train_charts import ChartOptions, accuracy_figure, build_options, loss_figure, options_of, rates_figure
from workbench.ui.training_form import build_settings, build_tracker

# Drawing a chart takes a browser a tenth of a second or two, which a training on the same two cores would miss at every look.
CHARTS_EVERY = 2.0
RESUMABLE = ("paused", "stopped", "interrupted", "failed")


@dataclass(frozen=True)
class TrainView:
    """A run as the tab draws it. Steps and losses are parallel arrays; `buttons` says which of the four can be pressed."""

    id: str
    name: str
    status: str
    step: int
    total_steps: int
    seconds_left: float | None
    epoch: float | None
    examples_per_second: float | None
    memory_bytes: float | None
    train: tuple[Any, Any]
    evaluations: list[dict[str, Any]]
    labels: list[str]
    plan: dict[str, Any]
    notes: list[str]
    problem: tuple[str, str] | None
    buttons: dict[str, bool]
    watch: Watch = field(default_factory=Watch)
    kind: str = "train"
    doing: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    learnt: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    recipe: str = ""
    metric: str = "accuracy"
    telling: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0
    tags: str = ""
    note: str = ""


def view(service: Any, watch: Watch) -> TrainView | None:
    """The run in view, or None when nothing happened since it was drawn. Without a run in view, the newest one is taken."""
    run_id = watch.run or newest(service)
    if run_id is None:
        return None
    try:
        new = service.read(run_id, max(watch.seen, 0))
    except WorkbenchError:  # deleted, on another page perhaps, or damaged
        return None if newest(service) in (None, run_id) else view(service, Watch())
    if run_id == watch.run and new.status == watch.mark and new.next == watch.seen:
        return None
    return draw(service, run_id)


def draw(service: Any, run_id: str) -> TrainView:
    """A run with all of its events, and what a job answered, as a view."""
    run = service.read(run_id, 1 << 60)
    log = run.log
    plan, latest, evaluations = log.last("plan"), log.last("train"), list(log.of("evaluation"))
    notes = [str(note) for note in plan.get("notes", [])] + [str(event.get("text", "")) for event in log.of("note")]
    notes += [run.warning] if run.warning else []
    seen = log.all[-1]["seq"] + 1 if log.all else 0
    return TrainView(
        id=run.id, name=run.name, status=run.status, step=run.step, total_steps=run.total_steps, seconds_left=run.seconds_left,
        epoch=latest.get("epoch"), examples_per_second=latest.get("examples_per_second"), memory_bytes=latest.get("memory_bytes"),
        train=charts.points(*log.curve),
        evaluations=evaluations, labels=list(plan.get("labels", [])), plan=plan, notes=notes,
        problem=(run.error.get("message", ""), run.error.get("fix", "")) if run.error else None,
        buttons=buttons(run.status), watch=Watch(run.id, seen, run.status, time.monotonic(), len(evaluations)), kind=run.kind,
        doing=str((log.last("progress") or log.last("loading")).get("text", "")),
        result={} if run.kind == "train" else service.result(run.id),
        learnt=log.last("learnt"), samples=log.last("samples"), steps=log.of("train"), recipe=portable(run.recipe).to_yaml(),
        metric=run.recipe.deciding, telling=log.last("telling_rows"),
        created=run.created, tags=run.tags, note=run.note,
    )


def charts_wait(shown: TrainView, watch: Watch) -> bool:
    """Whether only steps were made since the charts were drawn, a moment ago."""
    same = (watch.run, watch.mark, watch.measured) == (shown.id, shown.status, len(shown.evaluations))
    return same and shown.kind == "train" and time.monotonic() - watch.charted < CHARTS_EVERY


def newest(service: Any) -> str | None:
    """The run that is being worked on, else the newest one."""
    active = service.readable(lambda run: run.status in ("running", "paused", "stopping"))
    return next((run.id for run, _ in chain(active, service.readable())), None)


def buttons(status: str | None) -> dict[str, bool]:
    """Which buttons can be pressed while the run in view has this status. Something else can always be started: it waits its turn."""
    return {
        "start": True,
        "pause": status == "running",
        "resume": status in RESUMABLE,
        "stop": status in ("queued", "running", "paused"),
    }


def status_html(shown: TrainView, t: Words) -> str:
    """Status, progress and the figures a person looks for first."""
    share = shown.step / shown.total_steps if shown.total_steps else 0.0
    left = t("train.left", time=duration(shown.seconds_left)) if shown.seconds_left is not None and shown.status == "running" else ""
    line = " \u00b7 ".join(part for part in (_step_line(shown, t), left) if part)
    written = writes(shown.evaluations)
    tiles = text_tiles(shown.evaluations, t) if written else quality_tiles(shown.evaluations, shown.metric, t)
    if shown.examples_per_second:
        tiles.append((t("train.speed"), f"{shown.examples_per_second:,.0f}"))
    if shown.memory_bytes:
        tiles.append((t("train.memory"), size(shown.memory_bytes)))
    if shown.plan.get("trainable_parameters"):
        tiles.append((t("method.trainable"), f"{shown.plan['trainable_parameters']:,}"))
    badge = f'<span class="pw-badge pw-status-{esc(shown.status)}">{esc(t(f"status.{shown.status}"))}</span>'
    kind = "" if shown.kind == "train" else f'<span class="pw-badge">{esc(kind_name(shown.kind, t))}</span>'
    head = f'<div class="pw-runhead"><strong>{esc(shown.name)}</strong>{kind}{badge}<code>{esc(shown.id)}</code></div>'
    trouble = problem(*shown.problem, t) if shown.problem else ""
    if shown.status == "stopping":
        trouble += sentence(t("train.stopping_note"), "note")
    if shown.status == "interrupted":
        trouble += sentence(t("train.interrupted_note"), "note")
    trouble += one_class_html(shown.evaluations, t)
    return head + _about(shown, t) + progress(share, line) + trouble + facts(tiles)


def _about(shown: TrainView, t: Words) -> str:
    """When the run was started, on which rows, and what somebody wrote about it."""
    when, rows = time.strftime("%Y-%m-%d %H:%M", time.localtime(shown.created)), str(shown.plan.get("data", ""))[:12]
    told = [t("train.started", time=when), rows and t("train.fingerprint", digest=rows)]
    told += [f"{t(f'runs.{name}')}: {text}" for name, text in (("tags", shown.tags), ("note", shown.note)) if text]
    return sentence(" \u00b7 ".join(filter(None, told)))


def _step_line(shown: TrainView, t: Words) -> str:
    doing = t.said(shown.doing) if shown.status in UNFINISHED else ""
    if not shown.total_steps:
        return doing
    if shown.kind == "train":
        return t("train.step_of", step=shown.step, total=shown.total_steps)
    return " \u00b7 ".join(part for part in (t("train.part_of", done=shown.step, total=shown.total_steps), doing) if part)


def confusion_html(shown: TrainView, t: Words) -> str:
    """The last evaluation in tables and the rows that tell most, or a job's report; and the notes of the run."""
    notes = "".join(sentence(t.said(note), "note") for note in shown.notes)
    if shown.kind != "train":
        return report_html(shown.kind, shown.result, t) + notes
    if not shown.evaluations:
        return notes
    if writes(shown.evaluations):
        return samples_html(shown.samples, t) + notes + learnt_html(shown.learnt, t)
    last = shown.evaluations[-1]
    labels = [str(label) for label in last.get("labels") or shown.labels]
    return evaluation_html(last, labels, t) + telling_html(shown.telling, t) + notes + learnt_html(shown.learnt, t)


def recipe_html(shown: TrainView, t: Words) -> str:
    """The run's own recipe, which the fields beside it may have left behind; while the run works it would close with every step."""
    if shown.status in UNFINISHED:
        return ""
    text = f'<pre tabindex="0">{esc(shown.recipe)}</pre>'
    return f'<details class="pw-own-recipe"><summary>{esc(t("train.recipe"))}</summary>{text}</details>'


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("train.tab"), id="train") as tab:
        gr.HTML(lead(t("train.lead"), t))
        with gr.Row():
            with gr.Column(scale=1, min_width=250, elem_id="train-settings"):
                shots = _number("shots", t, 16, minimum=0)
                validation = _number("validation", t, 200, minimum=0)
                epochs = _number("epochs", t, 5, minimum=0.1, whole=False)
                kinds = explained(t("train.rate_help"), t("train.rate_higher"), "auto", t)
                rate = gr.Textbox(label=t("train.rate"), info=kinds, max_lines=1, elem_id="train-rate")
                pet = build_pet(frame)
                job = build_job(frame)
                batch = _number("batch_size", t, 16, minimum=1, elem_classes=SELDOM)
                seed = _number("seed", t, 13, minimum=0, elem_classes=SELDOM)
                more = build_settings(frame)
                tracker = build_tracker(t)
                gr.HTML(all_fields(t))
            with gr.Column(scale=3, min_width=420):
                with gr.Row(elem_id="train-buttons"):
                    start = gr.Button(t("train.start"), variant="primary", elem_id="train-start", min_width=110)
                    pause = gr.Button(t("train.pause"), interactive=False, elem_id="train-pause", min_width=90)
                    resume = gr.Button(t("train.resume"), interactive=False, elem_id="train-resume", min_width=90)
                    stop = gr.Button(t("train.stop"), interactive=False, elem_id="train-stop", min_width=90)
                status = gr.HTML(sentence(t("train.empty"), "note"), elem_id="train-status")
                queue = build_queue(t)
                with gr.Row():
                    plain = {"show_label": False, "container": False, "min_width": 280}  # on a tablet one below the other
                    loss, accuracy = (gr.Plot(elem_id=f"train-{name}", **plain) for name in ("loss", "accuracy"))
                rates = gr.Plot(show_label=False, container=False, visible=False, elem_id="train-rates")
                options = build_options(t)
                matrix = gr.HTML(elem_id="train-confusion")
                best = gr.Button(t("repeat.use_best"), visible=False, size="sm", elem_id="train-use-best")
                build_findings(frame)
                gr.Button(t("train.print"), size="sm", elem_id="train-print").click(None, js="() => window.print()")
        timer = gr.Timer(0.5, render=False)
    drawn = [frame.watch, status, loss, accuracy, rates, matrix, start, pause, resume, stop, frame.progress, best, *queue.drawn]
    _wire_settings(frame, shots, validation, epochs, batch, rate, seed)
    _wire_run(frame, (start, pause, resume, stop), timer, options, tracker, queue, drawn)
    _wire_options(frame, options, [loss, accuracy, rates])

    frame.opens(best.click, lambda recipe, watch: best_recipe(frame.service, watch), [frame.watch], "train_use_best")

    def fill(recipe: Recipe) -> list[Any]:
        training, split = recipe.training, recipe.data.split
        settings = [split.shots, split.validation, training.epochs, training.batch_size, str(training.learning_rate), training.seed]
        return [*settings, *pet_form.fill(recipe), *job_form.fill(recipe, t), *training_form.fill(recipe, t)]

    controls = [shots, validation, epochs, batch, rate, seed, *pet, *job, *more]
    return Part("train", tab, controls, fill, timer=timer, remembered=(tracker, training_form.remembered_tracker))


def best_recipe(service: Any, watch: Watch) -> Recipe:
    """The recipe of the best configuration of the sweep in view.

    Raises:
        RunError: no sweep that has ended is in view.
    """
    found = service.result(watch.run).get("best") if watch.run else None
    if not found:
        raise RunError("The run in view has no best recipe.", fix="Open a sweep that has ended.")
    return recipe_from(found, source=f"run {watch.run}")


def _number(name: str, t: Words, safe: float, *, whole: bool = True, **options: Any) -> gr.Number:
    """One of the tab's own numbers, explained."""
    info = explained(t(f"train.{name}_help"), t(f"train.{name}_higher"), safe, t)
    place = f"train-{name.replace('_', '-')}"
    return number(label=t(f"train.{name}"), info=info, precision=0 if whole else None, elem_id=place, **options)


def _wire_settings(frame: Frame, shots: Any, validation: Any, epochs: Any, batch: Any, rate: Any, seed: Any) -> None:
    def whole(place: str) -> Any:
        return lambda recipe, value: {} if value is None else {place: int(value)}

    def set_rate(recipe: Recipe, value: str) -> dict[str, Any]:
        text = (value or "").strip().lower()
        try:
            return {"training.learning_rate": float(text) if text not in ("", "auto") else "auto"}
        except ValueError:
            return {"training.learning_rate": text}

    frame.edit(
        shots.input,
        lambda recipe, value: {"data.split.shots": None if value is None else int(value)},
        [shots],
        "train_shots",
    )
    frame.edit(validation.input, whole("data.split.validation"), [validation], "train_validation")
    frame.edit(
        epochs.input,
        lambda recipe, value: {"training.epochs": value} if value else {},
        [epochs],
        "train_epochs",
    )
    frame.edit(batch.input, whole("training.batch_size"), [batch], "train_batch_size")
    frame.edit(rate.blur, set_rate, [rate], "train_learning_rate")
    frame.edit(
        seed.input,
        lambda recipe, value: {} if value is None else {"training.seed": int(value), "data.split.seed": int(value)},
        [seed],
        "train_seed",
    )


def _wire_run(
    frame: Frame, pressed: tuple[Any, ...], timer: gr.Timer, options: list[Any], tracker: gr.Dropdown, queue: QueueList, drawn: list[Any]
) -> None:
    service, t = frame.service, frame.t
    start, pause, resume, stop = pressed

    def updates(shown: TrainView, seen: Seen, wanted: ChartOptions, chosen: str | None = None) -> list[Any]:
        told = confusion_html(shown, t) + recipe_html(shown, t)
        steps = steps_html(run_steps(shown.name, shown.status, _latest(shown), t), t)
        queued = queue_updates(service, shown.id, seen, t, chosen=chosen)
        best = gr.update(visible="best" in shown.result)
        return [shown.watch, status_html(shown, t), *_figures(shown, t, wanted), told, *_presses(shown, t), steps, best, *queued]

    def poll(watch: Watch, seen: Seen, *wanted: Any) -> Any:
        shown = view(service, watch)
        if shown is not None and not charts_wait(shown, watch):
            return updates(shown, seen, options_of(*wanted))
        queued = queue_updates(service, watch.run, seen, t)
        if shown is None:
            quiet = queued == [gr.skip()] * len(queued)
            return gr.skip() if quiet else [*[gr.skip()] * (len(drawn) - len(queued)), *queued]
        shown.watch.charted, shown.watch.measured = watch.charted, watch.measured
        return [shown.watch, status_html(shown, t), *[gr.skip()] * (len(drawn) - 2 - len(queued)), *queued]

    def begin(draft: dict[str, Any], watch: Watch, tracker: str, seen: Seen, *wanted: Any) -> Any:
        # After the edits before it; a second click finds the run that the first one made, and is refused.
        recipe = ready(draft)
        if recipe.kind in ("search", "board"):  # left by one that was opened; they have buttons of their own
            recipe = recipe.replace({"job": None})
        begun = service.submit(memory_report.warned(service, recipe, t), alone=True, tracker=tracker or NONE)
        busy = watch.run in {run.id for run in service.queue.runs() if run.id != begun}
        return updates(draw(service, watch.run if busy else begun), seen, options_of(*wanted), begun)

    def act(name: str) -> Any:
        def press(watch: Watch, seen: Seen, *wanted: Any) -> Any:
            if not watch.run:
                raise RunError(t("train.none"), fix=t("train.none_fix"))
            getattr(service, name)(watch.run)
            return updates(draw(service, watch.run), seen, options_of(*wanted))

        return press

    def wait(name: str) -> Any:
        def press(watch: Watch, seen: Seen, *wanted: Any) -> Any:
            chosen = chosen_run(seen, t)
            if name != "watch":
                getattr(service.queue, name)(chosen)
            shown = chosen if name == "watch" else watch.run or chosen
            return updates(draw(service, shown), seen, options_of(*wanted))

        return press

    looked = [frame.watch, queue.seen, *options]
    frame.on(timer.tick, poll, looked, drawn, "train_poll", look=True, queue=True, concurrency_limit=None)
    frame.on(start.click, begin, [frame.draft, frame.watch, tracker, queue.seen, *options], drawn, "train_start", **IN_ORDER)
    for button, name in ((pause, "pause"), (resume, "resume"), (stop, "stop")):
        frame.on(button.click, act(name), looked, drawn, f"train_{name}")
    frame.on(queue.runs.select, choose, [queue.seen], [queue.seen], "queue_choose")
    for button, name in ((queue.watch, "watch"), (queue.first, "move_first"), (queue.leave, "leave")):
        frame.on(button.click, wait(name), looked, drawn, f"queue_{name}")


def _presses(shown: TrainView, t: Words) -> list[Any]:
    """The four buttons; the first says what comes of pressing it."""
    start = gr.update(value=t("train.enqueue") if shown.status in UNFINISHED else t("train.start"), interactive=shown.buttons["start"])
    return [start, *(gr.update(interactive=shown.buttons[name]) for name in ("pause", "resume", "stop"))]


def _wire_options(frame: Frame, options: list[Any], plots: list[Any]) -> None:
    def redraw(watch: Watch, *wanted: Any) -> Any:
        if not watch.run:
            return gr.skip()
        return _figures(draw(frame.service, watch.run), frame.t, options_of(*wanted))

    smoothing, log, rates = options
    for event, name in ((smoothing.release, "smoothing"), (log.input, "log"), (rates.input, "rates")):
        frame.on(event, redraw, [frame.watch, *options], plots, f"train_chart_{name}")


def _latest(shown: TrainView) -> dict[str, Any]:
    """The figures of the last evaluation, or a job's own."""
    return shown.evaluations[-1] if shown.evaluations else shown.result.get("metrics") or {}


def _figures(shown: TrainView, t: Words, options: ChartOptions) -> list[Any]:
    """The three plots: a training's curves, or what a job found in the first two of them."""
    if shown.kind == "train":
        measured = bool(shown.evaluations) or shown.plan.get("validation_rows") != 0
        found = [loss_figure(shown, t, options), accuracy_figure(shown, t, options) if measured else None, rates_figure(shown, t, options)]
    else:
        found = [report_figure(shown.result, t), sweep_figure(shown.result, t), None]
    return [gr.update(value=figure, visible=figure is not None) for figure in found]
