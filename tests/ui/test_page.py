"""The assembled page and its server: every handler has a name, both languages answer, and only this machine is let in."""

from collections import Counter

import pytest
from fastapi.testclient import TestClient

from tests.ui.program import Program
from tests.ui.served import request_of
from workbench.ui import page
from workbench.ui.server import MOST_OPEN_PAGES, application
from workbench.ui.text import preferred


@pytest.fixture(scope="module")
def client(service):
    with TestClient(application(service), base_url="http://127.0.0.1:7860") as client:
        yield client


@pytest.mark.parametrize("language", ["en", "zh"])
def test_named_handlers_make_a_scripting_interface(service, language):
    blocks = page.build(service, language)
    names = {fn.api_name for fn in blocks.fns.values() if fn.api_name}
    assert {"load", "preset", "model_load", "data_file", "data_upload", "data_only", "prompt_template_1", "method_name", "train_start",
            "train_pause", "train_resume", "train_stop", "train_poll", "try_ask", "runs_open", "runs_delete"} <= names


@pytest.mark.parametrize(("language", "word"), [("en", "Prompt Workbench"), ("zh", "Prompt 工作台")])
def test_the_page_answers_in_both_languages(client, language, word):
    answer = client.get(f"/{language}/")
    assert answer.status_code == 200 and word in answer.text


def test_pages_that_were_opened_and_left_are_forgotten_and_one_that_comes_back_is_filled_by_its_browser(served, monkeypatch):
    holder = next(route.app for route in served.guard.app.routes if route.path == "/en").state_holder
    assert holder.capacity == MOST_OPEN_PAGES
    monkeypatch.setattr(holder, "capacity", 3)
    program = Program(served.url)
    load, rename = program.endpoint("load"), program.endpoint("recipe_name")
    assert program.call(load).ok
    _, _, _, browser = program.call(rename, [None, "mine"]).data
    for _ in range(5):
        other = Program(served.url)
        assert other.call(load).ok
        other.close()
    assert program.session not in holder and len(holder.session_data) == 3
    # Not loaded anew: what the page still shows is what an edit changes.
    edited = program.call(program.endpoint("train_batch_size"), [None, 4]).data[2]
    assert "name: mine" in edited and "batch_size: 4" in edited
    stranger = Program(served.url)
    assert "name: mine" not in stranger.call(program.endpoint("train_batch_size"), [None, 4]).data[2]
    stranger.close()
    answer = program.call(load, [browser, *load.values[1:]])
    assert answer.ok and "name: mine" in answer.data[2]
    assert "name: mine too" in program.call(rename, [None, "mine too"]).data[2]
    program.close()


def test_the_pages_name_no_other_host_for_fonts_or_styles(client):
    for place in ("/en/", "/en/theme.css"):
        text = client.get(place).text
        assert "fonts.googleapis" not in text and "fonts.gstatic" not in text.replace('href="https://fonts.gstatic.com"', "")


@pytest.mark.parametrize(
    ("wish", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB", "en"), ("fr", "en"), ("fr,zh;q=0.2", "zh"), ("", "en"), (";q=x", "en")],
)
def test_the_root_follows_the_browser(client, wish, language):
    answer = client.get("/", headers={"accept-language": wish}, follow_redirects=False)
    assert answer.headers["location"] == f"/{language}/"
    assert preferred(wish, ("en", "zh")) == language


def test_no_id_stands_twice_on_the_page(service):
    counted = Counter(name for block in page.build(service, "en").blocks.values() if (name := getattr(block, "elem_id", None)))
    assert len(counted) > 100 and [name for name, times in counted.items() if times > 1] == []


def test_a_revision_goes_with_the_model_that_it_is_of(service, tiny):
    handlers = {fn.api_name: fn.fn for fn in page.build(service, "en").fns.values()}
    draft = tiny.replace({"model.path": "bert-base-uncased", "model.revision": "refs/pr/1"}).model_dump()
    assert handlers["model_source_revision"](request_of(), draft) == "refs/pr/1"
    taken = handlers["model_source"](request_of(), draft, "embedded", "embedded:tiny-en", "", "bert-base-uncased")[0]
    assert taken["model"]["revision"] is None and handlers["model_source_revision"](request_of(), taken) == ""
    back = handlers["model_source"](request_of(), taken, "hub", None, "", "bert-base-uncased")[0]
    assert back["model"]["revision"] is None and handlers["model_source_revision"](request_of(), back) == ""


def test_the_charts_of_a_training_stand_side_by_side_and_on_a_tablet_one_below_the_other(pages):
    """Their column is 438 px wide at 768 px, and 900 at 1280: half of the former is hardly more than an axis."""
    widths = [block.min_width for block in pages("en").blocks.values() if block.elem_id in ("train-loss", "train-accuracy")]
    assert len(widths) == 2 and 438 < sum(widths) < 900


def test_nothing_but_tabs_stands_between_the_tabs(service):
    """gradio counts a tab's place among all that stands there: one hidden state, and the next tab covers its neighbour."""
    built = page.build(service, "en")
    tabs = next(block for block in built.blocks.values() if getattr(block, "elem_id", None) == "tabs")
    assert [type(child).__name__ for child in tabs.children] == ["Tab"] * len(page.TABS)
