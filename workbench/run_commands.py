"""Commands about a run that is there already: parsed flags in, the JSON object out."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.recipe import load_recipe
from workbench.runs.compare import differences
from workbench.runs.findings import recipe_findings, run_findings
from workbench.runs.service import RunService


def check(arguments: argparse.Namespace) -> dict[str, Any]:
    """check RUN|RECIPE: why does it not learn? Findings, each with the fields that may mend it."""
    with closing(_service(arguments)) as service:
        try:
            run_id: str | None = service.resolve(arguments.subject)
        except RunError:
            run_id = None
        found = run_findings(service, run_id) if run_id else recipe_findings(service, load_recipe(arguments.subject))
    for finding in found:
        flags = " ".join(f"--set {place}={value}" for place, value in finding.fix.items())
        _say(f"{finding.message} {f'Try {flags}' if flags else ''}".rstrip())
    if not found:
        _say("Nothing that keeps it from learning was found.")
    return {"run": run_id, "recipe": None if run_id else arguments.subject, "findings": [asdict(finding) for finding in found]}


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """compare RUN RUN ...: where their recipes differ, and their figures."""
    with closing(_service(arguments)) as service:
        views = [service.read(service.resolve(run)) for run in arguments.runs_compared]
    found = differences([view.recipe for view in views])
    for name, values in found:
        _say(f"{name:<34} {'  |  '.join(str(value) for value in values)}")
    for view in views:
        _say(f"{view.id}  {view.status}  {', '.join(f'{name} {value:.4f}' for name, value in view.metrics.items())}")
    runs = [{"run": view.id, "name": view.name, "status": view.status, "metrics": view.metrics} for view in views]
    return {"runs": runs, "differences": [{"field": name, "values": values} for name, values in found]}


def note(arguments: argparse.Namespace) -> dict[str, Any]:
    """note RUN [--tags A,B] [--note TEXT] [--archive|--unarchive]: writes about a run; alone, says what is written."""
    archived = True if arguments.archive else False if arguments.unarchive else None
    with closing(_service(arguments, writable=True)) as service:
        run_id = service.resolve(arguments.run)
        service.annotate(run_id, tags=arguments.tags, note=arguments.note, archived=archived)
        record = service.store.record(run_id)
    _say(f"{run_id}  {record.tags or 'no tags'}  {record.note}{'  (put away)' if record.archived else ''}")
    return {"run": run_id, "tags": record.tags, "note": record.note, "archived": bool(record.archived)}


def _service(arguments: argparse.Namespace, *, writable: bool = False) -> RunService:
    return RunService(Path(arguments.runs).expanduser(), writable=writable, adopt_queue=False)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
