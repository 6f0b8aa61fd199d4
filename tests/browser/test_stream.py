"""The page's stream of answers against a server whose messages come exactly when the test says: no call is lost, whatever crosses."""

from __future__ import annotations

import pytest

from workbench.recipe import PROJECT

STREAM = PROJECT / "workbench" / "ui" / "stream.js"

# A server with a door for the test: `taken` lists the connections it was asked for; each has say(message), end() and cut().
SERVER = """() => {
    window.taken = [];
    window.calls = 0;
    window.fetch = async (resource) => {
        const url = resource.url ?? resource;
        if (url.endsWith("/queue/join")) {
            const id = `call-${++window.calls}`;
            await window.delay;
            return new Response(JSON.stringify({event_id: id}));
        }
        if (!url.includes("/queue/data")) return new Response("something else");
        const connection = {};
        const body = new ReadableStream({start(to) {
            connection.say = (message) => to.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(message)}\\n\\n`));
            connection.end = () => to.close();
            connection.cut = () => to.error(new TypeError("cut"));
        }});
        window.taken.push(connection);
        return new Response(body);
    };
    delete window.delay;
}"""
# What gradio's client does: asks once for the stream and reads it for good.
CLIENT = """() => {
    window.got = [];
    window.broke = null;
    window.join = () => fetch("http://page/en/gradio_api/queue/join", {method: "POST"}).then(answer => answer.json());
    window.read = async () => {
        const answer = await fetch(new Request("http://page/en/gradio_api/queue/data?session_hash=one"));
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        try {
            for (let part = await reader.read(); !part.done; part = await reader.read()) {
                for (const line of part.value.split("\\n\\n")) if (line) window.got.push(JSON.parse(line.slice(6)));
            }
        } catch (error) { window.broke = String(error); }
    };
    window.soon = () => new Promise(done => setTimeout(done, 20));
}"""
ANSWER = "id => ({msg: 'process_completed', event_id: id, output: {}})"


@pytest.fixture
def page(chromium):
    context = chromium.new_context()
    page = context.new_page()
    page.evaluate(SERVER)
    page.evaluate(STREAM.read_text(encoding="utf-8"))
    page.evaluate(CLIENT)
    page.evaluate(f"() => {{ window.answer = {ANSWER}; window.close_stream = {{msg: 'close_stream', event_id: null}}; }}")
    yield page
    context.close()


def ids(page) -> list[str]:
    return [message["event_id"] for message in page.evaluate("got") if message["msg"] == "process_completed"]


def test_a_call_made_while_the_end_is_on_its_way_is_answered(page):
    page.evaluate("""async () => {
        await join(); read(); await soon();
        taken[0].say(answer("call-1"));
        await join();                              // the server already ended the first connection, the page has not read so
        taken[0].say(close_stream); taken[0].end(); await soon();
        taken[1].say({msg: "process_starts", event_id: "call-2"}); taken[1].say(answer("call-2"));
        taken[1].say(close_stream); taken[1].end(); await soon();
    }""")
    assert ids(page) == ["call-1", "call-2"]
    assert page.evaluate("taken.length") == 2 and page.evaluate("broke") is None
    assert all(message["msg"] != "close_stream" for message in page.evaluate("got"))


def test_a_new_call_gets_a_new_connection_only_after_the_last_one_was_read_to_its_end(page):
    page.evaluate("""async () => {
        await join(); read(); await soon();
        taken[0].say(answer("call-1")); taken[0].say(close_stream); await soon();
        await join(); await soon(); window.before = taken.length;   // said to be over, not yet over
        taken[0].end(); await soon(); window.after = taken.length;
        taken[1].say(answer("call-2")); taken[1].say(close_stream); taken[1].end(); await soon();
        await join(); await soon();
        taken[2].say(answer("call-3")); taken[2].say(close_stream); taken[2].end(); await soon();
    }""")
    assert (page.evaluate("before"), page.evaluate("after")) == (1, 2)
    assert ids(page) == ["call-1", "call-2", "call-3"]


def test_an_answer_that_overtakes_its_call_is_passed_on_and_nothing_waits_for_it(page):
    page.evaluate("""async () => {
        await join(); read(); await soon();
        let late; window.delay = new Promise(done => { late = done; });
        const second = join(); await soon();
        taken[0].say(answer("call-1")); taken[0].say(answer("call-2")); taken[0].say(close_stream); taken[0].end(); await soon();
        late(); await second; await soon();
    }""")
    assert ids(page) == ["call-1", "call-2"] and page.evaluate("taken.length") == 1


@pytest.mark.parametrize("end", ["cut", "end"])
def test_a_connection_that_breaks_is_told_to_the_client(page, end):
    page.evaluate(f"async () => {{ await join(); read(); await soon(); taken[0].{end}(); await soon(); }}")
    assert page.evaluate("broke")


def test_other_requests_pass_untouched(page):
    assert page.evaluate("async () => (await fetch('http://page/en/gradio_api/info')).text()") == "something else"
