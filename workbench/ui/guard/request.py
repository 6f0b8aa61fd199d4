"""One HTTP request as the guard sees it, and the guard's own short answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from workbench.ui.guard.headers import secured
from workbench.ui.guard.sessions import LONGEST_SECONDS
from workbench.ui.text import languages, preferred

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COOKIE = "prompt_workbench"


class TooLarge(Exception):
    """Raised inside the application while it reads a body that grew over its limit."""


class GuardedRequest:
    """The parts of a request that the guard looks at. Lives as long as the request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, secure: bool) -> None:
        self.scope, self.receive, self.send, self.secure = scope, receive, send, secure
        self.method, self.path = scope["method"], scope["path"]
        self.query_string = scope.get("query_string", b"").decode("latin-1")
        self.query = dict(parse_qsl(self.query_string))
        self.client = (scope.get("client") or ("unknown", 0))[0]
        self._headers = {name.lower(): value for name, value in scope["headers"]}
        self.host = self.header("host").lower()

    def header(self, name: str) -> str:
        return self._headers.get(name.encode(), b"").decode("latin-1")

    @property
    def host_name(self) -> str:
        try:
            return urlsplit(f"//{self.host}").hostname or ""
        except ValueError:
            return ""

    @property
    def language(self) -> str:
        return preferred(self.header("accept-language"), tuple(languages()))

    @property
    def cookie(self) -> str:
        try:
            morsel = SimpleCookie(self.header("cookie")).get(COOKIE)
        except CookieError:
            return ""
        return morsel.value if morsel else ""

    def cookie_header(self, secret: str) -> tuple[bytes, bytes]:
        age = f"; Max-Age={int(LONGEST_SECONDS)}" if secret else "; Max-Age=0"
        safe = "; Secure" if self.secure else ""
        return b"set-cookie", f"{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax{age}{safe}".encode()

    async def body(self, most: int) -> bytes:
        """The whole body; TooLarge when it is longer."""
        parts: list[bytes] = []
        while True:
            message = await self.receive()
            parts.append(message.get("body", b""))
            if sum(map(len, parts)) > most:
                raise TooLarge
            if not message.get("more_body"):
                return b"".join(parts)

    async def redirect(self, place: str, cookie: str | None = None) -> None:
        # One slash only: a path such as //evil.example would be read as another host.
        headers = [(b"location", ("/" + place.lstrip("/\\")).encode("utf-8", "replace"))]
        await self.answer(303, "", more=[*headers, *([self.cookie_header(cookie)] if cookie is not None else [])])

    async def answer(
        self, status: int, text: str, *, kind: str = "text/plain; charset=utf-8", more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        body = text.encode()
        own = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        headers = [*own, *more]
        await self.send({"type": "http.response.start", "status": status, "headers": secured(headers, file=False)})
        await self.send({"type": "http.response.body", "body": body})
