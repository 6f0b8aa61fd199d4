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


def _service(arguments: argparse.Namespace) -> RunService:
    return RunService(Path(arguments.runs).expanduser(), writable=False, adopt_queue=False)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
