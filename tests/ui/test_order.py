"""What a page shows does not go back: a slow look does not replace what an act showed meanwhile."""

from types import SimpleNamespace

import gradio as gr
import pandas as pd

from tests.ui.served import request_of
from workbench.ui.drafts import Drafts
from workbench.ui.frame import guarded
from workbench.ui.order import LATE, MOST_PAGES, Order
from workbench.ui.queue_list import Seen
from workbench.ui.session import Watch
from workbench.ui.tabs import board, method, train
from workbench.ui.tabs.prompt.editor import MOST_TEMPLATES, Unboxed
from workbench.ui.text import Words

CARD, ROWS = 1, 2


def test_a_look_that_began_before_an_act_ended_leaves_the_acts_answer_alone():
    order = Order()
    look, act = order.begin(), order.begin()
    assert order.passed("page", act, "labelling", [CARD], look=False) == "labelling"
    assert order.passed("page", look, ["nothing yet", "rows"], [CARD, ROWS], look=True) == [gr.skip(), "rows"]
    assert order.passed("page", order.begin(), "labelling on", [CARD], look=True) == "labelling on"


def test_a_look_that_began_while_an_act_went_on_is_no_news_either():
    order = Order()
    act = order.begin()
    look = order.begin()
    order.passed("page", act, "after", [CARD], look=False)
    assert order.passed("page", look, "before", [CARD], look=True) == gr.skip()


def test_of_two_looks_the_one_that_began_later_stays_whichever_ends_last():
    order = Order()
    older, newer = order.begin(), order.begin()
    assert order.passed("page", older, "old", [CARD], look=True) == "old"
    assert order.passed("page", newer, "new", [CARD], look=True) == "new"
    older, newer = order.begin(), order.begin()
    assert order.passed("page", newer, "new", [CARD], look=True) == "new"
    assert order.passed("page", older, "old", [CARD], look=True) == gr.skip()


def test_an_act_always_counts_and_what_it_skips_it_did_not_write():
    order = Order()
    look, act = order.begin(), order.begin()
    order.passed("page", order.begin(), "seen", [CARD], look=True)
    assert order.passed("page", act, [gr.skip(), pd.DataFrame({"a": [1]})], [CARD, ROWS], look=False)[0] == gr.skip()
    assert order.passed("page", look, gr.skip(), [CARD, ROWS], look=True) == gr.skip()
    assert order.passed("page", order.begin(), "card", [CARD], look=True) == "card"


def test_pages_do_not_hear_of_each_other_and_are_not_kept_for_ever():
    order = Order()
    look = order.begin()
    order.passed("other", order.begin(), "act", [CARD], look=False)
    assert order.passed("page", look, "mine", [CARD], look=True) == "mine"
    for number in range(MOST_PAGES + 5):
        order.passed(f"page {number}", order.begin(), "x", [CARD], look=False)
    assert len(order._pages) == MOST_PAGES
    assert order.passed("", order.begin(), "without a page", [CARD], look=True) == "without a page"


def test_the_pages_handlers_are_ordered(service):
    order, page = Order(), request_of()
    frame = SimpleNamespace(service=service, t=Words("en"), order=order, drafts=Drafts())
    act = guarded(lambda: "after", frame, [CARD], look=False, draft=None)

    def slow() -> str:
        assert act(page) == "after"
        return "before"

    def slow_steps():
        yield slow()

    assert guarded(slow, frame, [CARD], look=True, draft=None)(page) == gr.skip()
    assert list(guarded(slow_steps, frame, [CARD], look=True, draft=None)(page)) == [gr.skip()]


def test_an_answer_at_once_counts_as_gone_when_it_is_passed_and_a_step_that_says_nothing_never():
    order, queued = Order(), ({}, {})
    order.passed("page", order.begin(), "look", [CARD], look=True, queued=queued[0])
    order.passed("page", order.begin(), "act", [CARD], look=False)
    order.passed("page", order.begin(), gr.skip(), [CARD], look=False, queued=queued[1])
    assert queued[0][LATE]() == [0] and queued[1] == {}


def test_of_two_views_of_a_method_s_options_the_one_asked_for_last_stays(pages, tiny, monkeypatch):
    handlers, asked, answers = {fn.api_name: fn.fn for fn in pages("en").fns.values()}, request_of(), []
    before, after = (tiny.replace({"method": {"name": "lora", "r": r}}).model_dump() for r in (2, 4))

    def slow(service, recipe):
        if recipe.method["r"] == 2:
            answers.append(handlers["method_lora_r_view"](asked, after))
        return method.MethodView(1, 1, 0.1, [])

    monkeypatch.setattr(method, "view", slow)
    assert handlers["method_lora_alpha_view"](asked, before) == gr.skip() != answers[0]


def test_a_tick_that_was_under_way_does_not_undo_a_click_in_train(pages, service, tiny, finished, monkeypatch):
    other = service.submit(tiny.replace({"name": "other"}))
    assert service.wait(other, 120).status == "finished"
    handlers, asked = {fn.api_name: fn.fn for fn in pages("en").fns.values()}, request_of()
    options, look, answers = (0.0, False, False), train.view, []

    def slow(*looked):
        answers.append(handlers["queue_watch"](asked, Watch(finished), Seen((), other), *options))
        return look(*looked)

    drawn = handlers["train_poll"](asked, Watch(finished), Seen(), *options)
    assert drawn[0].run == finished, "nobody has clicked"
    monkeypatch.setattr(train, "view", slow)
    late = handlers["train_poll"](asked, Watch(finished), Seen(), *options)
    assert answers[0][0].run == other and late == [gr.skip()] * len(late)


def test_a_tick_that_was_under_way_does_not_undo_a_click_on_the_board(pages, service, monkeypatch):
    handlers, asked, answers = {fn.api_name: fn.fn for fn in pages("en").fns.values()}, request_of(), []

    def slow(service, watch):
        answers.append(handlers["board_choose"](asked, "other"))
        return watch.run

    monkeypatch.setattr(board, "view", slow)
    monkeypatch.setattr(board, "draw", lambda service, run_id: run_id)
    monkeypatch.setattr(board._Wiring, "updates", lambda self, shown, done, key: [shown] * self.size)
    late = handlers["board_poll"](asked, "board", Watch("first"), 0, None)
    assert set(answers[0]) == {"other"} and late == [gr.skip()] * len(late)


def test_a_look_between_a_keystroke_and_its_edit_shows_what_stands_in_the_box(pages, tiny):
    look = next(fn.fn for fn in pages("en").fns.values() if fn.api_name == "prompt_view")
    typed = ["My verdict : {text} It was [MASK] .", *[""] * (MOST_TEMPLATES - 1), Unboxed()]
    before, after = (recipe.model_dump() for recipe in (tiny, tiny.replace({"prompt.templates": typed[:1]})))
    between, later = (look(request_of(), "prompt", draft, 0, False, *typed)[0] for draft in (before, after))
    stood = look(request_of(), "prompt", before, 0, False, *tiny.prompt.templates, *typed[1:])[0]
    assert between == later != stood
