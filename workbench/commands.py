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
from workbench.recipe import ModelPart, load_recipe, preset_names, resolve_path
from workbench.runs.faults import LoggedBug
from workbench.runs.isolation import Isolation
from workbench.runs.record import FIGURES, figures
from workbench.runs.service import RunService
from workbench.runs.view import RunSummary

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
    with _service(arguments, writable=True) as service:
        return _follow(service, service.submit(recipe, tracker=arguments.tracker))


@with_others
def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """search RECIPE --what template|verbalizer [--how WAY]: ranked candidates with their scores."""
    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    given = {name: getattr(arguments, name) for name in ("what", "how", "count", "generator")}
    job = {**(recipe.job or {}), "kind": "search", **{name: value for name, value in given.items() if value is not None}}
    with _service(arguments, writable=True) as service:
        return _follow(service, service.submit(recipe.replace({"job": job, "pet": None}), tracker=arguments.tracker))


@with_others
def resume(arguments: argparse.Namespace) -> dict[str, Any]:
    """resume RUN: as `train`, from the last checkpoint; a finished run answers at once."""
    with _service(arguments) as service:
        run_id = service.resolve(arguments.run)
        if service.store.record(run_id).status == "finished":
            _say(f"Run {run_id} is finished already.")
            return _answer(service, run_id)
    with _service(arguments, writable=True) as service:
        service.resume(run_id)
        return _follow(service, run_id)


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """evaluate RUN --data FILE."""
    from workbench.runs.files import evaluate_file

    with _service(arguments) as service:
        answer = evaluate_file(service.predictor(service.resolve(arguments.run)), _data(arguments.data))
    _say(f"{answer['examples']} examples: {_figures(answer['metrics'])}")
    return answer


def predict(arguments: argparse.Namespace) -> dict[str, Any]:
    """predict RUN --data FILE --out FILE."""
    from workbench.runs.files import predict_file

    with _service(arguments) as service:
        answer = predict_file(service.predictor(service.resolve(arguments.run)), _data(arguments.data), arguments.out)
    _say(f"{answer['examples']} predictions written to {answer['out']}.")
    return answer


def inspect(arguments: argparse.Namespace) -> dict[str, Any]:
    """inspect MODEL [--quantization Q]: the model card."""
    from workbench.models.card import model_card

    path = arguments.model if arguments.model.startswith("embedded:") else resolve_path(arguments.model, Path.cwd())
    card = model_card(ModelPart(path=path).path, quantization=arguments.quantization)
    content = card.to_json()
    for name, value in content.items():
        if isinstance(value, (str, int, float)):
            _say(f"{name}: {value}")
    return content


def convert(arguments: argparse.Namespace) -> dict[str, Any]:
    """convert MODEL --to DIR: a Baichuan 7B checkpoint, in its own layout, as a Llama folder."""
    from workbench.models.convert import convert_model

    path = resolve_path(arguments.model, Path.cwd())
    answer = convert_model(path, Path(arguments.to), lambda stage, share: _say(f"{stage} {share:.0%}" if share is not None else stage))
    _say(f"Converted to {answer['to']}: {answer['parameters']:,} parameters in {answer['shards']} files.")
    return answer


def methods(arguments: argparse.Namespace) -> dict[str, Any]:
    """methods [--matrix]: names, titles, descriptions and option fields; or what runs on which kind of model, shown by running it."""
    from workbench.methods import method_info, method_names

    if arguments.matrix:
        from workbench.bench.method_matrix import run_matrix, table

        cells = run_matrix(_say)
        _say(table(cells))
        return {"cells": [_plain(cell) for cell in cells], "table": table(cells)}
    infos = [_plain(method_info(name)) for name in method_names()]
    for info in infos:
        _say(f"{info['name']:<14} {info['description']}")
    return {"methods": infos}


def presets(arguments: argparse.Namespace) -> dict[str, Any]:
    """presets: the recipes that come with the workbench."""
    rows = []
    for name in preset_names():
        recipe = load_recipe(name)
        rows.append(
            {"name": name, "title": recipe.name, "task": recipe.task, "model": recipe.model.path, "method": recipe.method.get("name")}
        )
        _say(f"{name:<28} {recipe.model.path:<20} {recipe.method.get('name')}")
    if not rows:
        _say("There are no preset recipes: the folder presets/recipes is missing or empty.")
    if getattr(arguments, "catalog", False):
        return {"presets": rows, "catalog": _catalog()}
    return {"presets": rows}


def _catalog() -> list[dict[str, Any]]:
    """Published models with what they take and whether this machine has it."""
    from tempfile import TemporaryDirectory

    from workbench.methods.footprint import free_bytes
    from workbench.models.catalog import catalog_names, entry
    from workbench.models.loading import find_device

    free, rows = free_bytes(find_device("auto")), []
    for name in catalog_names():
        with TemporaryDirectory() as folder:
            found = entry(name, Path(folder))
        rows.append({**asdict(found), "fits": found.weight_bytes <= free})
        sizes = f"download {found.download_bytes / 2**30:.1f} GiB, weights {found.weight_bytes / 2**30:.1f} GiB"
        _say(f"{name:<34} {sizes}, {'fits' if rows[-1]['fits'] else 'does not fit'}")
    return rows


def runs(arguments: argparse.Namespace) -> dict[str, Any]:
    """runs: all runs, newest first."""
    with _service(arguments) as service:
        summaries = service.runs()
    for summary in summaries:
        _say(f"{summary.id}  {summary.status:<11}  {_figures(summary.metrics):<40}  {summary.name}")
    if not summaries:
        _say("There is no run here yet.")
    return {"runs": [_row(summary) for summary in summaries]}


def show(arguments: argparse.Namespace) -> dict[str, Any]:
    """show RUN: its state, figures, recipe and folder."""
    with _service(arguments) as service:
        run_id = service.resolve(arguments.run)
        view = service.read(run_id)
        result, folder = service.result(run_id), service.store.folder(run_id)
    learnt = view.log.last("learnt")
    _say(view.recipe.to_yaml().rstrip())
    _say(f"{run_id}: {view.status}, step {view.step} of {view.total_steps}. {_figures(view.metrics)}")
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
        "learnt": {key: learnt[key] for key in ("what", "rows") if key in learnt},
        "recipe": view.recipe.model_dump(),
        "folder": str(folder),
    }


def delete(arguments: argparse.Namespace) -> dict[str, Any]:
    """delete RUN."""
    with _service(arguments, writable=True) as service:
        run_id = service.resolve(arguments.run)
        service.delete(run_id)
    _say(f"Run {run_id} is deleted.")
    return {"deleted": run_id}


def export(arguments: argparse.Namespace) -> dict[str, Any]:
    """export RUN --to DIR [--merge | --onnx]."""
    from workbench.runs.export import export_run

    with _service(arguments) as service:
        answer = export_run(service, service.resolve(arguments.run), arguments.to, arguments.form)
    _say(f"Exported to {answer['to']}; its predict.py answered {answer['rows_compared']} rows as the run does.")
    return answer


@with_others
def board(arguments: argparse.Namespace) -> dict[str, Any]:
    """board RECIPE [--shots 0,8,all] [--seeds N]: queue, follow, answer with the table and the whole report."""
    recipe = load_recipe(arguments.recipe, dict(arguments.assignments))
    job: dict[str, Any] = dict(recipe.job) if recipe.kind == "board" else {"kind": "board"}
    if arguments.shots is not None:
        job["shots"] = [_shots(part) for part in arguments.shots.split(",")]
    if arguments.seeds is not None:
        job["seeds"] = arguments.seeds
    with _service(arguments, writable=True) as service:
        answer = _follow(service, service.submit(recipe.replace({"job": job}), tracker=arguments.tracker))
        return _with_report(service, answer, arguments)


def board_report(arguments: argparse.Namespace) -> dict[str, Any]:
    """board-report RUN --out DIR [--lang en|zh]: the report of a board, done or not, as HTML, csv, SVG, PNG, JSON and recipe."""
    from workbench.runs.boards import board_of

    with _service(arguments) as service:
        run_id = service.resolve(arguments.run)
        return _with_report(service, {"run": run_id, "board": board_of(service, run_id)}, arguments)


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """bench [--quick] [--only P2,P10] [--out DIR]: every comparison of `workbench.bench`, as a table, JSON and a picture."""
    from workbench.bench.report import measure_all

    goals = [goal.strip() for goal in arguments.only.split(",") if goal.strip()]
    return measure_all(quick=arguments.quick, goals=goals, out=Path(arguments.out) if arguments.out else None, say=_say)


def user(arguments: argparse.Namespace) -> dict[str, Any]:
    """user NAME --users FILE [--role ROLE]: asks for the password on the terminal, or reads it from standard input."""
    from workbench.access import Role
    from workbench.ui.guard.users import add_user

    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    add_user(Path(arguments.users), arguments.name, password, Role(arguments.role))
    _say(f"{arguments.name} may log in now: python app.py --users {arguments.users}")
    return {"user": arguments.name, "role": arguments.role}


@contextmanager
def _service(arguments: argparse.Namespace, *, writable: bool = False) -> Iterator[RunService]:
    isolation = Isolation() if getattr(arguments, "isolate", False) else None
    service = RunService(Path(arguments.runs).expanduser(), writable=writable, adopt_queue=False, isolation=isolation)
    try:
        yield service
    finally:
        service.close()


def _follow(service: RunService, run_id: str) -> dict[str, Any]:
    """Prints a run's events until it has ended; Ctrl-C or a polite kill stops it after its step, with a checkpoint."""
    _say(f"Run {run_id}")
    _on_a_polite_kill(lambda *_: signal.raise_signal(signal.SIGINT))
    since, stopping, warned = 0, False, False
    while True:
        try:
            summary = service.wait(run_id, SECONDS_BETWEEN_LOOKS)
            view = service.read(run_id, since)
            since = view.next
            for event in view.events:
                _say_event(event, view.total_steps)
            if view.warning and not warned:
                warned = True
                _say(view.warning)
            if summary.status not in ("queued", "running", "paused", "stopping"):
                # A launcher that has lost a process ends the others, and this one still has to say why.
                _on_a_polite_kill(lambda *_: None)
                return _answer(service, run_id)
        except KeyboardInterrupt:
            if not stopping:
                _say("Stopping after this step; the checkpoint is kept.")
            stopping = True
            service.stop(run_id)


def _on_a_polite_kill(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


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
        _say(line)
    answer["metrics"] = figures(result.get("metrics") or view.metrics)
    _say(f"Run {run_id} {view.status}. {_figures(answer['metrics'])}")
    return answer


def _say_event(event: dict[str, Any], total_steps: int) -> None:
    kind = event["kind"]
    if kind == "plan" and "trainable_parameters" in event:
        _say(f"{event['total_steps']} steps, {event['trainable_parameters']:,} of {event['total_parameters']:,} parameters train.")
    elif kind == "train":
        left = event.get("seconds_left")
        _say(f"step {event['step']}/{total_steps}  loss {event['loss']:.4f}" + (f"  {left:.0f} s left" if left is not None else ""))
    elif kind == "evaluation":
        _say(f"step {event['step']}/{total_steps}  validation: {_figures(event)}")
    elif kind == "progress":
        left = event.get("seconds_left")
        _say(f"{event['done']}/{event['total']}  {event['text']}" + (f"  {left:.0f} s left" if left else ""))
    elif kind == "note":
        _say(str(event.get("text", "")))


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
    """The answer with the files of its board's report written where `--out` says."""
    if not arguments.out:
        return answer
    from workbench.ui.board_report import write_report
    from workbench.ui.text import Words

    report = answer.get("board")
    if not report or not report["lines"]:
        raise RunError(f"Run {answer['run']} has no result to report yet.", fix="Wait for its first part, or resume it.")
    recipe = service.read(answer["run"], 1 << 30).recipe
    files = write_report(report, recipe, Path(arguments.out), Words(arguments.lang))
    _say(f"Written to {arguments.out}: {', '.join(files)}.")
    return {**answer, "files": files}


def _shots(text: str) -> int | str:
    """A number of examples as the board takes it; anything but `all` and whole numbers is refused."""
    text = text.strip()
    if text != "all" and not text.isdigit():
        raise SettingsError(f"--shots {text} is not a number of examples.", fix="Give whole numbers and all, such as 0,8,32,all.")
    return text if text == "all" else int(text)


def _figures(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{name} {metrics[name]:.4f}" for name in FIGURES if isinstance(metrics.get(name), float))


def _data(path: str) -> str:
    return resolve_path(path, Path.cwd())


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
