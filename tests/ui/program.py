"""Programs that speak to a server as a browser, or an enemy, would."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True)
class Endpoint:
    """One handler as the page's configuration names it to everybody; `values` is what its inputs hold on a fresh page."""

    number: int
    name: str
    values: list[Any]
    kinds: list[str]


@dataclass
class Answer:
    """What came of a call: HTTP status of the request that asked for it, everything that was sent back, seconds until the end."""

    status: int
    text: str = ""
    ok: bool = False
    data: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def warning(self) -> str:
        """The sentence that the page would show, if one was sent."""
        logs = [json.loads(line[6:]) for line in self.text.splitlines() if line.startswith("data: ")]
        return " ".join(str(message.get("log", "")) for message in logs if message.get("msg") == "log")


class Program:
    """A client without a browser: cookies, one gradio session, calls by number. Owned by one thread."""

    def __init__(self, url: str, *, language: str = "en", headers: dict[str, str] | None = None, timeout: float = 120) -> None:
        self.http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)
        self.page, self.session = f"/{language}", secrets.token_hex(6)

    def login(self, **form: str) -> Program:
        assert self.http.post("/login", data=form).status_code == 303
        return self

    def endpoints(self) -> list[Endpoint]:
        """Every handler, also the hidden ones, read from the configuration that each page carries."""
        config = self.http.get(f"{self.page}/config").json()
        components = {part["id"]: part for part in config["components"]}
        return [
            Endpoint(
                fn["id"], str(fn["api_name"] or f"number-{fn['id']}"),
                [components[part]["props"].get("value") for part in fn["inputs"]], [components[part]["type"] for part in fn["inputs"]],
            )
            for fn in config["dependencies"]
            if fn.get("backend_fn")
        ]  # fmt: skip

    def endpoint(self, name: str) -> Endpoint:
        return next(endpoint for endpoint in self.endpoints() if endpoint.name == name)

    def join(self, number: int, data: list[Any]) -> httpx.Response:
        """Puts a call in the queue."""
        body = {"fn_index": number, "data": data, "session_hash": self.session, "event_data": None, "trigger_id": None}
        return self.http.post(f"{self.page}/gradio_api/queue/join", json=body)

    def call(self, endpoint: Endpoint, data: list[Any] | None = None) -> Answer:
        """Calls a handler and waits for its end."""
        started = time.monotonic()
        joined = self.join(endpoint.number, endpoint.values if data is None else data)
        if joined.status_code != 200:
            return Answer(joined.status_code, joined.text)
        answer, event = Answer(200), joined.json()["event_id"]
        with self.http.stream("GET", f"{self.page}/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                answer.text += line + "\n"
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed" and message.get("event_id") == event:
                    answer.ok = bool(message.get("success"))
                    answer.data = (message.get("output") or {}).get("data") or []
                if message.get("msg") in ("close_stream", "unexpected_error"):
                    break
        answer.seconds = time.monotonic() - started
        return answer

    def close(self) -> None:
        self.http.close()
