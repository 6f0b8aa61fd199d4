"""What a comparison is: a goal's number, a function that measures, and rows that say by how much the goal was met or missed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import SettingsError, WorkbenchError, nearest


@dataclass(frozen=True)
class Scale:
    """How much may be measured, and where.

    Args:
        quick: everything together within two minutes: small shapes, one round.
        rounds: how often each side takes its turn; figures are medians.
        folder: an empty folder for models, runs and environments; removed afterwards.
        say: tells the person what is going on.
    """

    quick: bool
    rounds: int
    folder: Path
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Row:
    """One figure against one peer.

    Args:
        goal: number of the goal, "P1".
        work: what was done, with its size: "training, 4x256, 256 rows".
        peer: what it is compared with.
        value: the figure; of a ratio how many times better than the peer. None when it could not be measured.
        wanted: the goal for `value`; None where there is none.
        unit: "x" for a ratio, else the unit of `value`: "s", "ms", "kB", "%".
        at_most: the goal is an upper bound.
        figures: plain numbers behind the value: seconds, flops and peak bytes of both sides, rounds.
        note: why there is no value, or what to know about it.
    """

    goal: str
    work: str
    peer: str
    value: float | None
    wanted: float | None
    unit: str = "x"
    at_most: bool = False
    figures: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a value or a goal."""
        if self.value is None or self.wanted is None:
            return None
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted

    def to_json(self) -> dict[str, Any]:
        """The row's fields, and whether it met its goal."""
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True)
class Comparison:
    """What one goal of the performance page is measured by: a number such as `P3`, its title, and the function that makes its rows."""

    goal: str
    title: str
    measure: Callable[[Scale], list[Row]]


_COMPARISONS: dict[str, Comparison] = {}


def comparison(goal: str, title: str) -> Callable[[Callable[[Scale], list[Row]]], Callable[[Scale], list[Row]]]:
    """Registers a function that measures `goal`; two for one goal are a programming error and stop the import."""

    def register(measure: Callable[[Scale], list[Row]]) -> Callable[[Scale], list[Row]]:
        known = _COMPARISONS.get(goal)
        if known is not None and known.measure.__module__ != measure.__module__:
            raise TypeError(f"{goal} is measured by both {known.measure.__module__} and {measure.__module__}.")
        _COMPARISONS[goal] = Comparison(goal, title, measure)
        return measure

    return register


def registered() -> list[Comparison]:
    """Every comparison whose module was imported, by the numbers in its goal."""
    return sorted(_COMPARISONS.values(), key=lambda known: [int(n) for n in re.findall(r"\d+", known.goal)])


def chosen(known: Sequence[Comparison], goals: Sequence[str]) -> list[Comparison]:
    """The comparisons of the goals named, or all when none is named.

    Raises:
        SettingsError: there is no such goal.
    """
    names = {entry.goal: entry for entry in known}
    for goal in goals:
        if goal.upper() not in names:
            raise SettingsError(f"There is no comparison '{goal}'.", fix=nearest(goal.upper(), names))
    return [names[goal.upper()] for goal in goals] if goals else list(known)


def run_comparisons(known: Sequence[Comparison], scale: Scale) -> list[Row]:
    """All rows, comparison after comparison; one that this machine cannot measure says so in a row and stops no other."""
    rows: list[Row] = []
    for entry in known:
        scale.say(f"{entry.goal}: {entry.title}")
        folder = scale.folder / entry.goal
        folder.mkdir(parents=True, exist_ok=True)
        try:
            rows += entry.measure(Scale(scale.quick, scale.rounds, folder, scale.say))
        except WorkbenchError as error:
            rows.append(Row(entry.goal, entry.title, "", None, None, note=f"{error.message} {error.fix}".strip()))
    return rows
