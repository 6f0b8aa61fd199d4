"""Runs of several people over one service: each sees their own, and visitors of a demo have few rights."""

import pytest

from workbench.access import VISITOR_NAMES, Principal, Role, acting_as
from workbench.errors import AccessError, RunError
from workbench.recipe import load_recipe
from workbench.runs import demo
from workbench.runs.demo import MOST, check_demo
from workbench.runs.service import RunService

pytestmark = pytest.mark.usefixtures("nothing_starts")
ADA, BOB = Principal("ada", Role.USER), Principal("bob", Role.USER)
VISITOR = Principal("visitor-1", Role.VISITOR)


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


@pytest.mark.parametrize(("place", "value"), [
    ("training.batch_size", 3), ("training.evaluate_every", 1), ("prompt.templates", [f"{{text}} It was [MASK] {n}." for n in range(11)]),
])  # fmt: skip
def test_a_visitor_makes_no_hours_of_what_takes_minutes(recipe, place, value):
    with acting_as(VISITOR), pytest.raises(AccessError, match=place.split(".")[1]):
        check_demo(recipe.replace({place: value}))
    check_demo(recipe.replace({place: value}))


def test_a_visitor_tunes_embedded_classifiers_only(recipe):
    with acting_as(VISITOR):
        for changes in ({"model.path": "/srv/models/bert"}, {"task": "generation"}, {"data.split.shots": None}):
            with pytest.raises(AccessError):
                check_demo(recipe.replace(changes))


def test_a_stopped_run_goes_on_only_when_the_visitor_has_no_other(service, recipe):
    with acting_as(VISITOR):
        first = service.submit(recipe)
        service.stop(first)
        second = service.submit(recipe)
        with pytest.raises(AccessError, match="has not ended"):
            service.resume(first)
        service.stop(second)
        service.resume(first)
        assert service.read(first).status == "queued"


def test_whoever_comes_as_somebody_else_each_time_does_not_fill_the_queue(service, recipe, monkeypatch):
    monkeypatch.setattr(demo, "MOST_OF_VISITORS", 3)
    for number in range(3):
        with acting_as(Principal(f"{VISITOR_NAMES}{number}", Role.VISITOR)):
            service.submit(recipe)
    with acting_as(Principal(f"{VISITOR_NAMES}3", Role.VISITOR)), pytest.raises(AccessError, match="3 runs of visitors"):
        service.submit(recipe)
    with acting_as(ADA):
        service.submit(recipe)


def test_whoever_lets_the_cookies_go_at_one_address_does_not_take_the_room_of_others(service, recipe, monkeypatch):
    monkeypatch.setattr(demo, "MOST_OF_AN_ADDRESS", 2)
    for own in ("-a", "-b"):
        with acting_as(Principal(f"{VISITOR_NAMES}here{own}", Role.VISITOR)):
            service.submit(recipe)
    for own in ("-c", ""):
        with acting_as(Principal(f"{VISITOR_NAMES}here{own}", Role.VISITOR)), pytest.raises(AccessError, match="2 runs of visitors"):
            service.submit(recipe)
    with acting_as(Principal(f"{VISITOR_NAMES}there-a", Role.VISITOR)):
        service.submit(recipe)


def test_the_oldest_ended_runs_of_visitors_make_room_for_the_newest(service, recipe, monkeypatch):
    ids = []
    for number, who in enumerate(("visitor-1", "ada", "visitor-2", "visitor-3", "visitor-4", "visitor-5")):
        with acting_as(Principal(who, Role.USER if who == "ada" else Role.VISITOR)):
            ids.append(service.submit(recipe))
        (service.store.folder(ids[-1]) / "weights").write_bytes(b"x" * 100_000)
        service.store.update(ids[-1], status="queued" if number == 4 else "finished", created=float(number))
    oldest, hers, second, third, waiting, newest = ids
    monkeypatch.setattr(demo, "MOST_BYTES_OF_VISITORS", 250_000)
    assert demo.without_room(service.store, hers) == []
    assert demo.without_room(service.store, newest) == [second, oldest]
    assert demo.without_room(service.store, oldest) == [third, second]  # resumed, and the last to end
    monkeypatch.setattr(service, "_do", lambda run_id, control: {"status": "finished"})
    service._take_next()
    assert {run.id for run in service.runs()} == {hers, newest, waiting}
