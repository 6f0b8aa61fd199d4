"""Programs ask over HTTP, as the page's snippets say, and get what the page gets."""

import ast
import json
import shutil
import subprocess
import sys

import httpx
import pytest

from tests.tiny_runs import make_recipe
from tests.ui.guard.paths_client import visible_endpoints
from tests.ui.program import Program
from workbench.errors import RunError
from workbench.ui import programs
from workbench.ui.guard.guard import Policy

CALL = f"{programs.PATH}/gradio_api/call/v2"
TOKEN = "a-word-that-nobody-guesses"


@pytest.fixture(scope="module")
def client(served):
    with httpx.Client(base_url=served.url, trust_env=False, timeout=60) as client:
        yield client


def called(client, name, **body):
    """Event and data of the answer, as a program reads the stream."""
    event = client.post(f"{CALL}/{name}", json=body).json()["event_id"]
    lines = client.get(f"{CALL}/{name}/{event}").text.splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("event:"))
    return lines[last].removeprefix("event: "), json.loads(lines[last + 1].removeprefix("data: "))


def test_a_program_finds_runs_and_asks_one(client, service, finished):
    event, data = called(client, "runs")
    assert event == "complete" and finished in {row["run"] for row in data[0]}
    event, data = called(client, "predict", run=finished, texts=["the food was lovely", "the food was awful"])
    ours = service.predictor(finished).predict([{"text": "the food was lovely"}, {"text": "the food was awful"}])
    assert event == "complete" and [row["label"] for row in data[0]] == [answer.label for answer in ours]
    assert data[0][0]["probabilities"] == pytest.approx(ours[0].probabilities, abs=1e-6)


@pytest.fixture(scope="module")
def of_two_fields(service, tmp_path_factory):
    columns = {"text": "text", "number": "id", "label": "label"}
    recipe = make_recipe(tmp_path_factory.mktemp("pairs"), data__columns=columns, prompt__templates=["{text} {number} it was [MASK] ."])
    run = service.submit(recipe)
    assert service.wait(run, 120).status == "finished", service.read(run).error
    return run


def test_a_run_that_reads_two_fields_takes_both(client, service, of_two_fields):
    said = {"text": "the food was awful", "number": "3"}
    event, data = called(client, "predict", run=of_two_fields, texts=[said])
    assert event == "complete" and data[0][0]["label"] == service.predictor(of_two_fields).predict([said])[0].label
    listed = {row["run"]: row for row in called(client, "runs")[1][0]}
    assert listed[of_two_fields]["fields"] == ["text", "number"]
    for less in ({"text": "a"}, "a", {**said, "more": "b"}):
        event, answer = called(client, "predict", run=of_two_fields, texts=[said, less])
        assert event == "error" and "reads the fields text, number, which text 2 does not give" in json.dumps(answer)


def test_a_run_whose_recipe_is_damaged_hides_no_other(client, service, finished, of_two_fields):
    file = service.store.folder(of_two_fields) / "recipe.yaml"
    whole = file.read_bytes()
    file.write_bytes(b"name: [")
    try:
        listed = {row["run"] for row in called(client, "runs")[1][0]}
    finally:
        file.write_bytes(whole)
    assert finished in listed and of_two_fields not in listed


def test_the_page_shows_the_call_with_every_field(client, of_two_fields):
    page = Program(str(client.base_url))
    named = {endpoint.name: endpoint for endpoint in visible_endpoints(page)}
    for name in ("show-try_it", "try_it_view"):  # which fills the list of runs
        page.call(named[name])
    curl = page.call(named["try_programs"], [of_two_fields, "food", "3", "", ""]).data[0]
    assert '[{"text": "food", "number": "3"}]' in curl
    page.close()


def test_a_mistake_is_answered_with_its_sentence(client, finished):
    event, data = called(client, "predict", run="nothing", texts=["a"])
    assert event == "error" and "There is no run" in json.dumps(data)


def test_no_sentence_tells_a_visitor_where_the_server_keeps_its_files(served, service, finished):
    with served.under(Policy(token=TOKEN, demo=True)):
        for run in ("nope", "", "../..", "a" * 100, finished):
            for asks, more in (("predict", []), ("write", [8])):
                url = f"{served.url}{programs.PATH}/gradio_api/run/{asks}"
                said = httpx.post(url, json={"data": [run, ["a"], *more]}, timeout=60, trust_env=False).json()["error"]
                assert "There is no run" in said and str(service.root) not in said and "python -m" not in said


@pytest.mark.parametrize("texts", [[], ["a"] * 1001, [1], "a", [{"text": 1}], [["a"]]])
def test_what_is_no_list_of_texts_is_refused(service, finished, texts):
    with pytest.raises(RunError, match="1 to 1000"):
        programs.classify(service, finished, texts)


def test_snippets_stay_whole_whatever_the_text():
    text = 'it\'s "odd" \\ 很好'
    said = programs.snippets("RUN", text)
    body = {"data": ["RUN", [text]]}
    echo = subprocess.run(["sh", "-c", "printf %s " + said["curl"].split(" -d ")[1]], capture_output=True, check=True)
    assert json.loads(echo.stdout) == body and json.dumps(body, ensure_ascii=False) in said["javascript"]
    ast.parse(said["python"])
    assert all("/write" in programs.snippets("RUN", text, asks="write")[name] for name in STARTED)


# What runs a snippet, and what it prints of the answer: everything, or what its language makes of the first value.
STARTED = {"curl": ["sh", "-c"], "python": [sys.executable, "-c"], "javascript": ["node", "--input-type=module", "-e"]}


@pytest.mark.parametrize("asks", [False, True], ids=["open", "token"])
@pytest.mark.parametrize("name", STARTED)
def test_snippets_run_as_they_are_copied(served, service, finished, name, asks):
    program, *flags = STARTED[name]
    if shutil.which(program) is None:
        assert name == "javascript"  # curl's shell and Python are everywhere the tests are
        return
    label = service.predictor(finished).predict([{"text": "the food was awful, isn't it"}])[0].label
    with served.under(Policy(token=TOKEN) if asks else Policy()):
        copied = programs.snippets(finished[:-2], "the food was awful, isn't it", token=asks)[name]
        assert ("TOKEN" in copied) == asks
        own = copied.replace("ADDRESS", served.url).replace("TOKEN", TOKEN)
        ran = subprocess.run([program, *flags, own], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0 and label in ran.stdout and "probabilities" in ran.stdout, ran.stdout + ran.stderr
        url = f"{served.url}{programs.PATH}/gradio_api/run/predict"
        refused = httpx.post(url, json={"data": ["x", ["a"]]}, timeout=60, trust_env=False)
        assert refused.status_code == (401 if asks else 500)
        assert asks or "There is no run" in refused.json()["error"]


@pytest.mark.parametrize("asks", [False, True], ids=["open", "token"])
def test_an_mcp_client_is_told_its_address_and_whether_to_send_the_word(asks):
    said = json.loads(programs.snippets("RUN", "a", token=asks)["mcp"])["mcpServers"]["prompt-workbench"]
    assert said["url"] == f"ADDRESS{programs.MCP_PATH}/" and said["type"] == "http"
    assert said.get("headers") == ({"Authorization": "Bearer TOKEN"} if asks else None)


@pytest.mark.parametrize("asks", [False, True], ids=["open", "token"])
def test_the_page_shows_the_calls_for_its_own_address(served, asks):
    with served.under(Policy(token=TOKEN) if asks else Policy()):
        page = Program(served.url, headers={"authorization": f"Bearer {TOKEN}"} if asks else None)
        *shown, none = page.call(page.endpoint("try_programs"), [None, "the food was nice", "", "", ""]).data
        expected = programs.snippets("RUN", "the food was nice", token=asks).values()
        assert shown == [text.replace("ADDRESS", served.url) for text in expected] and len(shown) == 4 and none == ""
        assert all(TOKEN not in text for text in shown)
        page.close()


def test_a_visitor_is_not_told_to_send_a_word(served):
    with served.under(Policy(token=TOKEN, demo=True)):
        page = Program(served.url)
        *shown, _ = page.call(page.endpoint("try_programs"), [None, "", "", "", ""]).data
        assert len(shown) == 4 and all("Authorization" not in text for text in shown)
        page.close()
