"""The chat's view functions over a real generation run, and how the Train tab draws one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.test_generation import recipe_for, save_qwen
from workbench.runs.service import RunService
from workbench.serving.generator import Sampling
from workbench.ui import chat
from workbench.ui.samples import samples_html, writes
from workbench.ui.tabs import train, try_it
from workbench.ui.text import Words

T = Words("en")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("chat")
    save_qwen(home / "model")
    rows = [{"instruction": word, "output": {"good": "great", "bad": "awful"}[word]} for word in ("good", "bad") * 16]
    (home / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    service = RunService(home / "runs")
    found = service.submit(recipe_for(home))
    assert service.wait(found, 200).status == "finished"
    yield service, found
    service.close()


def test_only_runs_that_write_are_offered(run: tuple[RunService, str]) -> None:
    service, found = run
    assert [value for _, value in chat.talkers(service, T)] == [found]
    assert try_it.choices(service, T) == [] and chat.fields_of(service, found) == ["instruction"]


def test_both_models_answer_token_by_token(run: tuple[RunService, str]) -> None:
    service, found = run
    steps = list(chat.replies(service, found, {"instruction": "bad"}, [], [], Sampling(max_new_tokens=6)))
    assert steps[-1][1] == "awful" and steps[-1][0] != "awful"
    said = [{"role": "assistant", "content": "awful"}, {"role": "user", "content": "good"}]
    assert list(chat.replies(service, found, {"instruction": "bad"}, said, said, Sampling(max_new_tokens=4)))


def test_the_train_tab_shows_perplexity_and_samples(run: tuple[RunService, str]) -> None:
    service, found = run
    shown = train.draw(service, found)
    assert writes(shown.evaluations) and "Perplexity" in train.status_html(shown, T)
    assert "awful" in train.confusion_html(shown, T) and "Answer" in samples_html(shown.samples, T)
    assert train.accuracy_figure(shown, T) is not None


def test_a_chatbot_value_of_parts_is_read_as_text() -> None:
    assert chat._plain([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]) == [{"role": "user", "content": "hi"}]




def test_an_answer_without_a_word_is_said_to_be_one_and_not_told_to_the_model(run, monkeypatch) -> None:
    service, found = run
    monkeypatch.setattr(chat, "replies", lambda *asked: heard.append(asked) or iter([("", "awful")]))
    heard: list[tuple] = []
    talk = chat.Talk(service, T)
    steps = list(talk.talk(found, [], [], {}, 0.0, 1.0, 4, "bad"))
    base, tuned = steps[-1][:2]
    assert base[-1]["content"] == T("chat.nothing") and tuned[-1]["content"] == "awful"
    list(talk.talk(found, base, tuned, {"instruction": "bad"}, 0.0, 1.0, 4, "good"))
    assert [message["content"] for message in heard[1][3]] == ["", "good"]


@given(st.text())
def test_what_was_said_comes_back_from_the_chatbot_as_it_was(text: str) -> None:
    shown = chat._shown([{"role": "user", "content": text}])
    assert not set(shown[0]["content"]) & set("<>") and chat._plain(shown) == [{"role": "user", "content": text}]
