"""Programs ask over HTTP, as the page's snippets say, and get what the page gets."""

import ast
import json
import subprocess

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from workbench.errors import RunError
from workbench.ui import programs

CALL = f"{programs.PATH}/gradio_api/call/v2"


@pytest.fixture(scope="module")
def client(service):
    app = FastAPI()
    programs.mount(app, service)
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
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


def test_a_mistake_is_answered_with_its_sentence(client, finished):
    event, data = called(client, "predict", run="nothing", texts=["a"])
    assert event == "error" and "There is no run" in json.dumps(data)


@pytest.mark.parametrize("texts", [[], ["a"] * 1001, [1], "a"])
def test_what_is_no_list_of_texts_is_refused(service, finished, texts):
    with pytest.raises(RunError, match="1 to 1000"):
        programs.classify(service, finished, texts)


def test_snippets_stay_whole_whatever_the_text():
    said = programs.snippets("RUN", 'it\'s "odd" \\ 很好')
    body = {"run": "RUN", "texts": ['it\'s "odd" \\ 很好']}
    echo = subprocess.run(["sh", "-c", "printf %s " + said["curl"].split(" -d ")[1].split(" | ")[0]], capture_output=True, check=True)
    assert json.loads(echo.stdout) == body and json.dumps(body, ensure_ascii=False) in said["javascript"]
    ast.parse(said["python"])
