"""Findings in rows for a model that writes: missing answers, conversations that are cut, answers longer than what may be written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.checks.finding import Finding, register_check
from workbench.checks.rows import COVERED, MOST_CUT

if TYPE_CHECKING:
    from workbench.checks.evidence import Evidence

MOST_UNANSWERED = 0.05
MOST_TOKENS = 4096


@register_check("unanswered")
def unanswered(evidence: Evidence) -> Finding | None:
    """More than a twentieth of the rows with a question have no answer, and are left out."""
    written = evidence.written
    if written is None or written.unanswered <= MOST_UNANSWERED * written.asked:
        return None
    values = {"count": str(written.unanswered), "rows": str(written.asked)}
    message = f"{values['count']} of {values['rows']} rows have no answer and are left out; perhaps another column holds the answers."
    return Finding("unanswered", message, values)


@register_check("conversation_cut")
def conversation_cut(evidence: Evidence) -> Finding | None:
    """More than a tenth of the conversations are longer than what the recipe lets through."""
    written = evidence.written
    if written is None:
        return None
    limit = min(evidence.recipe.prompt.max_length, evidence.longest or evidence.recipe.prompt.max_length)
    share = _share_over(written.lengths, limit)
    if share <= MOST_CUT:
        return None
    room = min(_rounded_up(written.lengths), evidence.longest or MOST_TOKENS)
    values = {"share": f"{share:.0%}", "limit": str(limit)}
    message = f"{values['share']} of the conversations are cut at {limit} tokens: questions lose words, and answers their end."
    return Finding("conversation_cut", message, values, {"prompt.max_length": room} if room > limit else {})


@register_check("answer_cut")
def answer_cut(evidence: Evidence) -> Finding | None:
    """More than a tenth of the expected answers are longer than what the model may write: its own are cut, and scored so."""
    written, limit = evidence.written, evidence.recipe.prompt.max_new_tokens
    if written is None or (share := _share_over(written.answers, limit)) <= MOST_CUT:
        return None
    room = min(_rounded_up(written.answers), MOST_TOKENS)
    values = {"share": f"{share:.0%}", "limit": str(limit)}
    message = f"{values['share']} of the expected answers are longer than the {limit} tokens that may be written: answers stop short."
    return Finding("answer_cut", message, values, {"prompt.max_new_tokens": room} if room > limit else {})


def _share_over(lengths: Sequence[int], limit: int) -> float:
    return sum(length > limit for length in lengths) / max(1, len(lengths))


def _rounded_up(lengths: Sequence[int]) -> int:
    """Room for most of them, as a multiple of eight."""
    return math.ceil(sorted(lengths)[math.ceil(COVERED * len(lengths)) - 1] / 8) * 8
