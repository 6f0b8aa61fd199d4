"""What each command does: parsed flags in, the JSON object out. Progress and notes for people go to stderr."""

from __future__ import annotations

import argparse
import getpass
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from workbench.errors import RunError, SettingsError
from workbench.launched import with_others
from workbench.model_commands import warn_of_memory
from workbench.recipe import load_recipe, preset_names
from workbench.runs.faults import LoggedBug
from workbench.runs.record import UNFINISHED, figures, figures_line
from workbench.runs.service import RunService
from workbench.runs.view import RunSummary, best_evaluation
from workbench.terminal import runs_of, say

RESULT_KEYS = (
    "status",
    "metrics",
    "steps",
    "seconds",
    "examples_per_second",
    "peak_memory_bytes",
    "trainable_parameters",
    "total_parameters",
)
SECONDS_BETWEEN_LOOKS = 0.3


@with_others
def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """train RECIPE: queue, follow, answer with the figures."""
    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    with runs_of(arguments, writable=True) as service:
        warn_of_memory(recipe)
        return _follow(service, service.submit(recipe, tracker=arguments.tracker))


@with_others
def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """search RECIPE --what template|verbalizer [--how WAY]: ranked candidates with their scores."""
    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    given = {name: getattr(arguments, name) for name in ("what", "how", "count", "generator")}
    job = {**(recipe.job or {}), "kind": "search", **{name: value for name, value in given.items() if value is not None}}
    with runs_of(arguments, writable=True) as service:
        return _follow(service, service.submit(recipe.replace({"job": job, "pet": None}), tracker=arguments.tracker))


@with_others
def resume(arguments: argparse.Namespace) -> dict[str, Any]:
    """resume RUN: as `train`, from the last checkpoint; a finished run answers at once."""
    with runs_of(arguments) as service:
        run_id = service.resolve(arguments.run)
        if service.store.record(run_id).status == "finished":
            say(f"Run {run_id} is finished already.")
            return _answer(service, run_id)
    with runs_of(arguments, writable=True) as service:
        service.resume(run_id)
        return _follow(service, run_id)


def methods(arguments: argparse.Namespace) -> dict[str, Any]:
    """methods [--matrix]: names, titles, descriptions and option fields; or what runs on which kind of model, shown by running it."""
    from workbench.methods import method_info, method_names

    if arguments.matrix:
        from workbench.bench.method_matrix import run_matrix, table

        cells = run_matrix(say)
        say(table(cells))
        return {"cells": [_plain(cell) for cell in cells], "table": table(cells)}
    infos = [_plain(method_info(name)) for name in method_names()]
    for info in infos:
        say(f"{info['name']:<14} {info['description']}")
    return {"methods": infos}


def presets(arguments: argparse.Namespace) -> dict[str, Any]:
    """presets: the recipes that come with the workbench."""
    rows = []
    for name in preset_names():
        recipe = load_recipe(name)
        rows.append(
            {"name": name, "title": recipe.name, "task": recipe.task, "model": recipe.model.path, "method": recipe.method.get("name")}
        )
        say(f"{name:<28} {recipe.model.path:<20} {recipe.method.get('name')}")
    if not rows:
        say("There are no preset recipes: the folder presets/recipes is missing or empty.")
    if getattr(arguments, "catalog", False):
        return {"presets": rows, "catalog": _catalog()}
    return {"presets": rows}


def _catalog() -> list[dict[str, Any]]:
    """Published models with what training them takes and whether this machine has it."""
    from workbench.methods.catalog_table import entry
    from workbench.models.catalog import catalog_names
    from workbench.models.loading import find_device
    from workbench.models.memory import free_bytes

    free, rows = free_bytes(find_device("auto")), []
    for name in catalog_names():
        found = entry(name)
        rows.append({**asdict(found), "fits": found.training_bytes <= free})
        sizes = f"download {found.download_bytes / 2**30:.1f} GiB, memory to train {found.training_bytes / 2**30:.1f} GiB"
        say(f"{name:<34} {sizes}, {'fits' if rows[-1]['fits'] else 'does not fit'}")
    return rows


def runs(arguments: argparse.Namespace) -> dict[str, Any]:
    """runs: all runs, newest first."""
    with runs_of(arguments) as service:
        summaries = service.runs()
    for summary in summaries:
        say(f"{summary.id}  {summary.status:<11}  {figures_line(summary.metrics):<40}  {summary.name}")
    if not summaries:
        say("There is no run here yet.")
    return {"runs": [_row(summary) for summary in summaries]}


def show(arguments: argparse.Namespace) -> dict[str, Any]:
    """show RUN: its state, figures, recipe and folder."""
    with runs_of(arguments) as service:
        run_id = service.resolve(arguments.run)
        view = service.read(run_id)
        result, folder = service.result(run_id), service.store.folder(run_id)
    learnt, best, telling = view.log.last("learnt"), best_evaluation(view.log), view.log.last("telling_rows")
    say(view.recipe.to_yaml().rstrip())
    say(f"{run_id}: {view.status}, step {view.step} of {view.total_steps}. {figures_line(view.metrics)}")
    return {
        "run": run_id,
        "name": view.name,
        "kind": view.kind,
        "status": view.status,
        "created": view.created,
        "step": view.step,
        "total_steps": view.total_steps,
        "metrics": view.metrics,
        "error": view.error,
        "tracker": view.tracker,
        "warning": view.warning,
        "result": result,
        "per_class": best.get("per_class", []),
        "telling_rows": {key: telling[key] for key in ("step", "rows") if key in telling},
        "learnt": {key: learnt[key] for key in ("what", "rows") if key in learnt},
        "recipe": view.recipe.model_dump(),
        "folder": str(folder),
    }


def delete(arguments: argparse.Namespace) -> dict[str, Any]:
    """delete RUN."""
    with runs_of(arguments, writable=True) as service:
        run_id = service.resolve(arguments.run)
        service.delete(run_id)
    say(f"Run {run_id} is deleted.")
    return {"deleted": run_id}


@with_others
def board(arguments: argparse.Namespace) -> dict[str, Any]:
    """board RECIPE [--shots 0,8,all] [--seeds N]: queue, follow, answer with the table and the whole report."""
    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    asked = recipe.job or {}
    # A recipe of no job may have options of the board set on the command line.
    job: dict[str, Any] = {"kind": "board", **asked} if asked.get("kind", "board") == "board" else {"kind": "board"}
    if arguments.shots is not None:
        job["shots"] = [_shots(part) for part in arguments.shots.split(",")]
    if arguments.seeds is not None:
        job["seeds"] = arguments.seeds
    with runs_of(arguments, writable=True) as service:
        answer = _follow(service, service.submit(recipe.replace({"job": job}), tracker=arguments.tracker))
        return _with_report(service, answer, arguments)


def board_report(arguments: argparse.Namespace) -> dict[str, Any]:
    """board-report RUN --out DIR [--lang en|zh]: the report of a board, done or not, as HTML, csv, SVG, PNG, JSON and recipe."""
    from workbench.runs.boards import board_of

    with runs_of(arguments) as service:
        run_id = service.resolve(arguments.run)
        return _with_report(service, {"run": run_id, "board": board_of(service, run_id)}, arguments)


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """bench [--quick] [--only P2,P10] [--out DIR]: every comparison of `workbench.bench`, as a table, JSON and a picture."""
    from workbench.bench.report import measure_all

    goals = [goal.strip() for goal in arguments.only.split(",") if goal.strip()]
    return measure_all(quick=arguments.quick, goals=goals, out=Path(arguments.out) if arguments.out else None, say=say)


def user(arguments: argparse.Namespace) -> dict[str, Any]:
    """user NAME --users FILE [--role ROLE]: asks for the password on the terminal, or reads it from standard input."""
    from workbench.access import Role
    from workbench.ui.guard.users import add_user

    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    add_user(Path(arguments.users), arguments.name, password, Role(arguments.role))
    say(f"{arguments.name} may log in now: python app.py --users {arguments.users}")
    return {"user": arguments.name, "role": arguments.role}


def _follow(service: RunService, run_id: str) -> dict[str, Any]:
    """Prints a run's events until it has ended; Ctrl-C or a polite kill stops it after its step, with a checkpoint."""
    say(f"Run {run_id}")
    since, stopping, warned = 0, False, False
    with _asked_to_stop() as asked:
        while True:
            summary = service.wait(run_id, SECONDS_BETWEEN_LOOKS)
            view = service.read(run_id, since)
            since = view.next
            for event in view.events:
                _say_event(event, view.total_steps)
            if view.warning and not warned:
                warned = True
                say(view.warning)
            if summary.status not in UNFINISHED:
                return _answer(service, run_id)
            if asked.is_set() and not stopping:
                stopping = True
                say("Stopping after this step; the checkpoint is kept.")
                service.stop(run_id)


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by Ctrl-C and by a polite kill, of which neither breaks in: an exception at any moment may come while a lock is being taken, or
    where Python drops it. A polite kill stays unheard to the end of the program: a launcher that has lost a process ends the others, and
    this one still has to say why."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _answer(service: RunService, run_id: str) -> dict[str, Any]:
    view = service.read(run_id)
    if view.status == "failed":
        error = view.error or {}
        if error.get("error_id"):
            raise LoggedBug(error["error_id"])
        raise RunError(f"Run {run_id} failed: {error.get('message', 'no reason was kept.')}", fix=error.get("fix", ""))
    if view.status == "interrupted" and view.error:
        raise RunError(f"Run {run_id} was interrupted: {view.error['message']}", fix=view.error["fix"])
    result = service.result(run_id)
    keys = RESULT_KEYS if view.kind == "train" else result
    answer = {"run": run_id, **{key: result[key] for key in keys if key in result}}
    answer["status"] = view.status
    for line in table_lines(answer.get("table")):
        say(line)
    answer["metrics"] = figures(result.get("metrics") or view.metrics)
    if "per_class" in (best := best_evaluation(view.log)):
        answer["per_class"] = best["per_class"]
    say(f"Run {run_id} {view.status}. {figures_line(answer['metrics'])}")
    return answer


def _say_event(event: dict[str, Any], total_steps: int) -> None:
    kind = event["kind"]
    if kind == "plan" and "trainable_parameters" in event:
        say(f"{event['total_steps']} steps, {event['trainable_parameters']:,} of {event['total_parameters']:,} parameters train.")
    elif kind == "train":
        left = event.get("seconds_left")
        say(f"step {event['step']}/{total_steps}  loss {event['loss']:.4f}" + (f"  {left:.0f} s left" if left is not None else ""))
    elif kind == "evaluation":
        say(f"step {event['step']}/{total_steps}  validation: {figures_line(event)}")
    elif kind == "loading":
        left = event.get("seconds_left")
        say(event["text"] + (f"  {left:.0f} s left" if left else ""))
    elif kind == "progress":
        left = event.get("seconds_left")
        say(f"{event['done']}/{event['total']}  {event['text']}" + (f"  {left:.0f} s left" if left else ""))
    elif kind == "note":
        say(str(event.get("text", "")))


def table_lines(table: dict[str, Any] | None) -> list[str]:
    """A job's table as lines of aligned columns; none without a table."""
    if not table:
        return []
    rows = [[str(name) for name in table["columns"]], *([_cell_text(value) for value in row] for row in table["rows"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell_text(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _row(summary: RunSummary) -> dict[str, Any]:
    return {"run": summary.id, **{name: value for name, value in asdict(summary).items() if name != "id"}}


def _with_report(service: RunService, answer: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The answer, with what could not be done said and the files of its board's report written where `--out` says."""
    refused: dict[str, list[str]] = {}
    for cell in (answer.get("board") or {}).get("refused", []):
        refused.setdefault(f"{cell['message']} {cell['fix']}", []).append(f"{cell['paradigm']}/{cell['method']}")
    for reason, names in refused.items():
        say(f"Not done: {', '.join(dict.fromkeys(names))}. {reason}")
    if not arguments.out:
        return answer
    from workbench.ui.board_report import write_report
    from workbench.ui.text import Words

    report = answer.get("board")
    if not report or not report["lines"]:
        raise RunError(f"Run {answer['run']} has no result to report yet.", fix="Wait for its first part, or resume it.")
    recipe = service.read(answer["run"], 1 << 30).recipe
    files = write_report(report, recipe, Path(arguments.out), Words(arguments.lang))
    say(f"Written to {arguments.out}: {', '.join(files)}.")
    return {**answer, "files": files}


def _shots(text: str) -> int | str:
    """A number of examples as the board takes it; anything but `all` and whole numbers is refused."""
    text = text.strip()
    if text != "all" and not text.isdigit():
        raise SettingsError(f"--shots {text} is not a number of examples.", fix="Give whole numbers and all, such as 0,8,32,all.")
    return text if text == "all" else int(text)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value
