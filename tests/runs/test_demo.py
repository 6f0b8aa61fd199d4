"""Runs of several people over one service: each sees their own, and visitors of a demo have few rights."""

import pytest

from workbench.access import Principal, Role, acting_as
from workbench.errors import AccessError, RunError
from workbench.recipe import load_recipe
from workbench.runs.demo import MOST, check_demo
from workbench.runs.service import RunService

ADA, BOB = Principal("ada", Role.USER), Principal("bob", Role.USER)
VISITOR = Principal("visitor-1", Role.VISITOR)


@pytest.fixture
def service(tmp_path, monkeypatch):
    service = RunService(tmp_path)
    monkeypatch.setattr(service, "_start_worker", lambda: None)  # runs stay in the queue
    yield service
    service.close()


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("en-sentiment-lora")


def test_each_sees_their_own_runs_and_the_owner_all(service, recipe):
    with acting_as(ADA):
        hers = service.submit(recipe)
        assert [run.id for run in service.runs()] == [hers]
    with acting_as(BOB):
        assert service.runs() == []
        for ask in (service.read, service.stop, service.delete, service.predictor, service.labels, service.result, service.tuned_folder,
                    service.resume, service.pause, service.resolve):
            with pytest.raises(RunError, match="There is no run"):
                ask(hers)
    assert [run.id for run in service.runs()] == [hers]


def test_the_same_key_of_two_people_makes_two_runs(service, recipe):
    ids = []
    for who in (ADA, BOB, ADA):
        with acting_as(who):
            ids.append(service.submit(recipe, key="k"))
    assert ids[0] == ids[2] != ids[1]


def test_owners_survive_a_lost_index(tmp_path, recipe):
    service = RunService(tmp_path)
    service._start_worker = lambda: None
    with acting_as(ADA):
        hers = service.submit(recipe)
    service.close()
    (tmp_path / "index.sqlite3").unlink()
    service = RunService(tmp_path, adopt_queue=False)
    with acting_as(BOB):
        assert service.runs() == []
    with acting_as(ADA):
        assert [run.id for run in service.runs()] == [hers]
    service.close()


def test_a_visitor_has_one_unfinished_run_and_deletes_nothing(service, recipe):
    with acting_as(VISITOR):
        mine = service.submit(recipe)
        with pytest.raises(AccessError, match="has not ended"):
            service.submit(recipe)
        with pytest.raises(AccessError):
            service.delete(mine)
        service.stop(mine)
        service.submit(recipe)
    with acting_as(Principal("visitor-2", Role.VISITOR)):
        service.submit(recipe)


@pytest.mark.parametrize("place", MOST)
def test_a_visitor_gets_no_more_than_a_demo_gives(recipe, place):
    with acting_as(VISITOR):
        check_demo(recipe)
        with pytest.raises(AccessError, match=place):
            check_demo(recipe.replace({place: MOST[place] + 1}))
    check_demo(recipe.replace({place: MOST[place] + 1}))


def test_a_visitor_tunes_embedded_classifiers_only(recipe):
    with acting_as(VISITOR):
        for changes in ({"model.path": "/srv/models/bert"}, {"task": "generation"}, {"data.split.shots": None}):
            with pytest.raises(AccessError):
                check_demo(recipe.replace(changes))
