"""Every route of the server, gradio's own included: closed without a log-in, closed to other sites and names, secured, and no way to a
file of the machine (reliability rows 42, 43, 59, 62)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from tests.ui.served import Served
from workbench.ui.guard.guard import CHANGING, OPEN_PATHS, Policy
from workbench.ui.guard.headers import SECURITY
from workbench.ui.server import application

TOKEN = "a-word-that-nobody-guesses"
HERE = "http://127.0.0.1:7860"
# They answer for as long as somebody listens.
STREAMS = ("heartbeat", "queue/data", "upload_progress")


def routes(some, prefix="") -> Iterator[tuple[str, str]]:
    """(method, path) of every route, through mounted applications and included routers; parameters keep their braces."""
    for route in some:
        path = prefix + (getattr(route, "path", None) or "")
        if isinstance(route, Mount):
            yield from routes(route.routes, path)
        elif isinstance(route, APIRoute | Route):
            yield from ((method, path) for method in sorted(route.methods or ()))
        elif hasattr(route, "original_router"):  # FastAPI's included router, which keeps the routes it was made of
            yield from routes(route.original_router.routes, prefix + route.include_context.prefix)
        else:
            raise AssertionError(f"a route of a kind that this walk does not know: {route!r}")


@pytest.fixture(scope="module")
def guard(service):
    return application(service, policy=Policy(token=TOKEN))


@pytest.fixture(scope="module")
def everything(guard):
    found = sorted(set(routes(guard.app.routes)))
    assert len(found) > 150
    assert {("POST", "/en/gradio_api/queue/join"), ("GET", "/zh/gradio_api/file={path_or_url:path}")} <= set(found)
    return found


def filled(path: str, value: str = "x") -> str:
    return re.sub(r"\{[^}]*\}", value, path)


def ask_all(guard, everything, **options) -> list[tuple[str, str, httpx.Response]]:
    """One request to each route."""

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=HERE) as client:
            return [(method, path, await client.request(method, filled(path), **options)) for method, path in everything]

    return asyncio.run(ask())


def is_secured(answer: httpx.Response) -> bool:
    return all(answer.headers.get(name.decode()) == value.decode() for name, value in SECURITY)


def test_every_route_asks_for_a_log_in(guard, everything):
    for method, path, answer in ask_all(guard, everything):
        if path in OPEN_PATHS:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 401, (method, path, answer.status_code)
        assert is_secured(answer), path
    for method, path, answer in ask_all(guard, everything, headers={"accept": "text/html"}):
        if method == "GET" and path not in OPEN_PATHS:
            assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path


@pytest.mark.parametrize("headers", [
    {"host": "evil.example"}, {"host": "evil.example:7860"}, {"origin": "http://evil.example"}, {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
], ids=str)  # fmt: skip
def test_every_route_refuses_other_sites_and_other_names_with_the_owners_word_too(guard, everything, headers):
    for method, path, answer in ask_all(guard, everything, headers={**headers, "authorization": f"Bearer {TOKEN}"}):
        assert answer.status_code == 403 and is_secured(answer), (method, path)


def test_every_route_that_takes_a_body_refuses_one_that_is_too_large(guard, everything):
    """Announced sizes only: nothing is sent. While it arrives a body is counted by the same code, see test_guard.py."""
    changing = [(method, path) for method, path in everything if method in CHANGING]
    headers = {"authorization": f"Bearer {TOKEN}", "content-length": "300000000"}
    answers = ask_all(guard, changing, headers=headers, content=b"")
    assert len(answers) > 30
    for method, path, answer in answers:
        assert answer.status_code == 413 and is_secured(answer), (method, path)


def test_no_route_gives_a_file_of_the_machine(service, tmp_path):
    """With the owner's word, paths in place of every parameter of a route and of every question."""
    secret = tmp_path / "secret.txt"
    secret.write_text("canary of the machine")
    places = ("/etc/passwd", str(secret), f"..%2f..%2f..%2f..%2f{str(secret)[1:]}", f"../../../..{secret}", f"file://{secret}")
    with Served(service, Policy(token=TOKEN)) as served, httpx.Client(base_url=served.url, timeout=20, trust_env=False) as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        asked = 0
        for method, path in sorted(set(routes(served.guard.app.routes))):
            if method != "GET" or "{" not in path or any(stream in path for stream in STREAMS):
                continue
            for place in places:
                with client.stream("GET", filled(path, place)) as answer:
                    text = answer.read()
                assert b"canary" not in text and b"root:x:0" not in text, (path, place)
                assert b"Traceback" not in text and b'File "' not in text, (path, place)
                assert is_secured(answer)
                asked += 1
        assert asked > 100
        for path in ("/app.py", "/en/app.py", "/.env", "/en/../app.py", "/users.yaml", "/index.sqlite3", "/workbench.log"):
            assert client.get(path).status_code in (400, 404, 405), path


def test_a_thousand_wrong_passwords_are_ten_tries_a_minute(guard, everything):
    """Row 59: 1,000 log-ins at once from one address; the word itself, tried among them, does not help either."""
    fresh = application_like(guard)

    async def guess():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(fresh), base_url=HERE) as client:
            return [(await client.post("/login", data={"token": f"guess-{n}" if n != 500 else TOKEN})).status_code for n in range(1000)]

    answers = asyncio.run(guess())
    assert answers.count(401) == 10 and answers.count(429) == 990


def application_like(guard):
    """The same application behind a guard that has seen nobody yet."""
    return type(guard)(guard.app, guard.policy)
