"""Findings in the prompt: label words of which one wins before any text is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.checks.finding import Finding, register_check
from workbench.serving.calibration import skew

if TYPE_CHECKING:
    from workbench.checks.evidence import Evidence


@register_check("skew")
def skewed_words(evidence: Evidence) -> Finding | None:
    """One label takes nearly all of the probability on inputs that say nothing."""
    diagnosis = skew(evidence.prior) if evidence.prior else None
    if diagnosis is None:
        return None
    return Finding("skew", diagnosis.message, diagnosis.values, {"prompt.verbalizer.calibration": "contextual"})
