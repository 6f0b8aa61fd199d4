"""A run or a book of labels that is damaged, or of another version, hides no other and stops nobody."""

from __future__ import annotations

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import RunError
from workbench.runs.store import ACTIVE
from workbench.ui import beside, findings
from workbench.ui.story import scenes
from workbench.ui.tabs import board, runs, train
from workbench.ui.tabs.train import Watch
from workbench.ui.text import Words

T = Words("en")
UNREADABLE, UNKNOWN, GONE = "a: [", "name: x\nfield_of_another_version: 1\n", None


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_recipe(tmp_path_factory.mktemp("plain"), training__epochs=1)


@pytest.fixture(params=[UNREADABLE, UNKNOWN, GONE], ids=["unreadable", "unknown", "gone"])
def runs_there(request, service, plain):
    """A whole run and a newer one that is paused and damaged; their ids, and the whole one's recipe."""
    whole = service.store.add(plain)
    service.store.update(whole, status="stopped")
    damaged = service.store.add(plain.replace({"name": "damaged"}))
    service.store.update(damaged, status="paused")
    file = service.store.folder(damaged) / "recipe.yaml"
    if request.param is None:
        file.unlink()
    else:
        file.write_text(request.param, encoding="utf-8")
    service.store._recipes.clear()
    return whole, damaged, plain


def test_those_that_can_be_read_are_listed_and_the_other_is_still_in_the_table(service, runs_there):
    whole, damaged, recipe = runs_there
    assert [(run.id, own) for run, own in service.readable()] == [(whole, recipe)]
    assert {run.id for run in service.runs()} == {whole, damaged}
    service.store.update(damaged, status="interrupted")
    service.delete(damaged)
    assert [run.id for run in service.runs()] == [whole]


def test_a_damaged_paused_run_blocks_no_start(service, runs_there):
    whole, _, recipe = runs_there
    run_id = service.submit(recipe.replace({"name": "another"}), alone=True)
    assert service.wait(run_id, 60).status == "finished"
    service.store.update(whole, status="paused")
    with pytest.raises(RunError, match="being trained already"):
        service.submit(recipe, alone=True)


def test_again_works_beside_a_damaged_run(service, runs_there):
    watch, _ = runs.Shelf(service, T).rerun(runs_there[0])
    assert service.wait(watch.run, 60).status == "finished"


def test_train_shows_another_run(service, runs_there):
    whole, damaged, _ = runs_there
    assert train.view(service, Watch()).id == whole
    assert train.view(service, Watch(damaged)).id == whole


def test_findings_of_a_damaged_run_are_those_of_the_recipe(service, runs_there):
    _, damaged, recipe = runs_there
    assert findings.subject(service, recipe, Watch(damaged)) is None


def test_the_story_finds_its_run(service, runs_there):
    whole, _, recipe = runs_there
    assert scenes.twin(service, recipe, ("stopped", *ACTIVE)) == whole


def test_labels_are_asked_about_all_the_same(service, runs_there):
    recipe = runs_there[2]
    book = service.labelling.begin(["the food lovely", "the food awful", "the film nice"], "pos, neg")
    assert service.labelling.opinions(service, book, recipe).source == "prompt"


@pytest.mark.parametrize("content", ["a: [", "name: x\nfield_of_another_version: 1\n"])
def test_a_damaged_board_hides_no_other(service, tmp_path, content):
    recipe = make_recipe(tmp_path).replace({"job": {"kind": "board"}})
    whole, damaged = service.store.add(recipe), service.store.add(recipe)
    (service.store.folder(damaged) / "recipe.yaml").write_text(content, encoding="utf-8")
    service.store._recipes.clear()
    for run_id in (whole, damaged):
        service.store.update(run_id, status="stopped")
    assert board.newest(service) == whole and board.view(service, Watch()).id == whole
    assert board.view(service, Watch(damaged)) is None
    assert beside.cells(service, T) == []


def test_a_damaged_book_is_left_out(service):
    texts = ["the food lovely", "the food awful", "the film nice"]
    whole, damaged = service.labelling.begin(texts, "pos, neg"), service.labelling.begin(texts, "pos, neg")
    (service.root / "labels" / damaged.id / "rows.csv").unlink()
    assert [book.id for book in service.labelling.books()] == [whole.id]


def test_only_the_recipes_that_are_asked_about_are_read(service, tmp_path, monkeypatch):
    recipe = make_recipe(tmp_path)
    for number in range(30):
        service.store.update(service.store.add(recipe.replace({"name": f"run {number}"})), status="finished")
    read, real = [], service.store.recipe
    monkeypatch.setattr(service.store, "recipe", lambda run_id: read.append(run_id) or real(run_id))
    assert train.newest(service) and board.newest(service) is None and scenes.twin(service, recipe, ACTIVE) is None
    service.queue.refuse_twin(recipe)
    assert len(read) == 1
