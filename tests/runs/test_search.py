"""Searches as runs: ranked candidates, cards in the lab, the same answer after a stop, and the command line."""

import json

import pytest

from tests.tiny_runs import make_recipe
from workbench.cli import main
from workbench.errors import RecipeError
from workbench.models.pool import ModelPool
from workbench.prompts.cards import Card
from workbench.prompts.search.trigger import TriggerSearch
from workbench.prompts.template import parse_template
from workbench.runs.jobs import run_job
from workbench.training.control import Control
from workbench.training.events import ALIVE


def search_recipe(folder, **job):
    return make_recipe(folder, job={"kind": "search", "rows": 8, "count": 3, **job}, data__split__shots=4)


@pytest.mark.parametrize(
    "job",
    [
        {"how": "trigger", "steps": 6, "restarts": 1, "tokens": 2, "candidates": 4},
        {"how": "generate", "longest": 1, "beam": 3},
        {"what": "verbalizer", "how": "combinations"},
        {"what": "verbalizer", "how": "greedy", "words": 2},
    ],
)
def test_candidates_are_ranked_and_become_cards(service, tmp_path, job):
    recipe = search_recipe(tmp_path, **job)
    run_id = service.submit(recipe)
    done = service.wait(run_id, 120)
    assert done.status == "finished", service.read(run_id).error
    result = service.result(run_id)
    scores = [(-card["score"], card["loss"]) for card in result["candidates"]]
    assert scores == sorted(scores), "by accuracy, ties by loss"
    assert done.metrics["accuracy"] == -scores[0][0] and any(card["source"] == "recipe" for card in result["candidates"])
    made = [card for card in result["candidates"] if card["source"] != "recipe"]
    assert made and all(parse_template(card["template"]) for card in made)
    assert {card.template for card in service.lab.cards(recipe)} == {card["template"] for card in made}
    assert any("validation rows only rank" in event.get("text", "") for event in service.read(run_id).events)


def test_a_search_asks_the_first_template_in_its_own_words(service, tmp_path):
    own = {"pos": ["nice"], "neg": ["bad"]}
    recipe = search_recipe(tmp_path, how="generate", longest=1, beam=2)
    recipe = recipe.replace({"prompt.templates": ["{text} it was [MASK] .", "{text} [MASK]"], "prompt.template_words": [own, None]})
    run_id = service.submit(recipe)
    assert service.wait(run_id, 120).status == "finished", service.read(run_id).error
    result = service.result(run_id)
    (asked,) = [card for card in result["candidates"] if card["source"] == "recipe"]
    scorer = service.lab.scorer(recipe)
    assert asked["loss"] == pytest.approx(scorer.score(Card(asked["template"], recipe.prompt.verbalizer_of(0)), len(scorer.examples)).loss)


def test_ranking_tells_that_it_is_alive(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.runs.job.SECONDS_BETWEEN_SIGNS", 0.0)
    doing, alive = [""], set()

    def hear(event):
        if event["kind"] == "progress":
            doing.append(event["text"])
        elif event["kind"] == ALIVE:
            alive.add(doing[-1])

    recipe = search_recipe(tmp_path, what="verbalizer")
    run_job(recipe, tmp_path / "run", Control(), ModelPool(), on_event=hear)
    assert alive == {"label words on the training rows", recipe.prompt.templates[0]}


def test_a_stopped_search_ends_with_the_same_candidates(service, tmp_path, monkeypatch):
    recipe = search_recipe(tmp_path, how="trigger", steps=20, restarts=2, tokens=2, candidates=6)
    whole = service.submit(recipe)
    assert service.wait(whole, 120).status == "finished"
    step = TriggerSearch.step

    def step_and_ask(self, *state):
        newest = service.runs()[0].id
        if (service.store.folder(newest) / "cells" / "restart-1-1" / "cell.json").exists():
            service.stop(newest)  # in the midst of the next cell, whatever else the machine does
        return step(self, *state)

    monkeypatch.setattr(TriggerSearch, "step", step_and_ask)
    stopped = service.submit(recipe)
    assert service.wait(stopped, 60).status == "stopped"
    monkeypatch.undo()
    service.resume(stopped)
    assert service.wait(stopped, 120).status == "finished"
    assert service.result(stopped)["candidates"] == service.result(whole)["candidates"]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"what": "verbalizer", "how": "trigger"}, "combinations, greedy"),
        ({"layout": "{text} [MASK]"}, "[T]"),
        ({"how": "guess"}, "'how'"),
    ],
)
def test_a_mistake_is_a_sentence(service, tmp_path, job, words):
    with pytest.raises(RecipeError) as error:
        service.submit(search_recipe(tmp_path, **job))
    assert words in f"{error.value.message} {error.value.fix}" and service.runs() == []


@pytest.mark.parametrize("how", ["trigger", "generate"])
def test_a_recipe_for_writing_is_refused_before_it_waits(service, tmp_path, how):
    with pytest.raises(RecipeError, match="needs a classification task"):
        service.submit(search_recipe(tmp_path, how=how).replace({"task": "generation"}))
    assert service.runs() == []


def test_the_command_prints_ranked_candidates(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(make_recipe(tmp_path, data__split__shots=4).to_yaml(), encoding="utf-8")
    arguments = ["search", str(tmp_path / "recipe.yaml"), "--what", "verbalizer", "--count", "2", "--runs", str(tmp_path / "root")]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out.splitlines()[-1])
    assert answer["kind"] == "search" and len(answer["candidates"]) == 3 and "words" in err
