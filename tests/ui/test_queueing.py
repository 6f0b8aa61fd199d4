"""Edits wait for those of their own page only, in the order in which they came, a few at once."""

from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.server_messages import ProcessCompletedMessage

from workbench.ui.order import Order
from workbench.ui.queueing import EDIT, IN_ORDER, MOST_EDITS, OWN, adapt, queued_state


@pytest.fixture
def queue():
    with gr.Blocks() as page:
        box = gr.Textbox()
        box.input(lambda text: text, box, box, **IN_ORDER)
        box.submit(lambda text: text, box, box)
    page.queue()
    adapt(page)
    for function in page.fns.values():
        page._queue.create_event_queue_for_fn(function)
    page._queue.page = page
    return page._queue


def ask(queue, session, number=0):
    """Puts a call of the page's handler `number` into the queue, as gradio's `push` does."""
    import gradio.queueing

    event = gradio.queueing.Event(session, queue.page.fns[number], SimpleNamespace(), None)
    queue.event_queue_per_concurrency_id[event.concurrency_id].queue.append(event)
    return event


def take(queue):
    """The next call, at work from now on."""
    found = queue.get_events()
    if found is None:
        return None
    (event,), _, name = found
    queue.event_queue_per_concurrency_id[name].current_concurrency += 1
    return event


def done(queue, event):
    queue.event_queue_per_concurrency_id[event.concurrency_id].current_concurrency -= 1


def test_a_page_s_edits_come_one_at_a_time_and_others_do_not_wait_for_them(queue):
    first, second, other = ask(queue, "a"), ask(queue, "a"), ask(queue, "b")
    assert take(queue) is first and take(queue) is other and take(queue) is None
    done(queue, first)
    assert take(queue) is second


def test_who_has_waited_longest_is_next_and_only_a_few_work_at_once(queue):
    events = [ask(queue, f"page-{number}") for number in range(MOST_EDITS + 2)]
    assert [take(queue) for _ in range(MOST_EDITS)] == events[:MOST_EDITS] and take(queue) is None
    other = ask(queue, "page-0", 1)
    assert other.concurrency_id != EDIT and take(queue) is other  # what is no edit does not wait for edits
    done(queue, events[2])
    assert take(queue) is events[MOST_EDITS]


def test_queues_of_pages_that_are_gone_do_not_add_up(queue):
    for number in range(50):
        event = ask(queue, f"page-{number}")
        assert take(queue) is event
        done(queue, event)
    own = [name for name in dict.keys(queue.event_queue_per_concurrency_id) if name.startswith(OWN)]
    assert len(own) == 1
    with pytest.raises(KeyError):
        queue.event_queue_per_concurrency_id["nothing"]


def test_nothing_is_counted_that_nobody_looks_at(queue):
    queue.event_analytics["one"] = {"function": "f", "status": "success", "process_time": 0.1}
    queue.events_recorded = 5
    assert queue.compute_analytics_summary(list(queue.event_analytics.values())) == {"functions": {}}


def test_an_answer_that_another_overtook_on_its_way_out_leaves_the_other_s_alone(queue):
    order, card, rows, told = Order(), 1, 2, []
    queue.pending_messages_per_session["a"] = SimpleNamespace(put_nowait=lambda message: told.append(message.output["data"]))

    def answered(values, outputs):
        event = ask(queue, "a")
        event.request.scope = {"path": "/en/gradio_api/queue/join", "state": {}}
        state = queued_state(event.request.scope)
        passed = order.passed("a", order.begin(), values, outputs, look=False, queued=state)
        return event, passed if isinstance(passed, list) else [passed]

    old, new = answered(["old", "rows"], [card, rows]), answered("new", [card])
    for event, data in (new, old):  # ready at the same time, they may leave either way
        queue.send_message(event, ProcessCompletedMessage(output={"data": list(data)}, success=True))
    assert told == [["new"], [gr.skip(), "rows"]]
