"""The whole server on a loopback port in this process."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import uvicorn

from workbench.access import OWNER, Principal
from workbench.ui.guard.guard import Policy
from workbench.ui.server import application


def request_of(principal: Principal = OWNER, session: str = "one") -> Any:
    """What gradio hands to a handler, as the guard let it through, from an open page."""
    return SimpleNamespace(session_hash=session, request=SimpleNamespace(scope={"state": {"principal": principal}}))


class Served:
    """A running server over a service. Used as a context manager; `url` is its address, `guard` the application itself."""

    def __init__(self, service: Any, policy: Policy | None = None) -> None:
        self.guard = application(service, policy=policy)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self.guard, log_level="critical", access_log=False, timeout_graceful_shutdown=1, loop="asyncio", http="h11", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

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
