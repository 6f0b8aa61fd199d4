"""Commands about a run that is there already: parsed flags in, the JSON object out."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.recipe import load_recipe, resolve_path
from workbench.runs.compare import differences
from workbench.runs.findings import recipe_findings, run_findings
from workbench.runs.record import figures_line
from workbench.runs.service import RunService
from workbench.terminal import runs_of, say, watched

if TYPE_CHECKING:
    from workbench.models.transfer import Progress
    from workbench.serving.generator import Generator
    from workbench.serving.predictor import Predictor


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """evaluate RUN --data FILE: with labels, or with answers where the run writes text."""
    from workbench.runs.files import evaluate_file

    with runs_of(arguments) as service, watched() as progress:
        answer = evaluate_file(_answering(service, arguments.run, progress), _data(arguments), progress)
    say(f"{answer['examples']} examples: {figures_line(answer['metrics'])}")
    return answer


def predict(arguments: argparse.Namespace) -> dict[str, Any]:
    """predict RUN --data FILE --out FILE."""
    from workbench.runs.files import predict_file

    with runs_of(arguments) as service, watched() as progress:
        answer = predict_file(_answering(service, arguments.run, progress), _data(arguments), arguments.out, progress)
    say(f"{answer['examples']} rows answered in {answer['out']}. {figures_line(answer.get('metrics', {}))}".rstrip())
    return answer


def _answering(service: RunService, run: str, progress: Progress) -> Predictor | Generator:
    from workbench.runs.files import answering

    run_id = service.resolve(run)
    progress("weights", None)
    return answering(service, run_id)


def export(arguments: argparse.Namespace) -> dict[str, Any]:
    """export RUN --to DIR [--merge | --onnx | --adapter | --script | --command]: a folder, or a text in one."""
    from workbench.runs.export import export_run
    from workbench.runs.takeaway import take_away

    with runs_of(arguments) as service, watched() as progress:
        run_id = service.resolve(arguments.run)
        if arguments.form in ("script", "command"):
            file = take_away(service, run_id, arguments.form, Path(arguments.to).expanduser()).file
            answer = {"run": run_id, "to": str(file), "form": arguments.form}
        else:
            answer = export_run(service, run_id, arguments.to, arguments.form, progress)
    if answer.get("rows_compared"):
        say(f"Exported to {answer['to']}; its predict.py answered {answer['rows_compared']} rows as the run does.")
    else:
        say(f"Exported to {answer['to']}.")
    return answer


def check(arguments: argparse.Namespace) -> dict[str, Any]:
    """check RUN|RECIPE: why does it not learn? Findings, each with the fields that may mend it."""
    with runs_of(arguments) as service:
        try:
            run_id: str | None = service.resolve(arguments.subject)
        except RunError:
            run_id = None
        found = run_findings(service, run_id) if run_id else recipe_findings(service, load_recipe(arguments.subject))
    for finding in found:
        flags = " ".join(f"--set {place}={value}" for place, value in finding.fix.items())
        say(f"{finding.message} {f'Try {flags}' if flags else ''}".rstrip())
    if not found:
        say("Nothing that keeps it from learning was found.")
    return {"run": run_id, "recipe": None if run_id else arguments.subject, "findings": [asdict(finding) for finding in found]}


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """compare RUN RUN ...: where their recipes differ, and their figures."""
    with runs_of(arguments) as service:
        views = [service.read(service.resolve(run)) for run in arguments.runs_compared]
    found = differences([view.recipe for view in views])
    for name, values in found:
        say(f"{name:<34} {'  |  '.join(str(value) for value in values)}")
    for view in views:
        say(f"{view.id}  {view.status}  {figures_line(view.metrics)}")
    runs = [{"run": view.id, "name": view.name, "status": view.status, "metrics": view.metrics} for view in views]
    return {"runs": runs, "differences": [{"field": name, "values": values} for name, values in found]}


def note(arguments: argparse.Namespace) -> dict[str, Any]:
    """note RUN [--tags A,B] [--note TEXT] [--archive|--unarchive]: writes about a run; alone, says what is written."""
    archived = True if arguments.archive else False if arguments.unarchive else None
    with runs_of(arguments, writable=True) as service:
        run_id = service.resolve(arguments.run)
        service.annotate(run_id, tags=arguments.tags, note=arguments.note, archived=archived)
        record = service.store.record(run_id)
    say(f"{run_id}  {record.tags or 'no tags'}  {record.note}{'  (put away)' if record.archived else ''}")
    return {"run": run_id, "tags": record.tags, "note": record.note, "archived": bool(record.archived)}


def _data(arguments: argparse.Namespace) -> str:
    return resolve_path(arguments.data, Path.cwd())
