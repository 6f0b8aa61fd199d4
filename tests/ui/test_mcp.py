"""Trained runs as tools of gradio's MCP server: a real MCP client over loopback, behind the real guard."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.training.test_generation import save_qwen
from tests.ui.program import Program
from workbench.access import Principal, Role, acting_as
from workbench.recipe import recipe_from
from workbench.serving.generator import Sampling
from workbench.ui import programs
from workbench.ui.guard.guard import Policy
from workbench.ui.guard.limits import Limits
from workbench.ui.guard.users import add_user, read_users

PATIENT = {"timeout": 60, "trust_env": False}
TOKEN = "a-word-that-nobody-guesses"
PASSWORDS = {name: f"a long password of {name}" for name in ("ada", "eve")}
TEXTS = ["the food was lovely", "the food was awful"]
ASKED = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "runs", "arguments": {}}}
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def with_client(url, work, headers=None):
    """What `work` (an async function of an initialized session) gives."""

    async def run():
        async with (
            httpx.AsyncClient(headers=headers, **PATIENT, follow_redirects=True) as http,
            streamable_http_client(f"{url}{programs.MCP_PATH}/", http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await work(session)

    return asyncio.run(run())


def call(url, name, headers=None, **arguments):
    """(whether it failed, what was said: data, or the sentence of a failure)."""
    answer = with_client(url, lambda session: session.call_tool(name, arguments), headers)
    text = answer.content[0].text
    return answer.isError, text if answer.isError else json.loads(text)


def test_the_tools_are_the_endpoints_and_say_what_they_take(served):
    tools = {tool.name: tool for tool in with_client(served.url, lambda session: session.list_tools()).tools}
    assert set(tools) == {"runs", "predict", "write"}  # nothing of the page
    schema = tools["predict"].inputSchema
    texts = [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]
    assert schema["required"] == ["run", "texts"] and schema["properties"]["texts"]["items"] == {"anyOf": texts}
    assert all(len(part["description"]) > 30 for part in schema["properties"].values())
    assert "label and the probability" in tools["predict"].description and "id" in tools["runs"].description


def test_a_model_that_writes_writes_for_programs_too(served, service, tmp_path):
    save_qwen(tmp_path / "model")
    rows = ({"instruction": f"good {number}", "output": "great"} for number in range(24))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = {
        "name": "writes", "task": "generation", "model": {"path": str(tmp_path / "model"), "device": "cpu"},
        "data": {"train": str(tmp_path / "rows.jsonl"), "columns": {}}, "prompt": {"templates": ["{instruction} [MASK]"]},
        "method": {"name": "full"}, "training": {"epochs": 4, "batch_size": 8, "learning_rate": 0.01},
    }  # fmt: skip
    run = service.submit(recipe_from(recipe, source="test"))
    assert service.wait(run, 120).status == "finished", service.read(run).error
    listed = {row["run"]: row for row in call(served.url, "runs")[1]}
    assert listed[run]["ask"] == "write" and listed[run]["perplexity"] >= 1
    failed, said = call(served.url, "write", run=run, texts=["good", "bad"], tokens=4)
    python = service.generator(run).answers([{"instruction": "good"}, {"instruction": "bad"}], Sampling(max_new_tokens=4))
    assert not failed and said == python and any(said)
    over_http = httpx.post(f"{served.url}{programs.PATH}/gradio_api/run/write", json={"data": [run, ["good"], 4]}, **PATIENT)
    assert over_http.json()["data"][0] == python[:1]
    for wrong in ({"texts": ["a"] * 33}, {"texts": ["a"], "tokens": 513}):
        failed, said = call(served.url, "write", **{"run": run, **wrong})
        assert failed and "must be" in said
    failed, said = call(served.url, "predict", run=run, texts=["good"])
    assert failed and "writes text" in said


def test_mcp_http_and_python_give_the_same_answer(served, service, finished):
    failed, runs = call(served.url, "runs")
    assert not failed and finished in {run["run"] for run in runs}
    failed, over_mcp = call(served.url, "predict", run=finished, texts=TEXTS)
    over_http = httpx.post(f"{served.url}{programs.PATH}/gradio_api/run/predict", json={"data": [finished, TEXTS]}, **PATIENT)
    python = service.predictor(finished).predict([{"text": text} for text in TEXTS])
    assert not failed and over_mcp == over_http.json()["data"][0]
    assert [row["label"] for row in over_mcp] == [answer.label for answer in python]
    for row, answer in zip(over_mcp, python, strict=True):
        assert row["probabilities"] == pytest.approx(answer.probabilities, abs=1e-6)


@pytest.mark.parametrize(("arguments", "said"), [
    ({"run": "nothing", "texts": ["a"]}, "There is no run"), ({"run": "nothing", "texts": []}, "1 to 1000 strings"),
    ({"run": "nothing", "texts": "a"}, "not of type 'array'"), ({"texts": ["a"]}, "'run' is a required property"),
])  # fmt: skip
def test_a_mistake_is_answered_with_a_sentence(served, arguments, said):
    failed, text = call(served.url, "predict", **arguments)
    assert failed and said in text and not text.startswith("'") and "Traceback" not in text


def test_without_the_word_and_from_other_sites_nothing_answers(served):
    with served.under(Policy(token=TOKEN)):
        bearer = {"authorization": f"Bearer {TOKEN}"}
        url = f"{served.url}{programs.MCP_PATH}/"
        with httpx.Client(**PATIENT, headers=HEADERS) as http:
            assert http.post(url, json=ASKED).status_code == 401
            assert http.post(url, json=ASKED, headers={"authorization": "Bearer wrong"}).status_code == 401
            assert http.post(url, json=ASKED, headers={**bearer, "origin": "http://evil.example"}).status_code == 403
            assert http.post(url, json=ASKED, headers={**bearer, "host": "evil.example"}).status_code == 403
            assert http.post(url, json=ASKED, headers=bearer).status_code == 200
        assert call(served.url, "runs", bearer)[0] is False


def test_everybody_finds_only_their_own_runs(served, service, finished, tiny, tmp_path):
    """One after the other over one server: nobody's log-in stays behind for the next one."""
    for name, password in PASSWORDS.items():
        add_user(tmp_path / "users.yaml", name, password, Role.USER)
    with acting_as(Principal("ada", Role.USER)):
        hers = service.submit(tiny)
        assert service.wait(hers, 120).status == "finished"
    policy = Policy(users=read_users(tmp_path / "users.yaml"))
    with served.under(policy):

        def as_user(name):
            program = Program(served.url).login(name=name, password=PASSWORDS[name])
            return {"cookie": "; ".join(f"{key}={value}" for key, value in program.http.cookies.items())}

        for name, own in (("ada", [hers]), ("eve", []), ("ada", [hers])):
            assert [run["run"] for run in call(served.url, "runs", as_user(name))[1]] == own
        failed, text = call(served.url, "predict", as_user("eve"), run=hers, texts=TEXTS)
        assert failed and "There is no run" in text
        assert call(served.url, "predict", as_user("ada"), run=hers, texts=TEXTS)[0] is False


def test_a_visitor_finds_no_run_of_others(served, finished):
    with served.under(Policy(token=TOKEN, demo=True)):
        assert call(served.url, "runs") == (False, [])
        assert call(served.url, "predict", run=finished, texts=TEXTS)[0] is True
        assert finished in {run["run"] for run in call(served.url, "runs", {"authorization": f"Bearer {TOKEN}"})[1]}


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 405), ("GET", "", 405), ("DELETE", "/", 405), ("GET", "/sse", 404), ("POST", "/messages/", 404), ("POST", "/schema", 404),
    ("GET", "/http/", 404), ("GET", "/<script>alert(1)</script>/gradio_api/mcp/", 404),
])  # fmt: skip
def test_nothing_but_posts_reaches_the_mcp_server(served, method, path, status):
    """No stream without work to hold open, no transport that the guard does not count, no page that repeats what it was asked."""
    answer = httpx.request(method, f"{served.url}{programs.MCP_PATH}{path}", headers={"accept": "text/event-stream"}, **PATIENT)
    assert answer.status_code == status and "<" not in answer.text
    page = httpx.request(method, f"{served.url}{programs.MCP_PATH}{path}", **PATIENT)
    assert page.status_code == status and "<script" not in page.text


def test_gradios_page_about_the_endpoints_reads_what_the_tools_take(served):
    listed = httpx.get(f"{served.url}{programs.MCP_PATH}/schema", **PATIENT).json()
    tools = with_client(served.url, lambda session: session.list_tools()).tools
    assert [(tool["name"], tool["inputSchema"]) for tool in listed] == [(tool.name, tool.inputSchema) for tool in tools]


def test_a_body_is_counted_while_it_arrives(served):
    """Chunks, so that no length is announced; the MCP server itself would take four million bytes."""

    def body():
        for _ in range(3):
            yield b" " * 400_000

    answer = httpx.post(f"{served.url}{programs.MCP_PATH}/", content=body(), headers=HEADERS, **PATIENT)
    assert answer.status_code == 413 and "more than this server takes" in answer.text


def test_calls_that_are_worked_on_count_and_end_with_their_client(served, monkeypatch):
    """A client may have as many calls as its limit at work; those it hangs up on leave the queue of threads."""
    begun, go_on = [], threading.Event()

    def slowly(service_, run, texts):
        begun.append(texts[0])
        assert go_on.wait(60)
        return []

    monkeypatch.setattr(programs, "classify", slowly)
    policy = Policy(demo=True, token=TOKEN, visitor_limits=Limits(waiting=6))
    asked = {**ASKED, "params": {"name": "predict", "arguments": {"run": "x", "texts": ["a"]}}}
    with served.under(policy):

        async def until(condition):
            async with asyncio.timeout(60):
                while not condition():
                    await asyncio.sleep(0.01)

        async def crowd(hang_up):
            async with httpx.AsyncClient(headers=HEADERS, **PATIENT) as http:
                posts = [asyncio.ensure_future(http.post(f"{served.url}{programs.MCP_PATH}/", json=asked)) for _ in range(12)]
                await until(lambda: sum(post.done() for post in posts) == 6 and len(begun) == programs.MOST_AT_ONCE)
                if not hang_up:
                    go_on.set()
                for post in posts if hang_up else []:
                    post.cancel()
                return await asyncio.gather(*posts, return_exceptions=True)

        patient = asyncio.run(crowd(hang_up=False))
        assert sorted(answer.status_code for answer in patient) == [200] * 6 + [429] * 6
        begun.clear()
        go_on.clear()
        gone = asyncio.run(crowd(hang_up=True))
        assert sum(isinstance(answer, asyncio.CancelledError) for answer in gone) == 6
        asyncio.run(until(lambda: not served.guard._at_work))
        go_on.set()
        assert httpx.post(f"{served.url}{programs.MCP_PATH}/", json=asked, headers=HEADERS, **PATIENT).status_code == 200
        assert len(begun) == programs.MOST_AT_ONCE + 1  # the two that waited for a thread, before this one, were never begun
