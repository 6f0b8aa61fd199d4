"""The chat's view functions over a real generation run, and how the Train tab draws one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.test_generation import recipe_for, save_qwen
from tests.ui.served import request_of
from workbench.recipe import Recipe
from workbench.runs.service import RunService
from workbench.serving.generator import Sampling
from workbench.ui import chat, comparison, talkers
from workbench.ui.beside import BASE
from workbench.ui.samples import samples_html, writes
from workbench.ui.tabs import runs, train, try_it
from workbench.ui.talkers import NOBODY
from workbench.ui.text import Words

T = Words("en")
DRAFT = Recipe().model_dump()


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


@pytest.fixture
def empty(tmp_path):
    service = RunService(tmp_path / "runs")
    yield service
    service.close()


def test_only_runs_that_write_are_offered(run: tuple[RunService, str]) -> None:
    service, found = run
    assert [value for _, value in talkers.talkers(service, T)] == [found]
    assert try_it.choices(service, T) == [] and chat.fields_of(service, found) == ["instruction"]


def test_both_models_answer_token_by_token(run: tuple[RunService, str]) -> None:
    service, found = run
    base, tuned = service.generator(found, base=True), service.generator(found)
    asked = {"instruction": "bad"}
    steps = list(chat.replies([(base, asked, []), (tuned, asked, [])], Sampling(max_new_tokens=6)))
    assert steps[-1][1] == "awful" and steps[-1][0] != "awful"
    said = [{"role": "assistant", "content": "awful"}, {"role": "user", "content": "good"}]
    assert list(chat.replies([(base, asked, said), (tuned, asked, said)], Sampling(max_new_tokens=4)))


def test_the_train_tab_shows_perplexity_and_samples(run: tuple[RunService, str]) -> None:
    service, found = run
    shown = train.draw(service, found)
    assert writes(shown.evaluations) and "Perplexity" in train.status_html(shown, T)
    assert "awful" in train.confusion_html(shown, T) and "Answer" in samples_html(shown.samples, T)
    assert train.accuracy_figure(shown, T) is not None


def test_runs_that_write_have_their_figures_in_the_table_and_the_comparison(run: tuple[RunService, str]) -> None:
    service, found = run
    (row,) = runs.view(service, T)
    assert set(row.figures) == {"perplexity", "bleu", "rouge_l"} and row.figures["rouge_l"] == "1.000"
    table = runs.Shelf(service, T).table([row])
    assert T("runs.perplexity") in table["headers"] and T("runs.accuracy") not in table["headers"]
    assert "\u2013" not in table["data"][0] and table["data"][0][-1] == found
    shown = comparison.view(service, [found, found], "accuracy", fitting=True)
    assert shown.figure == "perplexity" and comparison.figure_of(shown, T) is not None
    for figure in ("bleu", "rouge_l", "loss"):
        assert comparison.figure_of(comparison.view(service, [found], figure), T) is not None
    html = comparison.table_html(shown, T)
    assert "BLEU" in html and "ROUGE-L" in html and "Perplexity" in html


def test_a_chatbot_value_of_parts_is_read_as_text() -> None:
    assert chat._plain([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]) == [{"role": "user", "content": "hi"}]


def test_an_answer_without_a_word_is_said_to_be_one_and_not_told_to_the_model(run, monkeypatch) -> None:
    service, found = run
    monkeypatch.setattr(chat, "replies", lambda *asked: heard.append(asked) or iter([["", "awful"]]))
    heard: list[tuple] = []
    talk = chat.Talk(service, T)
    steps = list(talk.talk(request_of(), found, BASE, DRAFT, [], [], {}, 0.0, 1.0, 4, "bad"))
    base, tuned = steps[-1][:2]
    assert base[-1]["content"] == T("chat.nothing") and tuned[-1]["content"] == "awful"
    list(talk.talk(request_of(), found, BASE, DRAFT, base, tuned, {"instruction": "bad"}, 0.0, 1.0, 4, "good"))
    assert [message["content"] for message in heard[1][0][0][2]] == ["", "good"]


def test_a_model_that_no_run_has_tuned_can_be_talked_to(empty) -> None:
    """There is no run at all; the page's recipe names a masked model."""
    talk = chat.Talk(empty, T)
    runs, beside, room, of_run, note, base, tuned, *_ = talk.refresh(None, None, DRAFT)
    assert room["visible"] and not of_run["visible"] and not runs["visible"] and note == ""
    assert beside["value"] == "embedded:tiny-qwen" and base["visible"] and not tuned["visible"]
    assert base["label"] == "Untuned: tiny-qwen"
    steps = list(talk.talk(request_of(), None, beside["value"], DRAFT, [], [], {}, 0.0, 1.0, 6, "A moving film"))
    left, right, fields = steps[-1][:3]
    assert [message["role"] for message in left] == ["user", "assistant"] and left[-1]["content"] and right == []
    assert fields == {"message": "A moving film"} and len(steps) > 3, "it comes token by token"
    again = list(talk.talk(request_of(), None, beside["value"], DRAFT, left, [], fields, 0.0, 1.0, 4, "And then?"))
    assert [message["role"] for message in again[-1][0]] == ["user", "assistant"] * 2


def test_the_model_of_the_tab_model_is_offered_where_it_writes(service, tmp_path) -> None:
    own = Recipe().replace({"model.path": str(save_qwen(tmp_path / "mine"))})
    mine = f"model:{own.model.path}"
    assert talkers.models(service, own, T) == [("Untuned: mine", mine), ("Untuned: tiny-qwen", "embedded:tiny-qwen")]
    assert [value for _, value in talkers.models(service, Recipe(), T)] == ["embedded:tiny-qwen"]
    plain = Recipe().replace({"model.path": "embedded:tiny-qwen"})
    assert [value for _, value in talkers.models(service, plain, T)] == ["model:embedded:tiny-qwen"], "once, as the page's own"
    written = talkers.writer(service, own, None, mine)
    assert written.encoder.uses_chat_template and written.fields == ("message",)


def test_two_runs_stand_side_by_side_and_stop_ends_both(run) -> None:
    service, found = run
    other = service.submit(service.read(found).recipe.replace({"training.epochs": 1, "name": "other"}))
    assert service.wait(other, 200).status == "finished"
    talk = chat.Talk(service, T)
    beside, left, right, *_ = talk.choose(found, other, DRAFT)
    assert beside["value"] == other and left["label"].startswith("other") and left["visible"] and right["visible"]
    values = [value for _, value in beside["choices"]]
    assert values[:2] == [BASE, other] and found not in values and values[-1] == NOBODY
    steps = list(talk.talk(request_of(), found, other, DRAFT, [], [], {}, 0.0, 1.0, 6, "bad"))
    assert steps[-1][1][-1]["content"] == "awful" and steps[-1][0][-1]["content"] == service.generator(other).answers(
        [{"instruction": "bad"}], Sampling(max_new_tokens=6)
    )[0]
    steps = talk.talk(request_of(), None, "embedded:tiny-qwen", DRAFT, [], [], {}, 0.0, 1.0, 200, "A moving film")
    next(steps), next(steps)
    assert talk.halt(request_of(session="another page"))["visible"] is False and next(steps)
    talk.halt(request_of())
    assert len(list(steps)) <= 3, "one more token, and the end"
    alone = list(talk.talk(request_of(), found, NOBODY, DRAFT, [], [], {}, 0.0, 1.0, 6, "bad"))
    assert alone[-1][0] == [] and alone[-1][1][-1]["content"] == "awful"
    service.delete(other)


@given(st.text())
def test_what_was_said_comes_back_from_the_chatbot_as_it_was(text: str) -> None:
    shown = chat._shown([{"role": "user", "content": text}])
    assert not set(shown[0]["content"]) & set("<>") and chat._plain(shown) == [{"role": "user", "content": text}]
