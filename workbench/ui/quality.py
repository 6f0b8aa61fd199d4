"""How good a classifier is, as the page shows it: tiles, confusion matrix, figures per class, and the rows that tell most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.training.metrics import only_class
from workbench.ui.markup import confusion, heading, percent, sentence, table
from workbench.ui.text import Words

MOST_CLASSES = 30
SHARES = ("accuracy", "macro_f1")
NOW = {"accuracy": "now", "macro_f1": "now_macro_f1", "loss": "now_loss"}
BEST = {"accuracy": "best", "macro_f1": "best_macro_f1", "loss": "best_loss"}


def quality_tiles(evaluations: Sequence[dict[str, Any]], metric: str, t: Words) -> list[tuple[str, str]]:
    """At first, now and at its best: the figure that says which weights are kept; and accuracy where it is not that one.

    Args:
        evaluations: contents of evaluation events, oldest first.
        metric: accuracy, macro_f1 or loss.
    """
    if not evaluations:
        return []
    first, now = evaluations[0], evaluations[-1]
    best = next((event for event in reversed(evaluations) if event.get("best")), now)
    tiles = [
        (t("train.zero_shot") if first["step"] == 0 else t("train.first"), _figure(first, metric)),
        (t(f"train.{NOW[metric]}"), _figure(now, metric)),
        (t(f"train.{BEST[metric]}"), _figure(best, metric)),
    ]
    return tiles if metric == "accuracy" else [*tiles, (t("train.now"), _figure(now, "accuracy"))]


def one_class_html(evaluations: Sequence[dict[str, Any]], t: Words) -> str:
    """A warning while the last evaluation calls every row the same; nothing about the untrained model."""
    last = evaluations[-1] if evaluations else {}
    only = only_class(last.get("confusion", []))
    if only is None or not last["step"]:
        return ""
    return sentence(t("train.one_class", label=last["labels"][only], check=t("checks.ask")), "note")


def evaluation_html(event: dict[str, Any], labels: list[str], t: Words) -> str:
    """An evaluation's confusion matrix, and the figures of each class below it."""
    title = heading(t("train.confusion", step=event["step"]))
    matrix = confusion(event["confusion"], labels, t("train.actual"), t("train.predicted"), save="confusion")
    return title + matrix + _classes(event.get("per_class", []), event["step"], t)


def telling_html(event: dict[str, Any], t: Words) -> str:
    """The rows of a run's `telling_rows` event; nothing where there is none."""
    if not event:
        return ""
    columns = [t(f"train.telling_{name}") for name in ("kind", "text", "label", "predicted", "loss")]
    rows = [
        (
            " \u00b7 ".join(t(f"train.{kind}") for kind in row["kinds"]), row["text"], row["label"],
            f"{row['predicted']} \u00b7 {percent(row['probability'])}", f"{row['loss']:.3f}", str(row["line"]),
        )
        for row in event["rows"]
    ]  # fmt: skip
    head = heading(t("train.telling", step=event["step"])) + sentence(t("train.telling_help"))
    shown = table([*columns, t("data.line")], rows, numeric=frozenset({4, 5}), save="telling-rows")
    return f'<div class="pw-telling">{head}{shown}</div>'


def _classes(lines: Sequence[dict[str, Any]], step: int, t: Words) -> str:
    """Precision, recall, F1 and rows of each class; of many classes those that do worst."""
    if not lines:
        return ""
    told = sentence(t("train.per_class_help"))
    if len(lines) > MOST_CLASSES:
        told += sentence(t("train.per_class_most", most=MOST_CLASSES, count=len(lines)))
        lines = sorted(lines, key=lambda line: line["f1"])[:MOST_CLASSES]
    names = ("precision", "recall", "f1", "support")
    rows = [(line["label"], *(percent(line[name]) for name in names[:3]), str(line["support"])) for line in lines]
    columns = [t("train.telling_label"), *(t(f"train.{name}") for name in names)]
    shown = table(columns, rows, numeric=frozenset({1, 2, 3, 4}), save="classes")
    return heading(t("train.per_class", step=step)) + told + shown


def _figure(event: dict[str, Any], metric: str) -> str:
    value = event[metric]
    return percent(value) if metric in SHARES else f"{value:.3f}"
