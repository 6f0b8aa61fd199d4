"""Who is logged in: random cookies kept in memory, so that they end with the process, with time, and with log-out."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from workbench.access import Principal, Role

IDLE_SECONDS = 12 * 3600.0
LONGEST_SECONDS = 7 * 24 * 3600.0
MOST_SESSIONS = 5_000


@dataclass
class _Session:
    principal: Principal
    begun: float
    seen: float


class Sessions:
    """The sessions of one server. Belongs to one event loop.

    Args:
        token: the word in the owner's address; None when there is none.
        owner: who comes in with that word.
    """

    def __init__(self, owner: Principal, token: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.owner, self._token, self._clock = owner, token, clock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def with_token(self, given: str) -> Principal | None:
        """The owner when the word is right; compared in constant time."""
        right = self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())
        return self.owner if right else None

    def begin(self, principal: Principal) -> str:
        """A new session's secret, for the cookie; only its hash is kept."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        self._sessions[_key(secret)] = _Session(principal, now, now)
        while len(self._sessions) > MOST_SESSIONS:
            # Visitors go first: a crowd of them must not log anybody out.
            oldest = next((key for key, kept in self._sessions.items() if kept.principal.role == Role.VISITOR), next(iter(self._sessions)))
            del self._sessions[oldest]
        return secret

    def find(self, secret: str) -> Principal | None:
        """Whose session this is; None when it was never begun, was ended, or is too old."""
        key, now = _key(secret), self._clock()
        session = self._sessions.get(key)
        if session is None:
            return None
        if now - session.seen > IDLE_SECONDS or now - session.begun > LONGEST_SECONDS:
            del self._sessions[key]
            return None
        session.seen = now
        self._sessions.move_to_end(key)
        return session.principal

    def end(self, secret: str) -> None:
        """Logs out; the cookie is worth nothing from here on."""
        self._sessions.pop(_key(secret), None)


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
