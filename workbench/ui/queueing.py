"""gradio's queue as this page needs it: edits one at a time on each page, no answer that another has overtaken, nothing counted that nobody
looks at. gradio has no public door to its queue; it is read and set here and nowhere else."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from gradio import queueing
from gradio.server_messages import ProcessCompletedMessage

from workbench.ui.order import LATE

EDIT = "edit"
IN_ORDER: dict[str, Any] = {"concurrency_id": EDIT, "concurrency_limit": 1}
"""For handlers that change the recipe of a page or start what it says: one at a time, or two quick edits would both begin with the same
recipe and one be lost, and a start would not know of the edit before it. Pages have recipes of their own, and none waits for another."""
OWN = f"{EDIT}/"
MOST_EDITS = 4
SECONDS_BETWEEN_LOOKS = 0.005
SECONDS_BETWEEN_REPORTS = 0.1


class _Queues(dict[str, queueing.EventQueue]):
    """gradio's queues by concurrency id; a page's own comes with its first edit and goes, when it is empty, with that of another."""

    def keys(self) -> Any:
        """Where the queue looks for its next call, in no order of its own: of the pages' calls only the one that has waited longest, and
        none while enough are at work, since those at work slow each other down."""
        own = {name: queue for name, queue in self.items() if name.startswith(OWN)}
        ready = [name for name, queue in own.items() if queue.queue and not queue.current_concurrency]
        free = sum(queue.current_concurrency for queue in own.values()) < MOST_EDITS
        first = min(ready, key=lambda name: own[name].queue[0].enqueue_time) if ready and free else None
        return [name for name in self if name not in own or name == first]

    def __missing__(self, name: str) -> queueing.EventQueue:
        if not name.startswith(OWN):
            raise KeyError(name)
        idle = [other for other, queue in self.items() if other.startswith(OWN) and not queue.queue and not queue.current_concurrency]
        for other in idle:
            del self[other]
        return self.setdefault(name, queueing.EventQueue(name, 1))


class _Event(queueing.Event):
    """A call that waits for the calls of its own page only, where it is an edit."""

    def __init__(self, session_hash: str | None, fn: Any, request: Any, username: str | None) -> None:
        super().__init__(session_hash, fn, request, username)
        if fn.concurrency_id == EDIT:
            self.concurrency_id = f"{OWN}{self.session_hash}"


def adapt(blocks: gr.Blocks) -> None:
    """Sets up the queue of a page that is not served yet.

    What an answer brings too late is left out as it leaves. The queue looks for calls two hundred times a second; gradio's looks a thousand
    times, which takes a tenth of a core from whatever trains beside it. It works out no statistics of the last ten thousand calls at the
    end of each one.
    """
    _one_queue_for_each_page()
    queue = blocks._queue
    queue.sleep_when_free, queue.progress_update_sleep_when_free = SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_REPORTS
    queue.ANALYTICS_MAX_EVENTS, queue.ANAYLTICS_CACHE_FREQUENCY = 1, sys.maxsize
    queue.event_queue_per_concurrency_id = _Queues(queue.event_queue_per_concurrency_id)
    queue.send_message = functools.partial(_send, queue.send_message)  # type: ignore[method-assign]


def queued_state(scope: dict[str, Any]) -> dict[str, Any] | None:
    """The state of a request whose answer waits in the queue; None for one that is answered at once."""
    return scope.get("state") if scope.get("path", "").endswith("/queue/join") else None


def _send(send: Callable[..., None], event: queueing.Event, message: Any) -> None:
    """Sends a message to the page of its event, an answer without what a later one has filled."""
    late = event.request.scope.get("state", {}).get(LATE)
    if late and isinstance(message, ProcessCompletedMessage) and message.success:
        for place in late():
            message.output["data"][place] = gr.skip()
    send(event, message)


@functools.cache
def _one_queue_for_each_page() -> None:
    queueing.Event = _Event  # type: ignore[misc]


def waiting(pages: Iterable[gr.Blocks], key: str, value: str) -> int:
    """How many calls wait in the pages' queues, or are worked on, whose request carries `value` under `key` of its state."""
    events: list[Any] = []
    for blocks in pages:
        queue = blocks._queue
        events += [event for kind in queue.event_queue_per_concurrency_id.values() for event in kind.queue]
        events += [event for job in queue.active_jobs if job for event in job]
    return sum(event.request.scope.get("state", {}).get(key) == value for event in events)
