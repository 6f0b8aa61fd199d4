"""One request on its way through the application and back: what comes in is counted, what goes out is secured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from workbench.ui.guard.headers import secured
from workbench.ui.guard.request import GuardedRequest, TooLarge


class Passage:
    """What the application is given to read a request from and to answer it with. Lives as long as the request.

    Args:
        most: bytes of its body that are taken.
        taken: told of every piece of the body, in bytes.
        cookie: the secret of a session that begins with the answer, or None.

    Attributes:
        started: whether an answer has begun to go out.
        broken: whether the application's answer is held back, so that another one has to be given.
    """

    def __init__(self, request: GuardedRequest, most: float, taken: Callable[[int], None], cookie: str | None) -> None:
        self.most, self.started, self.broken = most, False, False
        self._request, self._left, self._taken, self._cookie = request, most, taken, cookie

    @property
    def too_large(self) -> bool:
        """Whether more of the body came than is taken."""
        return self._left < 0

    async def receive(self) -> MutableMapping[str, Any]:
        """The next piece of the request. Raises TooLarge at the one that is too much."""
        message = await self._request.receive()
        size = len(message.get("body", b""))
        self._left -= size
        if size:
            self._taken(size)
        if self.too_large:
            raise TooLarge
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """The next piece of the answer; nothing of one that is held back."""
        if self.broken:
            return
        if message["type"] == "http.response.start":
            # Whoever reads the body may have made another error of its size; a 500 is an exception that nobody caught.
            if self.too_large or (message["status"] == 500 and not _is_json(message.get("headers", ()))):
                self.broken = True
                return
            self.started = True
            path = self._request.path
            headers = secured(message.get("headers", ()), file="/file=" in path or "/file/" in path)
            if self._cookie is not None:
                headers.append(self._request.cookie_header(self._cookie))
            message = {**message, "headers": headers}
        await self._request.send(message)


def _is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"application/json") for name, value in headers)
