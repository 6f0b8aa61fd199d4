"""A finding, and the registry of the functions that find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.checks.evidence import Evidence


@dataclass(frozen=True)
class Finding:
    """Something that keeps a model from learning.

    Args:
        code: what it is, for the page's own words.
        message: a plain English sentence.
        values: what the sentence names, by name.
        fix: dotted fields of the recipe to set, worth a try; empty where only a person can mend it.
    """

    code: str
    message: str
    values: dict[str, str] = field(default_factory=dict)
    fix: dict[str, Any] = field(default_factory=dict)


Check = Callable[["Evidence"], Finding | None]
_CHECKS: dict[str, Check] = {}


def register_check(code: str) -> Callable[[Check], Check]:
    """Function decorator; a second check of the same code stops the import."""

    def add(check: Check) -> Check:
        if code in _CHECKS and _CHECKS[code].__module__ != check.__module__:
            raise TypeError(f"Two checks are called '{code}'.")
        _CHECKS[code] = check
        return check

    return add


def check_codes() -> list[str]:
    """Every code, in the order in which findings are told: what was seen while learning first."""
    return list(_CHECKS)


def findings(evidence: Evidence) -> list[Finding]:
    """What every check found, the likeliest causes first."""
    found = (check(evidence) for check in _CHECKS.values())
    return [finding for finding in found if finding is not None]
