"""Which pieces of a sentence spoke for an answer, for any model: leave a piece out and see what the answer loses.

Occlusion (Zeiler & Fergus 2014; for text Li, Monroe & Jurafsky 2016, "erasure"): the weight of a piece is the log-probability of the
class with the whole text, minus that without the piece. It asks nothing of a model but its probabilities, so a linear model, a network
and a prompted language model can be compared on one sentence.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from workbench.data.profile import mostly_ideographs
from workbench.paradigms.paradigm import Reason, Why, text_of
from workbench.serving import SMALLEST_PROBABILITY

if TYPE_CHECKING:
    from workbench.paradigms.paradigm import Answerer

MOST_PIECES = 48


def pieces(text: str) -> list[tuple[int, int]]:
    """Places of words, or of characters where blanks do not part words; longer texts are cut into as many longer pieces."""
    pattern = r"[^\W\d_]|\d+|[^\w\s]" if mostly_ideographs([text]) else r"\S+"
    found = [match.span() for match in re.finditer(pattern, text)]
    size = math.ceil(len(found) / MOST_PIECES) or 1
    return [(run[0][0], run[-1][1]) for start in range(0, len(found), size) if (run := found[start : start + size])]


def occlusion(answerer: Answerer, fields: dict[str, str], label: str) -> Why:
    """One forward pass per piece, in one batch; weights in nats."""
    places: list[tuple[str, int, int]] = [(name, a, b) for name in sorted(fields) for a, b in pieces(fields[name])]
    size = math.ceil(len(places) / MOST_PIECES) or 1
    rows = [dict(fields)]
    runs = [places[i : i + size] for i in range(0, len(places), size)]
    for run in runs:
        cut = dict(fields)
        for name, start, end in reversed(run):
            cut[name] = f"{cut[name][:start]}{cut[name][end:]}"
        rows.append(cut)
    column = answerer.labels.index(label)
    whole, *without = [math.log(max(row[column], SMALLEST_PROBABILITY)) for row in answerer.probabilities(rows)]
    starts = _starts(fields)
    reasons = []
    for run, score in zip(runs, without, strict=True):
        reasons += [Reason(starts[name] + start, starts[name] + end, (whole - score) / len(run)) for name, start, end in run]
    return Why(text_of(fields), reasons, [], "occlusion")


def _starts(fields: dict[str, str]) -> dict[str, int]:
    """Where each field begins within `text_of`."""
    starts, place = {}, 0
    for name in sorted(fields):
        starts[name] = place
        place += len(fields[name]) + 1
    return starts
