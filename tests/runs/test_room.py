"""What the page keeps ready: made once, waited for by nobody else, and given up when a run needs the memory."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch

from tests.tiny_runs import make_recipe
from workbench.errors import OutOfMemory
from workbench.runs import answers as answers_module
from workbench.runs.ready import Ready
from workbench.runs.room import LET_GO, Room
from workbench.runs.service import RunService
from workbench.training.stepper import Stepper

ROWS = [{"text": "the food lovely"}]


def kept_by_the_page(service: RunService, recipe, run_id: str) -> list[weakref.ref]:
    """A model in each place where the page keeps one."""
    tuned, base = service.predictor(run_id), service.predictor(run_id, base=True)
    scorer = service.lab.scorer(recipe)
    return [weakref.ref(one) for one in (tuned.loaded.model, base.loaded.model, service.pool.get(recipe.model).model, scorer)]


def test_a_run_that_memory_is_too_small_for_gets_what_the_page_keeps(service, tmp_path, monkeypatch):
    recipe = make_recipe(tmp_path, training__epochs=2)
    first = service.submit(recipe)
    service.wait(first, 60)
    models, real = kept_by_the_page(service, recipe, first), Stepper.step

    def step(self, number, total):
        gc.collect()
        if number == 3 and any(model() is not None for model in models):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, number, total)

    monkeypatch.setattr(Stepper, "step", step)
    run_id = service.submit(recipe.replace({"name": "second"}))
    assert service.wait(run_id, 60).status == "finished", service.read(run_id).error
    view = service.read(run_id)
    assert view.warning == LET_GO and view.metrics == service.read(first).metrics and not view.log.of("error")
    assert service.predictor(first).predict(ROWS)  # loaded anew


def test_it_is_tried_once_more_and_not_for_ever(service, tmp_path, monkeypatch):
    recipe = make_recipe(tmp_path, training__epochs=1)
    first = service.submit(recipe)
    service.wait(first, 60)
    tries = []

    def full(self, number, total):
        tries.append(number)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Stepper, "step", full)
    for kept, expected in ((True, 2), (False, 1)):
        tries.clear()
        if kept:
            service.predictor(first)
        else:
            service.room.let_go()
        run_id = service.submit(recipe.replace({"name": f"kept {kept}"}))
        assert service.wait(run_id, 60).status == "failed" and len(tries) == expected
        assert "memory" in service.read(run_id).error["message"]


def test_on_a_gpu_room_is_made_before_the_run(monkeypatch):
    done = []
    room = Room(lambda: bool(done.append("let go")))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("emptied"))
    assert room.given(lambda: done.append("ran"), done.append) is None and done == ["let go", "emptied", "ran"]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    done.clear()
    room.given(lambda: done.append("ran"), done.append)
    assert done == ["ran"]


def test_both_pages_share_the_board_models_that_are_let_go(service):
    service.boards._kept.get("cell", lambda: object())
    assert service.room.let_go() and not service.room.let_go()


def test_the_queue_does_not_wait_for_a_page_that_loads_a_model(service, tmp_path, monkeypatch):
    recipe = make_recipe(tmp_path, training__epochs=1)
    first = service.submit(recipe)
    service.wait(first, 60)
    loading, go_on, real = threading.Event(), threading.Event(), answers_module.tuned_predictor

    def slow(*arguments):
        loading.set()
        assert go_on.wait(300)
        return real(*arguments)

    monkeypatch.setattr(answers_module, "tuned_predictor", slow)
    page = threading.Thread(target=service.predictor, args=(first,))
    page.start()
    try:
        assert loading.wait(30)
        ids = [service.submit(recipe.replace({"name": name})) for name in ("second", "third")]
        assert [service.wait(one, 120).status for one in ids] == ["finished", "finished"]
        assert service.predictor(ids[0], base=True).predict(ROWS)
    finally:
        go_on.set()
        page.join(60)


def test_each_thing_is_made_once_and_anew_once_it_was_forgotten():
    ready, made = Ready(2), []

    def make(name):
        made.append(name)
        return f"{name}{len(made)}"

    def one(name):
        return ready.get(name, lambda: make(name))

    assert [one("a"), one("b"), one("a"), one("c"), one("b")] == ["a1", "b2", "a1", "c3", "b4"]  # b was the oldest of three
    ready.forget(lambda name: name == "b")
    assert one("b") == "b5" and ready.clear() and not ready.clear() and one("b") == "b6"


def test_what_is_forgotten_while_it_is_made_is_not_kept():
    ready = Ready(2)
    assert ready.get("a", lambda: ready.forget(lambda name: name == "a") or "old") == "old"
    assert ready.get("a", lambda: "new") == "new"


def test_what_cannot_be_made_is_not_kept_and_takes_nobodys_place():
    ready = Ready(1)
    with pytest.raises(OutOfMemory):
        ready.get("a", lambda: (_ for _ in ()).throw(OutOfMemory("full")))
    assert ready.get("a", lambda: "made") == "made"
