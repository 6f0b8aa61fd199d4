"""One HTTP request as the guard sees it, and the guard's own short answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from workbench.ui.guard.headers import secured
from workbench.ui.guard.login import refusal_page
from workbench.ui.guard.sessions import LONGEST_SECONDS
from workbench.ui.text import Words, languages, preferred

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
        """A header by its lower-case name; empty when it was not sent."""
        return self._headers.get(name.encode(), b"").decode("latin-1")

    @property
    def host_name(self) -> str:
        """The Host header without its port; empty when it is none."""
        try:
            return urlsplit(f"//{self.host}").hostname or ""
        except ValueError:
            return ""

    @property
    def language(self) -> str:
        """The page's that asks, by its path, else the browser's."""
        known, first = tuple(languages()), self.path.strip("/").partition("/")[0]
        return first if first in known else preferred(self.header("accept-language"), known)

    @property
    def cookie(self) -> str:
        """The secret of a session; empty when none was sent, or nothing that can be read."""
        try:
            morsel = SimpleCookie(self.header("cookie")).get(COOKIE)
        except CookieError:
            return ""
        return morsel.value if morsel else ""

    def cookie_header(self, secret: str) -> tuple[bytes, bytes]:
        """Keeps a session's secret in the browser, out of reach of scripts; an empty one takes it away."""
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
        """Sends the browser to a path of this server, never of another; a cookie goes with it where one is given."""
        # One slash only: a path such as //evil.example would be read as another host.
        headers = [(b"location", ("/" + place.lstrip("/\\")).encode("utf-8", "replace"))]
        await self.answer(303, "", more=[*headers, *([self.cookie_header(cookie)] if cookie is not None else [])])

    async def refuse(self, status: int, why: str, *, more: Sequence[tuple[bytes, bytes]] = (), **values: str) -> None:
        """Says why not, and what to do, in the reader's language: as a page to somebody who opened an address, as gradio's client reads
        it to a page of ours, which shows it, and as plain text to everybody else.

        Args:
            why: key of a sentence below `refused`; `values` fills it in.
        """
        said = Words(self.language)(f"refused.{why}", **values)
        if "text/html" in self.header("accept"):
            await self.answer(status, refusal_page(self.language, said), kind="text/html; charset=utf-8", more=more)
        elif "/gradio_api/" in self.path and not self.path.endswith("/upload"):
            await self.answer(status, json.dumps({"detail": said}, ensure_ascii=False), kind="application/json", more=more)
        else:
            await self.answer(status, said, more=more)

    async def answer(
        self, status: int, text: str, *, kind: str = "text/plain; charset=utf-8", more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """A whole answer of the guard's own, which no cache keeps."""
        body = text.encode()
        own = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        headers = [*own, *more]
        await self.send({"type": "http.response.start", "status": status, "headers": secured(headers, file=False)})
        await self.send({"type": "http.response.body", "body": body})
