"""Why a run, or a recipe that has not run yet, does not learn: the evidence that `workbench.checks` asks for, from the run's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.checks import Finding
    from workbench.runs.service import RunService


def recipe_findings(service: RunService, recipe: Recipe) -> list[Finding]:
    """What is wrong with a recipe before its first step."""
    from workbench.checks import findings, gather

    return findings(gather(recipe, service.pool))


def run_findings(service: RunService, run_id: str) -> list[Finding]:
    """What is wrong with a run, running or ended; a job other than training is checked by its recipe alone.

    Raises:
        RunError: there is no such run.
    """
    from workbench.checks import Seen, findings, gather

    run = service.read(run_id, 1 << 60)
    if run.kind != "train":
        return recipe_findings(service, run.recipe)
    steps, losses = run.log.curve
    length = min(len(steps), len(losses))  # the log may be growing
    plan = run.log.last("plan")
    failed = str((run.error or {}).get("message", ""))
    seen = Seen(steps[:length], losses[:length], run.log.of("evaluation"), plan.get("learning_rate"), failed)
    return findings(gather(run.recipe, service.pool, seen))
