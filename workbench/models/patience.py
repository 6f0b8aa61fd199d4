"""The hub's own client, listened to: a hub that answers with a byte now and then is left, as one that does not answer at all is.

The client's time limits count from byte to byte, so a trickle keeps it waiting for ever, and it asks again on its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from multiprocessing.pool import ThreadPool
from typing import TypeVar

import httpx2

Result = TypeVar("Result")

LEAST_BYTES_PER_SECOND = 1_000
SECONDS_BETWEEN_LOOKS = 0.1


class Wait:
    """How long one conversation with the hub has waited for something worth having: the end of an answer, or a stretch of a long one.
    Nothing is waited for between requests, where files are moved or another process that fetches the same ones is given way."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._came = seconds, 0
        self._since: float | None = None
        self.over = False

    def ask(self) -> None:
        """A request goes out. One that repeats another goes on with its wait."""
        if self._since is None:
            self._since = time.monotonic()

    def hear(self, count: int) -> None:
        """Bytes of an answer came."""
        if self.over:
            raise TimeoutError("Nobody waits for this any more.")
        self._came += count
        if self._came >= LEAST_BYTES_PER_SECOND * self._seconds:
            self._since, self._came = time.monotonic(), 0

    def end(self) -> None:
        """An answer has come whole."""
        self._since, self._came = None, 0

    def too_long(self) -> bool:
        """Whether more than the given seconds went by since the last thing worth having; never between requests."""
        since = self._since
        return since is not None and time.monotonic() - since > self._seconds


class _Heard(httpx2.SyncByteStream):
    """An answer's body, counted while it comes."""

    def __init__(self, body: httpx2.SyncByteStream, wait: Wait) -> None:
        self._body, self._wait = body, wait

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self._wait.hear(len(chunk))
            yield chunk
        self._wait.end()

    def close(self) -> None:
        self._body.close()


_waiting: ContextVar[Wait | None] = ContextVar("waiting", default=None)
_setting = threading.Lock()


def patiently(work: Callable[[], Result], seconds: float) -> Result:
    """What `work`, which asks the hub, returns or raises.

    It works in a thread of its own, which nobody can end: left alone, it ends itself at the next byte or at the client's own limits, and
    a program that ends does not wait for it.

    Raises:
        TimeoutError: an answer took longer than `seconds` and brought less than `LEAST_BYTES_PER_SECOND` meanwhile.
    """
    with _setting:
        _listen()
    wait = Wait(seconds)
    context = copy_context()
    context.run(_waiting.set, wait)
    # A pool of threads and not concurrent.futures: the threads of the latter are waited for when the interpreter ends.
    with ThreadPool(1) as pool:
        answer = pool.apply_async(context.run, (work,))
        while not answer.ready():
            answer.wait(SECONDS_BETWEEN_LOOKS)
            if wait.too_long() and not answer.ready():
                wait.over = True
                raise TimeoutError(f"The hub said next to nothing for {seconds:.0f} s.")
        return answer.get()


def _listen() -> None:
    """The client that the hub's library shares tells the conversation it works for what goes out and what comes."""
    from huggingface_hub import get_session

    client = get_session()
    hooks = client.event_hooks
    if _asked not in hooks["request"]:
        client.event_hooks = {"request": [*hooks["request"], _asked], "response": [*hooks["response"], _answered]}


def _asked(request: httpx2.Request) -> None:
    wait = _waiting.get()
    if wait is not None:
        wait.ask()


def _answered(response: httpx2.Response) -> None:
    wait = _waiting.get()
    if wait is not None and isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Heard(response.stream, wait)
