"""The one layer before all routes. A request passes, in this order:

    host      403 unless its Host header is one the server goes by (DNS rebinding)
    origin    403 from another site's page (cross-site posts; SameSite cookies are the second lock)
    flood     429 when one address changes things too fast
    who       the session cookie, a bearer token or ?token=; else the log-in page (401 for programs)
    rate      429 when one client changes things too fast, or has too much waiting in the page's queue
    size      413 for bodies over their limit, counted while they arrive, and for a client's uploads in all
    answer    security headers on everything, downloads as attachments, an error id in place of what broke

gradio's own routes know nothing of this, so none of them can be forgotten: a test walks them all.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit
from weakref import WeakValueDictionary

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from workbench.access import OWNER, VISITOR_NAMES, Places, Principal, Role
from workbench.ui.guard.limits import Limits, Quota, RateLimit
from workbench.ui.guard.login import login_page
from workbench.ui.guard.passage import Passage
from workbench.ui.guard.request import GuardedRequest, Receive, Scope, Send, TooLarge
from workbench.ui.guard.sessions import Sessions
from workbench.ui.guard.users import Users
from workbench.ui.markup import size as size_of

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Waiting = Callable[[str, str], int]
Report = Callable[[BaseException, str], str]

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_PATHS = ("/login", "/favicon.ico")
LOGIN_FORM_BYTES, LOGIN_FORM_SECONDS = 8_192, 10.0
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Policy:
    """What one server asks of its clients; made from the start-up flags, never changed.

    Args:
        hosts: names in the Host header that are this server's.
        token: the word that lets the owner in, or None.
        users: names and passwords, or None.
        demo: who does not log in is a visitor instead of nobody.
        places: where clients may read from; None on a machine of one's own.
        visitor_places: the same for visitors.
        secure: cookies travel over TLS only.
    """

    hosts: frozenset[str] = LOOPBACK_HOSTS
    token: str | None = None
    users: Users | None = None
    demo: bool = False
    places: Places | None = None
    visitor_places: Places = field(default_factory=lambda: Places(hub=False))
    limits: Limits = field(default_factory=Limits)
    visitor_limits: Limits = field(default_factory=Limits)
    secure: bool = False

    @property
    def asks(self) -> bool:
        """Whether anybody has to log in for anything."""
        return self.token is not None or self.users is not None

    @property
    def owner(self) -> Principal:
        """Whoever comes in with the token, confined to `places`."""
        return Principal(OWNER.name, Role.OWNER, self.places)


class Guard:
    """ASGI middleware; one per server, on one event loop.

    Args:
        waiting: how many calls with this value under this key of their request's state wait in the page's queue or are worked on.
        report: writes down what broke and returns the id under which it stands in the log.
    """

    def __init__(
        self, app: App, policy: Policy, *, waiting: Waiting = lambda key, value: 0, report: Report = lambda error, doing: "unlogged"
    ) -> None:
        self.app, self.policy, self._waiting, self._report = app, policy, waiting, report
        self.sessions = Sessions(policy.owner, policy.token)
        self._salt = secrets.token_bytes(16)
        limits = policy.limits
        self._flood = RateLimit(limits.address_posts_per_second, limits.address_posts_at_once)
        self._rate = RateLimit(limits.posts_per_second, limits.posts_at_once)
        self._visitor_rate = RateLimit(policy.visitor_limits.posts_per_second, policy.visitor_limits.posts_at_once)
        self._failed = Quota(limits.attempts, limits.attempt_window_seconds)
        self._checking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._at_work: Counter[str] = Counter()
        self._begun = Quota(limits.visitors_per_address, limits.visitor_window_seconds)
        self._uploaded = {
            role: Quota(some.upload_total_bytes, some.upload_window_seconds)
            for role, some in ((Role.OWNER, limits), (Role.USER, limits), (Role.VISITOR, policy.visitor_limits))
        }
        self._uploaded_there = Quota(policy.visitor_limits.address_upload_bytes, policy.visitor_limits.upload_window_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(GuardedRequest(scope, receive, send, self.policy.secure))
        elif scope["type"] == "websocket":  # the page has none
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, request: GuardedRequest) -> None:
        refusal = self._foreign(request)
        if refusal:
            return await request.refuse(403, refusal)
        wait = self._flood.wait(request.client) if request.method in CHANGING else 0.0
        if wait:
            return await self._later(request, wait, "too_many")
        if request.path == "/login" and self.policy.asks:
            return await self._login(request)
        if request.path == "/logout" and request.method == "POST":
            self.sessions.end(request.cookie)
            return await request.redirect("/login" if self.policy.asks and not self.policy.demo else "/", "")
        given = request.query.get("token")
        if given is not None and request.method == "GET":
            return await self._enter_with(request, given)
        principal, cookie = self._who(request)
        if principal is None:
            if request.path not in OPEN_PATHS or request.method in CHANGING:
                return await self._unknown(request)
            # Counted as whoever asks from there: nobody may spend what the owner has left.
            principal = Principal(f"{VISITOR_NAMES}nobody", Role.VISITOR, self.policy.visitor_places)
        await self._serve(request, principal, cookie)

    def _foreign(self, request: GuardedRequest) -> str:
        """Why a request does not come from a page of ours, as a key of the texts below `refused`; empty when it does."""
        if request.host_name not in self.policy.hosts:
            return "host"
        origin = request.header("origin")
        if origin and urlsplit(origin).netloc.lower() != request.host:
            return "origin"
        if request.method in CHANGING and request.header("sec-fetch-site") == "cross-site":
            return "origin"
        return ""

    def _who(self, request: GuardedRequest) -> tuple[Principal | None, str | None]:
        """Who asks, and the secret of a session that begins with this answer."""
        policy = self.policy
        known = self.sessions.find(request.cookie) if request.cookie else None
        kind, _, word = request.header("authorization").partition(" ")
        # While locked out no try counts, or a program that goes on asking, with the right word too, would never be let in again.
        if known is None and kind.lower() == "bearer" and word and self._failed.left(request.client) > 0:
            known = self.sessions.with_token(word.strip())
            if known is None:
                # A wrong word counts as a failed log-in, or programs could try as many as they like.
                self._failed.add(request.client, 1)
        if known is not None:
            return known, None
        if policy.demo:
            # Only a page load begins a session: a program that keeps no cookies must not fill the table.
            begins = request.method == "GET" and "text/html" in request.header("accept") and self._begun.left(request.client) > 0
            if begins:
                self._begun.add(request.client, 1)
            # Without a session all of an address are one, or each request would bring its own run, labels and uploads.
            there = hashlib.blake2b(request.client.encode(), key=self._salt, digest_size=8).hexdigest()
            own = f"-{secrets.token_hex(8)}" if begins else ""
            visitor = Principal(f"{VISITOR_NAMES}{there}{own}", Role.VISITOR, policy.visitor_places)
            return visitor, self.sessions.begin(visitor) if begins else None
        return (None if policy.asks else policy.owner), None

    async def _enter_with(self, request: GuardedRequest, token: str) -> None:
        """?token=: a session for the right word, and an address without it."""
        rest = urlencode([(name, value) for name, value in parse_qsl(request.query_string) if name != "token"])
        place = request.path + (f"?{rest}" if rest else "")
        if not self.policy.asks:
            return await request.redirect(place)
        if self._failed.left(request.client) <= 0:
            return await self._later(request, self._failed.wait(request.client), "failed")
        principal = self.sessions.with_token(token)
        if principal is None:
            self._failed.add(request.client, 1)
            return await self._form(request, 401, "wrong")
        await request.redirect(place, self.sessions.begin(principal))

    async def _login(self, request: GuardedRequest) -> None:
        if request.method != "POST":
            return await self._form(request, 200)
        if self._failed.left(request.client) <= 0:
            return await self._later(request, self._failed.wait(request.client), "failed")
        try:
            async with asyncio.timeout(LOGIN_FORM_SECONDS):  # else whoever never sends it keeps the connection
                body = await request.body(LOGIN_FORM_BYTES)
        except (TooLarge, TimeoutError):
            return await request.refuse(413, "no_form")
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        # One at a time from one address: parallel tries would all get in under the limit, and a class that logs in at once must not be
        # taken for one who guesses.
        async with self._checking.setdefault(request.client, asyncio.Lock()):
            if self._failed.left(request.client) <= 0:
                return await self._later(request, self._failed.wait(request.client), "failed")
            principal = await self._check(form)
            if principal is None:
                self._failed.add(request.client, 1)
                return await self._form(request, 401, "wrong")
        await request.redirect("/", self.sessions.begin(principal))

    async def _check(self, form: dict[str, str]) -> Principal | None:
        if self.policy.token is not None and "token" in form:
            return self.sessions.with_token(form["token"])
        if self.policy.users is None:
            return None
        from anyio.to_thread import run_sync

        # argon2 takes a tenth of a second on purpose; the pages of others must not wait for it.
        found = await run_sync(self.policy.users.check, form.get("name", ""), form.get("password", ""))
        return None if found is None else Principal(found.name, found.role, self.policy.places)

    async def _form(self, request: GuardedRequest, status: int, problem: str = "") -> None:
        page = login_page(request.language, passwords=self.policy.users is not None, problem=problem)
        await request.answer(status, page, kind="text/html; charset=utf-8")

    async def _unknown(self, request: GuardedRequest) -> None:
        if request.method == "GET" and "text/html" in request.header("accept"):
            return await request.redirect("/login")
        await request.refuse(401, "unknown")

    async def _later(self, request: GuardedRequest, seconds: float, why: str) -> None:
        await request.refuse(429, why, more=[(b"retry-after", str(int(seconds) + 1).encode())], seconds=f"{max(seconds, 1):.0f}")

    async def _serve(self, request: GuardedRequest, principal: Principal, cookie: str | None) -> None:
        """Passes a request on with its body counted and its answer secured."""
        # A program that keeps no cookie is somebody new each time, so only its address tells that it is the same.
        client = principal.name if principal.role != Role.VISITOR or self.sessions.find(request.cookie) else request.client
        passage = await self._admitted(request, principal, client, cookie)
        if passage is None:
            return
        known = {"principal": principal, "client": client, "address": request.client, "has_token": self.policy.token is not None}
        request.scope.setdefault("state", {}).update(known)
        error: Exception = RuntimeError("The answer was 500.")
        counts = request.method in CHANGING  # a stream that a page listens to is no work
        self._at_work[client] += counts
        try:
            await self.app(request.scope, passage.receive, passage.send)
        except TooLarge:
            passage.broken = not passage.started
        except (ClientDisconnect, HTTPException):  # the client went away, or asks for a stream that has ended
            pass
        except Exception as bug:  # whatever breaks in one request is written down, and the next one is served
            error, passage.broken = bug, not passage.started
            if passage.started:
                self._report(bug, f"{request.method} {request.path}")
        finally:
            self._at_work[client] -= counts
            if not self._at_work[client]:
                self._at_work.pop(client, None)
        if passage.broken and passage.too_large:
            await request.refuse(413, "too_large", size=size_of(passage.most))
        elif passage.broken:
            error_id = self._report(error, f"{request.method} {request.path}")
            await request.refuse(500, "broken", error_id=error_id)

    async def _admitted(self, request: GuardedRequest, principal: Principal, client: str, cookie: str | None) -> Passage | None:
        """The way through for a request within its client's limits; None once it was refused."""
        if request.method in CHANGING:
            rate = self._visitor_rate if principal.role == Role.VISITOR else self._rate
            wait = rate.wait(client)
            if wait:
                await self._later(request, wait, "too_many")
                return None
            if self._too_many_waiting(request, principal, client):
                await self._later(request, 1, "waiting")
                return None
        most, counted = self._allowance(request, principal, client)
        if most <= 0:
            await self._later(request, max(quota.wait(who) for quota, who in counted), "uploaded")
            return None
        announced = request.header("content-length")
        if announced and (not announced.isdecimal() or int(announced) > most):
            await request.refuse(413, "too_large", size=size_of(most))
            return None

        def taken(size: int) -> None:
            for quota, who in counted:
                quota.add(who, size)

        return Passage(request, most, taken, cookie)

    def _too_many_waiting(self, request: GuardedRequest, principal: Principal, client: str) -> bool:
        """Whether a call would wait behind too many of the same client, and everybody else's behind it: in the queue, or beside it,
        since some handlers answer without queueing."""
        if principal.role == Role.OWNER:
            return False
        limits = self.policy.visitor_limits if principal.role == Role.VISITOR else self.policy.limits
        if self._waiting("client", client) + self._at_work[client] >= limits.waiting:
            return True
        return principal.role == Role.VISITOR and self._waiting("address", request.client) >= limits.address_waiting

    def _allowance(self, request: GuardedRequest, principal: Principal, client: str) -> tuple[float, list[tuple[Quota, str]]]:
        """Bytes that a request may have, and the sums that they count in, each with whose it is."""
        limits = self.policy.visitor_limits if principal.role == Role.VISITOR else self.policy.limits
        if not request.path.endswith("/upload"):
            return limits.body_bytes, []
        counted = [(self._uploaded[principal.role], client)]
        if principal.role == Role.VISITOR:
            counted.append((self._uploaded_there, request.client))
        return min(limits.upload_bytes, *(quota.left(who) for quota, who in counted)), counted


def fresh_token() -> str:
    """A word nobody can guess, for the address that the server prints."""
    return secrets.token_urlsafe(24)


