"""A board: the cells of four paradigms brought together into curves, a table, confusion matrices, disagreements and significance.

Pure: cells that are done in, one plain object out. It says the same of a board half done as of a whole one, over fewer cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from workbench.paradigms.cells import ALL, Cell, Plan
from workbench.paradigms.paradigm import paradigm_names
from workbench.paradigms.statistics import bootstrap, compare, spread

MOST_DISAGREEMENTS = 40
MEANS = ("rows", "seconds", "cpu_seconds", "milliseconds_per_row", "trainable_parameters", "total_parameters", "model_bytes")


@dataclass(frozen=True)
class TestSet:
    """The rows that every cell is measured on: label and texts of each, its line in the file, and every label there is."""

    labels: tuple[str, ...]
    rows: list[dict[str, Any]]
    notes: list[str]

    @property
    def truth(self) -> np.ndarray:
        """Class numbers [N]."""
        return np.array([self.labels.index(row["label"]) for row in self.rows])


def board_report(plan: Plan, test: TestSet, outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Everything a board says.

    Args:
        outcomes: what `run_cell` returned for the cells that are done, in the plan's order.

    Returns:
        labels, shots, seeds, test_rows, chance (share of the largest class in the test rows), notes, done, total;
        lines: one per paradigm, method and number of examples: figures with interval and spread, confusion matrix, names of its cells;
        champions: per number of examples the method of each paradigm that validation prefers;
        pairs: per number of examples the champions two by two; disagreements: per number of examples the rows on which they differ.
    """
    measured = [outcome for outcome in outcomes if "refused" not in outcome]
    lines = [_line(test, group) for group in _groups(plan, measured)]
    champions = {_key(shots): _champions(lines, shots) for shots in plan.shots}
    by_cell = {Cell(**outcome["cell"]): outcome for outcome in measured}
    counts = np.bincount(test.truth, minlength=len(test.labels))
    return {
        "labels": list(test.labels),
        "shots": [_key(shots) for shots in plan.shots],
        "seeds": list(plan.seeds),
        "test_rows": len(test.rows),
        "chance": float(counts.max() / counts.sum()),
        "notes": [*test.notes, *_notes(measured)],
        "done": len(outcomes),
        "total": len(plan.cells()),
        "lines": lines,
        "refused": [{**outcome["cell"], **outcome["refused"]} for outcome in outcomes if "refused" in outcome],
        "champions": champions,
        "pairs": {key: _pairs(test, by_cell, plan, key, chosen) for key, chosen in champions.items()},
        "disagreements": {key: _disagreements(test, by_cell, plan, key, chosen) for key, chosen in champions.items()},
    }


def headline(report: dict[str, Any]) -> dict[str, float] | None:
    """The figures of the cell that validation prefers at the largest number of examples; None before there is one."""
    for key in reversed(report["shots"]):
        lines = [line for line in report["lines"] if line["shots"] == key and line["validation_accuracy"] is not None]
        if lines:
            best = max(lines, key=lambda line: line["validation_accuracy"])
            return {"accuracy": best["accuracy"]["value"], "macro_f1": best["macro_f1"]["value"]}
    return None


def table(report: dict[str, Any]) -> dict[str, Any]:
    """The lines as columns and rows, for the command line, csv and the page."""
    columns = [
        "paradigm", "method", "shots", "rows", "accuracy", "accuracy low", "accuracy high", "accuracy spread", "macro_f1", "macro_f1 low",
        "macro_f1 high", "trainable parameters", "parameters", "model bytes", "training seconds", "ms per row", "peak memory bytes",
        "joules", "seeds",
    ]  # fmt: skip
    rows = [
        [
            line["paradigm"], line["method"], line["shots"], line["rows"],
            *(line["accuracy"][name] for name in ("value", "low", "high")),
            line["accuracy"]["spread"] if len(line["cells"]) > 1 else None,
            *(line["macro_f1"][name] for name in ("value", "low", "high")), line["trainable_parameters"], line["total_parameters"],
            line["model_bytes"], line["seconds"], line["milliseconds_per_row"], line["peak_memory_bytes"], line["energy_joules"],
            len(line["cells"]),
        ]
        for line in report["lines"]
    ]  # fmt: skip
    return {"columns": columns, "rows": rows}


def _groups(plan: Plan, outcomes: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Cells that differ in their seed alone, ordered by examples, paradigm and method."""
    groups: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    names = paradigm_names()
    for outcome in outcomes:
        cell = Cell(**outcome["cell"])
        key = (plan.shots.index(cell.shots), names.index(cell.paradigm), cell.method)
        groups.setdefault(key, []).append(outcome)
    methods = {(names.index(name), method): place for name in plan.methods for place, method in enumerate(plan.lines(name))}
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], key[1], methods[key[1], key[2]]))]


def _line(test: TestSet, group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    truth, classes = test.truth, len(test.labels)
    predicted = _predicted(test, group)
    first = Cell(**group[0]["cell"])
    intervals = bootstrap(truth, predicted, classes)
    accuracies = (predicted == truth).mean(axis=1)
    confusion = np.zeros((classes, classes), dtype=int)
    for line in predicted:
        np.add.at(confusion, (truth, line), 1)
    f1 = [bootstrap(truth, line[None], classes, rounds=1)["macro_f1"].value for line in predicted]
    validation = [outcome["validation"]["accuracy"] for outcome in group if outcome["validation"]]
    joules = [outcome["energy_joules"] for outcome in group if outcome["energy_joules"] is not None]
    return {
        "paradigm": first.paradigm,
        "method": first.method,
        "shots": _key(first.shots),
        "accuracy": {**asdict(intervals["accuracy"]), "spread": spread(accuracies)[1], "per_seed": accuracies.tolist()},
        "macro_f1": {**asdict(intervals["macro_f1"]), "spread": spread(f1)[1], "per_seed": f1},
        "confusion": confusion.tolist(),
        "validation_accuracy": float(np.mean(validation)) if validation else None,
        **{name: round(float(np.mean([outcome[name] for outcome in group])), 4) for name in MEANS},
        "peak_memory_bytes": max(outcome["peak_memory_bytes"] for outcome in group),
        "energy_joules": round(float(np.mean(joules)), 3) if joules else None,
        "settings": group[0]["settings"],
        "cells": [Cell(**outcome["cell"]).name for outcome in group],
    }


def _champions(lines: Sequence[dict[str, Any]], shots: int | None) -> dict[str, str]:
    """paradigm -> the method with the highest accuracy on validation at this number of examples; test rows have no say."""
    best: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line["shots"] == _key(shots):
            known = best.get(line["paradigm"])
            if known is None or (line["validation_accuracy"] or 0.0) > (known["validation_accuracy"] or 0.0):
                best[line["paradigm"]] = line
    return {name: line["method"] for name, line in best.items()}


def _chosen_cells(
    by_cell: dict[Cell, dict[str, Any]], plan: Plan, shots: str, champions: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """paradigm -> its champion's cells, one per seed for which every champion is done."""
    cells: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in champions}
    for cell, outcome in by_cell.items():
        if champions.get(cell.paradigm) == cell.method and _key(cell.shots) == shots:
            cells[cell.paradigm][cell.seed] = outcome
    seeds = [seed for seed in plan.seeds if all(seed in found for found in cells.values())]
    return {name: [found[seed] for seed in seeds] for name, found in cells.items()}


def _pairs(test: TestSet, by_cell: dict[Cell, dict[str, Any]], plan: Plan, shots: str, champions: dict[str, str]) -> list[dict[str, Any]]:
    chosen = _chosen_cells(by_cell, plan, shots, champions)
    if len(chosen) < 2 or not all(chosen.values()):
        return []
    pairs = compare({name: _predicted(test, group) == test.truth for name, group in chosen.items()})
    return [asdict(pair) for pair in pairs]


def _disagreements(
    test: TestSet, by_cell: dict[Cell, dict[str, Any]], plan: Plan, shots: str, champions: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows on which the first seed's champions differ, those first on which they were surest."""
    chosen = {name: group[0] for name, group in _chosen_cells(by_cell, plan, shots, champions).items() if group}
    if len(chosen) < 2:
        return []
    found = []
    for number, row in enumerate(test.rows):
        answers = {name: outcome["predicted"][number] for name, outcome in chosen.items()}
        if len(set(answers.values())) > 1:
            sure = sum(outcome["confidence"][number] for outcome in chosen.values())
            found.append((sure, {"line": row["line"], "fields": row["fields"], "label": row["label"], "answers": answers}))
    found.sort(key=lambda pair: -pair[0])
    return [content for _, content in found[:MOST_DISAGREEMENTS]]


def _predicted(test: TestSet, group: Sequence[dict[str, Any]]) -> np.ndarray:
    """Class numbers [S, N]."""
    return np.array([[test.labels.index(label) for label in outcome["predicted"]] for outcome in group])


def _notes(outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """What the splits of the cells had to say, each sentence once."""
    return list(dict.fromkeys(note for outcome in outcomes for note in outcome["notes"]))


def _key(shots: int | None) -> str:
    return ALL if shots is None else str(shots)
