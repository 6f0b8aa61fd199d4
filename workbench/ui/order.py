"""No page goes back: a look at what was true before an act does not replace what the act showed.

A tab coming into view is worked out beside whatever the person does next, and the slower of the two answers last. So a look's answer is
left out wherever an act ended since the look began, or where a look that began later has answered; an act's answer always counts.

Two answers that are ready within milliseconds, say because both waited for the same import, may leave the server the other way round.
So an answer that waits in the queue says once more, as it leaves, what an answer after it has filled meanwhile.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

MOST_PAGES = 1_000
LATE = "late"
"""Under this key of its request's state an answer in the queue has what to ask as it leaves: the places to leave out."""


@dataclass
class Written:
    """What wrote a component last, in turns: when the newest act that wrote it ended, when the newest look that wrote it began, and when
    the newest answer that left for the page was passed."""

    act: int = 0
    look: int = 0
    left: int = 0


class Order:
    """The turns of one application's pages."""

    def __init__(self) -> None:
        self._turns = itertools.count(1)
        self._pages: OrderedDict[str, dict[int, Written]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self) -> int:
        """The turn of a call that begins now."""
        return next(self._turns)

    def passed(
        self, page: str, began: int, answer: Any, outputs: Sequence[int], *, look: bool, queued: dict[str, Any] | None = None
    ) -> Any:
        """The answer to a call, without what is no longer news.

        Args:
            page: key of the open page; calls without one are not ordered.
            began: the call's turn.
            answer: as gradio takes it: one value for one output, else one for each, or a skip for all.
            outputs: ids of the components.
            look: the call only shows what is, and changes nothing.
            queued: state of the request, where the answer waits in the queue until it leaves; any other leaves at once.
        """
        if not page or not outputs or _skips(answer):
            return answer
        values = [answer] if len(outputs) == 1 else list(answer)
        with self._lock:
            written, filled = self._of(page), {}
            for place, (output, value) in enumerate(zip(outputs, values, strict=True)):
                if _skips(value):
                    continue
                last = written[output]
                if look and (last.act > began or last.look > began):
                    values[place] = gr.skip()
                    continue
                if look:
                    last.look = began
                else:
                    last.act = next(self._turns)
                filled[place] = output
            leave = functools.partial(self._late, page, next(self._turns), filled)
        if queued is None:
            leave()
        else:
            queued[LATE] = leave
        return values[0] if len(outputs) == 1 else values

    def _late(self, page: str, turn: int, filled: dict[int, int]) -> list[int]:
        """The places that an answer passed after this `turn` has filled; asked once, as the answer leaves."""
        with self._lock:
            written = self._of(page)
            late = [place for place, output in filled.items() if written[output].left > turn]
            for output in filled.values():
                written[output].left = max(written[output].left, turn)
        return late

    def _of(self, page: str) -> dict[int, Written]:
        written = self._pages.setdefault(page, defaultdict(Written))
        self._pages.move_to_end(page)
        while len(self._pages) > MOST_PAGES:
            self._pages.popitem(last=False)
        return written


def _skips(value: Any) -> bool:
    return isinstance(value, dict) and value == gr.skip()
