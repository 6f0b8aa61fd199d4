"""The whole server on a loopback port in this process."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gradio as gr
import uvicorn
from gradio.state_holder import SessionState

from workbench.access import OWNER, Principal
from workbench.ui.guard.connections import Bounds, Connections
from workbench.ui.guard.guard import Guard, Policy
from workbench.ui.server import application


def request_of(principal: Principal = OWNER, session: str = "one") -> Any:
    """What gradio hands to a handler, as the guard let it through, from an open page."""
    return SimpleNamespace(session_hash=session, request=SimpleNamespace(scope={"state": {"principal": principal}}))


def sent(blocks: gr.Blocks, name: str, *values: Any) -> list[Any]:
    """What a page gets for an event that its browser sends to the handler `name`: through gradio's own checks of what stands in the
    controls, and back as its browser is told. The page is a new one; give None for what the server holds itself.

    Raises:
        gradio.exceptions.Error: gradio refuses a value before the handler hears of it.
    """
    handler = next(fn for fn in blocks.fns.values() if fn.api_name == name)
    request = request_of(session=secrets.token_hex(6))
    return asyncio.run(blocks.process_api(handler, list(values), SessionState(blocks), request))["data"]


class Served:
    """A running server over a service. Used as a context manager; `url` is its address, `guard` the application itself."""

    def __init__(self, service: Any, policy: Policy | None = None) -> None:
        self.guard = application(service, policy=policy)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self._answer, interface="asgi3", log_level="critical", access_log=False, timeout_graceful_shutdown=1,
            loop="asyncio", http=Connections(Bounds.of_process()).protocol, ws="none",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self.guard(scope, receive, send)

    @contextmanager
    def under(self, policy: Policy) -> Iterator[None]:
        """The same pages behind another guard for a while: building them takes seconds, and a policy is the guard's alone."""
        before = self.guard
        self.guard = Guard(before.app, policy, waiting=before._waiting, report=before._report)
        try:
            yield
        finally:
            self.guard = before

    def __enter__(self) -> Served:
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.should_exit = True
        self._thread.join(30)
