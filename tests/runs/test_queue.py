"""What waits: all see their own runs in it and where they stand, take them out or let one go first, and start none twice."""

import threading

import pytest

from workbench.access import Principal, Role, acting_as
from workbench.errors import RunError
from workbench.recipe import load_recipe
from workbench.runs.service import RunService

pytestmark = pytest.mark.usefixtures("nothing_starts")
ADA, BOB = Principal("ada", Role.USER), Principal("bob", Role.USER)
JOBS = {
    "train": None,
    "board": {"kind": "board", "shots": [0, 4], "seeds": 1},
    "search": {"kind": "search", "what": "verbalizer", "count": 2},
}


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("en-sentiment-lora")


def submit(service, recipe, who, names):
    with acting_as(who):
        return [service.submit(recipe.replace({"name": name})) for name in names]


def order(service):
    return [run.id for run in service.queue.runs()]


def test_everybody_sees_their_own_runs_and_how_many_come_before(service, recipe):
    (first,) = submit(service, recipe, ADA, "a")
    second, third = submit(service, recipe, BOB, "bd")
    (fourth,) = submit(service, recipe, ADA, "c")
    with acting_as(ADA):
        assert [(run.id, run.place, run.owner) for run in service.queue.runs()] == [(first, 1, ""), (fourth, 4, "")]
    with acting_as(BOB):
        assert [(run.name, run.place) for run in service.queue.runs()] == [("b", 2), ("d", 3)]
    assert [(run.id, run.owner) for run in service.queue.runs()] == [(first, "ada"), (second, "bob"), (third, "bob"), (fourth, "ada")]


def test_what_is_at_work_comes_first_and_what_has_ended_is_not_there(service, recipe):
    first, second, third = submit(service, recipe, ADA, "abc")
    service.store.update(third, status="paused")
    service.store.update(first, status="finished")
    assert [(run.id, run.place, run.status) for run in service.queue.runs()] == [(third, 0, "paused"), (second, 1, "queued")]


def test_a_run_goes_before_ones_own_and_not_before_anybody_elses(service, recipe):
    (bobs,) = submit(service, recipe, BOB, "b")
    a, c = submit(service, recipe, ADA, "ac")
    (last,) = submit(service, recipe, BOB, "d")
    (e,) = submit(service, recipe, ADA, "e")
    with acting_as(ADA):
        service.queue.move_first(e)
        service.queue.move_first(e)
        with pytest.raises(RunError, match="There is no run"):
            service.queue.move_first(last)
    assert order(service) == [bobs, e, a, last, c] == service.store.next_queued()
    service.queue.move_first(last)
    assert order(service) == [last, bobs, e, a, c], "the owner sees all, and moves before all"


def test_the_order_survives_a_lost_index(tmp_path, recipe):
    service = RunService(tmp_path)
    a, b, c = (service.submit(recipe.replace({"name": name})) for name in "abc")
    service.queue.move_first(c)
    service.close()
    (tmp_path / "index.sqlite3").unlink()
    service = RunService(tmp_path)
    assert order(service) == [c, a, b]
    service.close()


def test_only_what_waits_leaves_the_queue_and_it_can_come_back(service, recipe):
    first, second = submit(service, recipe, ADA, "ab")
    service.store.update(first, status="running")
    with acting_as(ADA):
        service.queue.leave(second)
        assert order(service) == [first] and service.read(second).status == "stopped"
        for run in (first, second):
            for ask in (service.queue.leave, service.queue.move_first):
                with pytest.raises(RunError, match="does not wait"):
                    ask(run)
        assert service.read(first).status == "running", "nothing that has begun ends by it"
        service.resume(second)
        assert order(service) == [first, second]
    with acting_as(BOB), pytest.raises(RunError, match="There is no run"):
        service.queue.leave(second)


def test_a_run_that_the_worker_has_just_taken_does_not_leave(service, recipe):
    (run,) = submit(service, recipe, ADA, "a")
    service._active = (run, None)  # between being taken and being marked as running
    with pytest.raises(RunError, match="does not wait"):
        service.queue.leave(run)
    service._active = None


@pytest.mark.parametrize("kind", JOBS)
def test_many_starts_at_once_of_any_kind_are_one_run(service, recipe, kind):
    asked, gate, got = recipe.replace({"job": JOBS[kind]}), threading.Barrier(12), []

    def start():
        gate.wait()
        try:
            got.append(service.submit(asked, alone=True))
        except RunError as error:
            got.append(error.message)

    threads = [threading.Thread(target=start) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (run,) = order(service)
    assert sorted(got) == sorted([run, *[f"This recipe is being trained already, as run {run}."] * 11])
    assert isinstance(service.submit(asked.replace({"name": "another"}), alone=True), str), "another recipe waits behind it"


def test_the_same_recipe_of_two_people_is_two_runs(service, recipe):
    for who in (ADA, BOB):
        with acting_as(who):
            service.submit(recipe, alone=True)
    assert len(order(service)) == 2
