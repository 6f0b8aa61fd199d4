"""Why does it not learn? What is wrong with a recipe or a run, each finding with the field that may mend it.

    recipe, model --gather--> Evidence (rows, prompt, events) --every check--> [Finding(code, message, values, fix)]

A check is one function over the evidence, registered by its code; it looks at nothing else, so a run of last year can be checked and a
recipe before its first step too. What is missing in the evidence (no events yet, rows that cannot be read) is passed over.
"""

from __future__ import annotations

from workbench.checks import learning, prompt, rows, writing  # noqa: F401 - registers the checks
from workbench.checks.evidence import Evidence, Seen, gather
from workbench.checks.finding import Finding, check_codes, findings

__all__ = ["Evidence", "Finding", "Seen", "check_codes", "findings", "gather"]
