"""Findings in the rows: too few to learn from or to measure on, texts that are cut, the same text on both sides of the split."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from workbench.checks.finding import Finding, register_check

if TYPE_CHECKING:
    from workbench.checks.evidence import Evidence

FEWEST_PER_CLASS, ENOUGH_PER_CLASS = 8, 16
FEWEST_TO_MEASURE, ENOUGH_TO_MEASURE = 50, 200
SPARED = 4
"""Times as many training rows as are wanted to measure on can give those away."""
MOST_CUT = 0.1
COVERED = 0.95
SHORTEST_COMPARED = 8
"""Characters: shorter texts ("good", "ok") are alike by nature, and no leak."""


@register_check("truncation")
def truncation(evidence: Evidence) -> Finding | None:
    """More than a tenth of the prompts are longer than what the recipe lets through."""
    limit = min(evidence.recipe.prompt.max_length, evidence.longest or evidence.recipe.prompt.max_length)
    cut = sum(length > limit for length in evidence.lengths)
    if not evidence.lengths or cut <= MOST_CUT * len(evidence.lengths):
        return None
    wanted = sorted(evidence.lengths)[math.ceil(COVERED * len(evidence.lengths)) - 1]
    room = min(math.ceil(wanted / 8) * 8, evidence.longest or wanted)
    values = {"share": f"{cut / len(evidence.lengths):.0%}", "limit": str(limit)}
    message = f"{values['share']} of the texts are cut at {limit} tokens; what decides may stand in the part that is lost."
    return Finding("truncation", message, values, {"prompt.max_length": room} if room > limit else {})


@register_check("few_rows")
def few_rows(evidence: Evidence) -> Finding | None:
    """Fewer than eight rows of a class, though methods that train much need more."""
    if not evidence.splits or not evidence.per_class:
        return None
    label, count = min(evidence.per_class.items(), key=lambda pair: (pair[1], pair[0]))
    if count >= FEWEST_PER_CLASS:
        return None
    shots = evidence.recipe.data.split.shots
    fix = {"data.split.shots": ENOUGH_PER_CLASS} if shots is not None and evidence.splits.rest and count >= shots else {}
    return Finding("few_rows", f"The class '{label}' has {count} training rows.", {"label": label, "count": str(count)}, fix)


@register_check("few_validation_rows")
def few_validation_rows(evidence: Evidence) -> Finding | None:
    """So few validation rows that a difference of some points is chance (normal approximation at an accuracy of one half)."""
    if not evidence.splits or len(evidence.splits.validation) >= FEWEST_TO_MEASURE:
        return None
    count = len(evidence.splits.validation)
    points = f"{196 * math.sqrt(0.25 / max(count, 1)):.0f}"
    spare = evidence.splits.rest or len(evidence.splits.train) >= SPARED * ENOUGH_TO_MEASURE
    fix = {"data.split.validation": ENOUGH_TO_MEASURE} if evidence.recipe.data.validation is None and spare else {}
    message = f"Only {count} rows measure the model: its accuracy may be {points} points off by chance."
    return Finding("few_validation_rows", message, {"count": str(count), "points": points}, fix)


@register_check("leak")
def leak(evidence: Evidence) -> Finding | None:
    """Validation texts that training has as well but for capitals, blanks and punctuation. Equal ones are taken out when rows are split."""
    contents, others = evidence.contents
    train = {_bare(content) for content in contents}
    held = [bare for content in others if len(bare := _bare(content)) >= SHORTEST_COMPARED]
    count = sum(bare in train for bare in held)
    if not count:
        return None
    fix = {"data.validation": None} if evidence.recipe.data.validation else {}
    message = f"{count} validation texts stand in the training rows as well, but for capitals, blanks or punctuation: the figures flatter."
    return Finding("leak", message, {"count": str(count)}, fix)


def _bare(content: tuple[str, ...]) -> str:
    return "\x1f".join(re.sub(r"[\W_]+", "", part).casefold() for part in content)
