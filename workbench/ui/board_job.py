"""A recipe's `job` of kind board from the tab's controls, and back."""

from __future__ import annotations

from typing import Any

from workbench.errors import RecipeError
from workbench.ui.text import Words

USUAL_SHOTS = "0, 8, 32, 128, all"
BUDGETS: dict[str, dict[str, Any]] = {
    "quick": {"test": 200, "validation": 100, "rows_seen": 300, "least_epochs": 0.1, "most_epochs": 8, "evaluations": 1},
    "usual": {"test": 400, "validation": 100, "rows_seen": 500, "least_epochs": 0.4, "most_epochs": 10, "evaluations": 2},
    "full": {"test": 1000, "validation": 300, "rows_seen": 4000, "least_epochs": 3, "most_epochs": 20, "evaluations": 6},
}


def job_of(
    shots: str, seeds: float, methods: list[str], models: list[str], budget: str, t: Words, own: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The recipe's `job` from the controls. Of the board that it asks for already, `own`, what no control shows stays, and what the
    budget stands for until another one is chosen.

    Raises:
        RecipeError: a number of examples that is none, or no method.
    """
    numbers: list[int | str] = []
    for part in (shots or "").replace("\uff0c", ",").split(","):
        text = part.strip()
        if text and text != "all" and not text.isdigit():
            raise RecipeError(t("board.shots_wrong", text=text), fix=t("board.shots_fix", usual=USUAL_SHOTS))
        numbers += [] if not text else ["all" if text == "all" else int(text)]
    if not numbers or not methods:
        raise RecipeError(t("board.nothing_chosen"), fix=t("board.nothing_chosen_fix"))
    chosen: dict[str, list[str]] = {}
    for entry in methods:
        paradigm, _, method = entry.partition("/")
        chosen.setdefault(paradigm, []).append(method)
    known = own or {}
    spent = {**BUDGETS[budget], **known} if budget == budget_of(known) else {**known, **BUDGETS[budget]}
    further = [place.strip() for place in models or [] if place.strip()]
    return {**spent, "kind": "board", "shots": numbers, "seeds": int(seeds or 1), "paradigms": chosen, "models": further}


def budget_of(job: dict[str, Any]) -> str:
    """The budget of a job, by the rows that it lets a language model see."""
    rows = job.get("rows_seen", BUDGETS["usual"]["rows_seen"])
    return next((name for name, options in BUDGETS.items() if rows <= options["rows_seen"]), "full")
