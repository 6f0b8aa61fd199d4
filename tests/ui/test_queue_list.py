"""The queue in the page: what is started while something trains waits in sight, and can be watched, moved and taken out there."""

from types import SimpleNamespace

import gradio as gr
import pytest

from tests.tiny_runs import make_recipe
from tests.ui.served import request_of
from workbench.access import OWNER, Principal, Role, acting_as
from workbench.runs.service import RunService
from workbench.ui import page, queue_list
from workbench.ui.queue_list import Seen
from workbench.ui.session import Watch
from workbench.ui.text import Words

T = Words("en")
ADA, BOB = Principal("ada", Role.USER), Principal("bob", Role.USER)
CHARTS = [0.6, False, []]


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """A service that takes nothing from its queue."""
    service = RunService(tmp_path / "root")
    monkeypatch.setattr(service, "_start_worker", lambda: None)
    yield service
    service.close()


@pytest.fixture
def said(monkeypatch):
    told = []
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: told.append(text))
    return told


@pytest.fixture
def recipe(tmp_path):
    return make_recipe(tmp_path / "data")


class Page:
    """One open page: presses its buttons as gradio would, and keeps its states."""

    def __init__(self, service, who=OWNER):
        self.handlers = {fn.api_name: fn.fn for fn in page.build(service, "en").fns.values()}
        self.asked, self.watch, self.seen, self.radio = request_of(who), Watch(), Seen(), {}

    def press(self, name, *given):
        answer = self.handlers[name](self.asked, *given, self.watch, *([None] if name == "train_start" else []), self.seen, *CHARTS)
        if isinstance(answer, list):
            self.watch = answer[0] if isinstance(answer[0], Watch) else self.watch
            self.seen = answer[-3] if isinstance(answer[-3], Seen) else self.seen
            self.radio = answer[-1] if isinstance(answer[-3], Seen) else self.radio
        return answer

    def lines(self):
        return [line for line, _ in self.seen.lines]


def test_another_recipe_waits_while_the_page_goes_on_showing_what_trains(waiting, recipe, said):
    shown = Page(waiting)
    shown.press("train_start", recipe.model_dump())
    first = shown.watch.run
    waiting.store.update(first, status="running")
    answer = shown.press("train_start", recipe.replace({"name": "<b>other"}).model_dump())
    second = next(run.id for run in waiting.queue.runs() if run.id != first)
    assert shown.watch.run == first and answer[6]["value"] == T("train.enqueue") and answer[6]["interactive"]
    assert shown.lines() == [f"{T('status.running')} · tiny · {first[-6:]} · in view", f"1. waiting · <b>other · {second[-6:]}"]
    assert shown.radio["value"] == second
    shown.press("train_start", recipe.replace({"name": "<b>other"}).model_dump())
    assert len(waiting.queue.runs()) == 2 and second in said[0], "a double click is refused"
    shown.press("train_poll")
    assert shown.press("train_poll") == gr.skip(), "nothing new, nothing drawn"


def test_a_run_is_watched_moved_and_taken_out_by_its_buttons(waiting, recipe, said):
    runs = [waiting.submit(recipe.replace({"name": name})) for name in "abc"]
    waiting.store.update(runs[0], status="running")
    shown = Page(waiting)
    shown.press("train_poll")
    assert shown.watch.run == runs[0] and [run for _, run in shown.seen.lines] == runs
    shown.seen = queue_list.choose(shown.seen, SimpleNamespace(value=runs[2]))
    shown.press("queue_move_first")
    assert [run for _, run in shown.seen.lines] == [runs[0], runs[2], runs[1]] and shown.seen.chosen == runs[2]
    shown.press("queue_watch")
    assert shown.watch.run == runs[2] and shown.lines()[1].endswith("in view") and not shown.lines()[0].endswith("in view")
    shown.press("queue_leave")
    assert shown.watch.mark == "stopped" and [run for _, run in shown.seen.lines] == runs[:2] and shown.seen.chosen == runs[1]
    shown.seen = queue_list.choose(shown.seen, SimpleNamespace(value=runs[0]))
    shown.press("queue_leave")
    assert waiting.read(runs[0]).status == "running" and "does not wait" in said[-1]


def test_the_list_is_out_of_sight_unless_something_waits(waiting, recipe, said):
    assert queue_list.view(waiting, None, T) == ()
    run = waiting.submit(recipe)
    assert queue_list.view(waiting, run, T) == ((f"1. waiting · tiny · {run[-6:]} · in view", run),)
    waiting.store.update(run, status="running")
    assert queue_list.view(waiting, run, T) == () and len(queue_list.view(waiting, "another", T)) == 1
    area = queue_list.updates(waiting, run, Seen((("a", "b"),), "b"), T)[1:]
    assert area[0]["visible"] is False and area[1]["value"] is None
    shown = Page(waiting)
    for name in ("queue_watch", "queue_move_first", "queue_leave"):
        shown.press(name)
        assert said[-1] == f"{T('queue.none')} {T('queue.none_fix')}"


def test_nobody_learns_of_anybody_elses_runs(waiting, recipe, said):
    with acting_as(ADA):
        hers = waiting.submit(recipe.replace({"name": "secret of ada"}))
    with acting_as(BOB):
        his = waiting.submit(recipe.replace({"name": "bobs"}))
        assert [line for line, _ in queue_list.view(waiting, None, T)] == [f"2. waiting · bobs · {his[-6:]}"]
    assert [line for line, _ in queue_list.view(waiting, None, T)][0] == f"1. waiting · secret of ada · ada · {hers[-6:]}"
    shown = Page(waiting, BOB)
    shown.seen = Seen((("guessed", hers),), hers)
    for name in ("queue_watch", "queue_move_first", "queue_leave"):
        shown.press(name)
        assert said[-1].startswith("There is no run") and shown.watch.run != hers
    assert [run.id for run in waiting.queue.runs()] == [hers, his]


def test_a_search_and_a_board_that_are_under_way_are_not_started_twice(waiting, recipe, said):
    handlers = Page(waiting).handlers
    asked, draft = request_of(), recipe.replace({"data.split.shots": 4}).model_dump()
    settings = next(fn for fn in page.build(waiting, "en").fns.values() if fn.api_name == "search_words").inputs[2:]
    for _ in range(2):
        handlers["search_words"](asked, draft, "", *(control.value for control in settings))
        handlers["board_start"](asked, draft, "0, 4", 1, ["prompting/lora"], [], "quick")
    assert sorted(run.kind for run in waiting.queue.runs()) == ["board", "search"]
    assert len(said) == 2 and all("being trained already" in told for told in said)


