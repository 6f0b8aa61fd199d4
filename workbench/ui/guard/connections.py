"""How many connections a server holds, and how long one may be open without a request. uvicorn bounds neither: whoever opens connections
and never asks for anything would take every descriptor of the process, without a log-in.

A connection waits from its beginning, and again from the end of each answer, until the head of a request is complete. One that waits too
long is closed. Where there are too many, the one that has waited longest makes room for the new one, so those that ask are always let in. A
connection that is answered, be it for hours (the stream that a page listens to), is never closed here.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

DESCRIPTORS = 4096
"""That a server asks for; many systems give a process 1,024 or 256 unless it asks for more."""


@dataclass(frozen=True)
class Bounds:
    """What one server holds.

    Args:
        every: connections in all.
        loopback: of this machine's own addresses together: a proxy, or the pages of one person.
        address: of any other address, behind which a whole class may sit.
        head_seconds: how long a connection may wait for a request.
    """

    every: int
    loopback: int
    address: int
    head_seconds: float = 10.0

    @classmethod
    def of_process(cls) -> Bounds:
        """As many as leave a quarter of the process's descriptors for files and models; more of them are asked for first."""
        every = _descriptors() * 3 // 4
        return cls(every, loopback=every * 3 // 4, address=min(300, every // 2))

    @property
    def at_once(self) -> int:
        """New connections that are taken in one go: some such goes pass before those that are too many have given their descriptors
        back."""
        return max(1, self.every // 16)


class Connections:
    """The open connections of one server. Belongs to one event loop."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._held: Counter[str] = Counter()
        self._waiting: dict[BoundedProtocol, None] = {}  # the longest first

    def protocol(self, **made: Any) -> BoundedProtocol:
        """A connection that is counted here, as uvicorn makes one."""
        return BoundedProtocol(self, **made)

    def add(self, new: BoundedProtocol) -> None:
        """Counts a connection; it, or one that has waited longer, is closed when there are too many."""
        self._held[new.address] += 1
        if self._held[new.address] > (self.bounds.address if new.address else self.bounds.loopback):
            self._drop(next(one for one in self._waiting if one.address == new.address))
        elif self._held.total() > self.bounds.every:
            self._drop(next(iter(self._waiting)))

    def remove(self, ended: BoundedProtocol) -> None:
        """Counts a connection no longer."""
        self._held -= Counter({ended.address: 1})
        self._waiting.pop(ended, None)

    def waits(self, one: BoundedProtocol, waiting: bool) -> None:
        """Told of every connection whether it waits for a request."""
        if waiting:
            self._waiting.setdefault(one)
        else:
            self._waiting.pop(one, None)

    def _drop(self, one: BoundedProtocol) -> None:
        self._waiting.pop(one)
        one.transport.abort()


class BoundedProtocol(H11Protocol):
    """One connection, which is closed when no request comes. Lives until it is closed."""

    def __init__(self, connections: Connections, **made: Any) -> None:
        super().__init__(**made)
        self._connections = connections
        self._giving_up: asyncio.TimerHandle | None = None
        self.address = ""
        """Of the other end; empty for all addresses of this machine's loopback."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins."""
        super().connection_made(transport)
        self.address = _outside(self.client[0] if self.client else "")
        self._settle()
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        super().connection_lost(exc)
        self._settle()
        self._connections.remove(self)

    def handle_events(self) -> None:
        """Something came, or what had come may be looked at now."""
        super().handle_events()
        self._settle()

    def on_response_complete(self) -> None:
        """An answer was given in full."""
        super().on_response_complete()
        self._settle()

    def _settle(self) -> None:
        waiting = (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()
        self._connections.waits(self, waiting)
        if not waiting and self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        elif waiting and self._giving_up is None:
            self._giving_up = self.loop.call_later(self._connections.bounds.head_seconds, self.transport.close)


def _descriptors() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return soft


def _outside(address: str) -> str:
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(known, "ipv4_mapped", None) or known
    return "" if mapped.is_loopback else str(mapped)
