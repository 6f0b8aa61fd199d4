"""How often and how much one client may send; everything in memory, bounded, gone with the process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_CLIENTS = 10_000


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Args:
        body_bytes: of any request that is no upload; gradio sets no bound of its own on JSON.
        upload_bytes: of one upload request, all its files together.
        upload_total_bytes: of all uploads of one client within `upload_window_seconds`.
        address_upload_bytes: the same of all visitors of one address, who may be a class, or one who lets the cookies go.
        posts_per_second, posts_at_once: of changing requests of one client, in the long run and in one go.
        address_posts_per_second, address_posts_at_once: the same of one address, which a whole class may share.
        waiting: calls of one client that may wait in the page's queue; a page of its own has a handful there.
        address_waiting: the same of all visitors of one address.
        attempts: log-ins that one address may fail within `attempt_window_seconds`.
        visitors_per_address: visitors of one address that get a session within `visitor_window_seconds`.
    """

    body_bytes: int = 1_000_000
    upload_bytes: int = 200_000_000
    upload_total_bytes: int = 2_000_000_000
    address_upload_bytes: int = 200_000_000
    upload_window_seconds: float = 3600.0
    posts_per_second: float = 50.0
    posts_at_once: int = 400
    address_posts_per_second: float = 300.0
    address_posts_at_once: int = 2_000
    waiting: int = 40
    address_waiting: int = 200
    attempts: int = 10
    attempt_window_seconds: float = 60.0
    visitors_per_address: int = 300
    visitor_window_seconds: float = 3600.0


DEMO = Limits(upload_bytes=1_000_000, upload_total_bytes=5_000_000, posts_per_second=20.0, posts_at_once=200, waiting=20)


class RateLimit:
    """A bucket of tokens per client: `burst` at once, refilled at `rate` a second. Belongs to one event loop."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Takes a token; seconds until there is one when there is none now, else 0."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - then) * self.rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        _bound(self._buckets)
        return 0.0 if allowed else (1 - tokens) / self.rate


class Quota:
    """A sum per client within a sliding window: bytes uploaded, log-ins failed. Belongs to one event loop."""

    def __init__(self, most: float, window_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.window, self._clock = most, window_seconds, clock
        self._spent: OrderedDict[str, list[tuple[float, float]]] = OrderedDict()

    def add(self, client: str, amount: float) -> None:
        """Counts `amount` for a client."""
        self._recent(client).append((self._clock(), amount))
        self._spent.move_to_end(client)
        _bound(self._spent)

    def left(self, client: str) -> float:
        """What a client may still spend now."""
        return self.most - sum(amount for _, amount in self._recent(client))

    def wait(self, client: str) -> float:
        """Seconds until the oldest amount no longer counts; 0 while something is left."""
        recent = self._recent(client)
        return max(0.0, recent[0][0] + self.window - self._clock()) if recent and self.left(client) <= 0 else 0.0

    def _recent(self, client: str) -> list[tuple[float, float]]:
        since = self._clock() - self.window
        recent = [entry for entry in self._spent.get(client, []) if entry[0] > since]
        self._spent[client] = recent
        return recent


def _bound(table: OrderedDict[str, object]) -> None:
    while len(table) > MOST_CLIENTS:
        table.popitem(last=False)
