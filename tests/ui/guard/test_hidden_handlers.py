"""Every handler called as the queue would call it, with what belongs to others and with paths in every text it takes.

gradio checks choices and bounds before a handler runs, and hides what the page does not show; neither counts here: each function behind
the page is called directly, state included, for a user and for a visitor. What refuses them is the service.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.helpers import special_args

from tests.tiny_runs import make_recipe
from tests.ui.guard.payloads import PATHS, Opened, fingerprint
from workbench.access import Places, Principal, Role, acting_as
from workbench.recipe import PRESETS
from workbench.runs.service import RunService
from workbench.ui import frame, page
from workbench.ui.session import Watch, first_draft
from workbench.ui.uploads import keep_upload

SECRET = "canary-of-ada"
# What a text of an input, or the plain value of a state, is made of on the page; everything else has a value of its own kind.
TEXTUAL = ("textbox", "dropdown", "code", "radio", "state", "browserstate", "file", "uploadbutton", "multimodaltextbox")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A service with a finished run of ada's over a file that she uploaded, and the page's functions in front of it."""
    root = tmp_path_factory.mktemp("hidden") / "root"
    service = RunService(root)
    upload = tmp_path_factory.mktemp("upload") / f"{SECRET}.csv"
    recipe = make_recipe(upload.parent, training__epochs=1)
    text = (upload.parent / "data.csv").read_text(encoding="utf-8").replace("the ", f"{SECRET} ")
    upload.write_text(text, encoding="utf-8")
    ada = Principal("ada", Role.USER)
    with acting_as(ada):
        hers = service.submit(recipe.replace({"data.train": keep_upload(str(upload), root), "name": SECRET}))
        assert service.wait(hers, 120).status == "finished"
        service.lab.keep(service.read(hers).recipe, [])
    # The page of the others stands on a tiny model too, or every preview would cost a real one.
    shutil.copy(upload.parent / "data.csv", root / "uploads" / "open.csv")
    theirs = recipe.replace({"data.train": str(root / "uploads" / "open.csv")}).model_dump()
    models = (upload.parent / "model",)
    (root / "temporary").mkdir()
    yield SimpleNamespace(service=service, root=root, run=hers, blocks=page.build(service, "en"), draft=theirs, models=models)
    service.close()


@pytest.fixture
def said(monkeypatch):
    """The sentences that people would see."""
    sentences: list[str] = []
    monkeypatch.setattr(frame.gr, "Warning", lambda message="", **options: sentences.append(message))
    return sentences


def somebody(role: Role, served: Any) -> Principal:
    places = Places(data=(PRESETS / "data", served.root / "uploads"), models=served.models, hub=False)
    return Principal("bob", role, places)


def ask(function: Any, principal: Principal, values: list[Any]) -> str:
    """Everything that a handler answers to `principal`, as text."""
    request = SimpleNamespace(request=SimpleNamespace(scope={"state": {"principal": principal}}), session_hash="of-bob")
    answer = function.fn(*special_args(function.fn, list(values), request)[0])
    if hasattr(answer, "__next__"):
        answer = [step for step, _ in zip(answer, range(3), strict=False)]
    return json.dumps(answer, default=_plain)


def _plain(value: Any) -> Any:
    return value.to_json() if hasattr(value, "to_json") else vars(value) if hasattr(value, "__dict__") else repr(value)


def usual(component: Any, draft: dict[str, Any]) -> Any:
    """What an input holds on a fresh page."""
    value = getattr(component, "value", None)
    return draft if isinstance(value, dict) and "prompt" in value else value


def handlers(blocks: Any) -> list[Any]:
    """The page's own functions that take something; what a click on a row says is the browser's to give, so those are left out."""
    found = []
    for fn in blocks.fns.values():
        takes = getattr(fn.fn, "__annotations__", {})
        clicked = any(isinstance(kind, type) and issubclass(kind, gr.EventData) for kind in takes.values())
        if fn.inputs and "request" in takes and not clicked:
            found.append(fn)
    return found


def in_place_of(component: Any, value: Any, *, run: str | None = None, draft: dict[str, Any] | None = None) -> Any:
    """What an enemy would put there, in the form that this input has: somebody's run, or a recipe over somebody's files; else None."""
    if isinstance(value, Watch):
        return Watch(run) if run else None
    if isinstance(value, dict) and "prompt" in value:
        return draft
    kind = component.get_block_name()
    if kind == "browserstate":
        return {"draft": draft or {}, "tab": "train", "run": run}
    if kind not in TEXTUAL or not isinstance(value, str | None):
        return None
    return run or (draft and draft["data"]["train"])


@pytest.mark.parametrize("role", [Role.USER, Role.VISITOR])
def test_nothing_of_somebody_elses_run_is_told_changed_or_stopped(served, said, role):
    bob = somebody(role, served)
    before, tried = fingerprint(served.root / "runs" / served.run), 0
    for function in handlers(served.blocks):
        values = [usual(component, served.draft) for component in function.inputs]
        for place, component in enumerate(function.inputs):
            value = in_place_of(component, values[place], run=served.run)
            if value is not None:
                told = ask(function, bob, [*values[:place], value, *values[place + 1 :]])
                assert SECRET not in told, (function.api_name, place)
                tried += 1
    assert tried > 100 and not [sentence for sentence in said if SECRET in sentence]
    assert fingerprint(served.root / "runs" / served.run) == before
    with acting_as(Principal("ada", Role.USER)):
        assert served.service.read(served.run).status == "finished"


@pytest.mark.parametrize("payload", PATHS[::6], ids=repr)
def test_a_recipe_over_files_of_the_server_reads_none_of_them(served, said, payload, tmp_path, monkeypatch):
    """The draft of a session with a path where files and models are named: every view and every button is then asked for it."""
    monkeypatch.setattr(tempfile, "tempdir", str(served.root / "temporary"))  # where uploads arrive, as app.py says it
    canary = tmp_path / "secret.csv"
    canary.write_text(f"text,label\n{SECRET} a,x\n{SECRET} b,y\n", encoding="utf-8")
    place = payload.replace("CANARY", str(canary))
    bob, draft = somebody(Role.USER, served), served.draft
    foreign = {**draft, "data": {**draft["data"], "train": place, "validation": place, "unlabeled": place}}
    foreign["model"] = {**draft["model"], "path": place}
    foreign["job"] = {"kind": "search", "what": "template", "how": "generate", "generator": place}
    with Opened(tmp_path) as opened:
        for function in handlers(served.blocks):
            values = [usual(component, draft) for component in function.inputs]
            enemy = [in_place_of(component, value, draft=foreign) for component, value in zip(function.inputs, values, strict=True)]
            given = [value if other is None else other for value, other in zip(values, enemy, strict=True)]
            told = ask(function, bob, given)
            assert SECRET not in told and "root:x:0" not in told, function.api_name
    assert opened.files == [], "\n".join(opened.files)
    assert len(said) > 10


def test_a_visitor_can_call_none_of_the_owners_actions(served, said, tmp_path):
    visitor = somebody(Role.VISITOR, served)
    with acting_as(visitor):
        for started in served.service.runs():  # by a start that named somebody else's run as the one in view, which is a start all the same
            served.service.stop(started.id)
            served.service.wait(started.id, 60)
        before = [run.id for run in served.service.runs()]
        own = served.service.submit(served.service.store.recipe(served.run).replace({
            "name": "mine", "model.path": "embedded:tiny-en", "model.device": "cpu", "data.split.shots": 2, "data.split.validation": 2,
            "data.train": str(PRESETS / "data" / "en_movie_reviews.csv"), "training.epochs": 1, "prompt.max_length": 16,
            "prompt.verbalizer": {"kind": "manual", "words": {"positive": ["great"], "negative": ["bad"]}}, "method": {"name": "bias"},
        }))  # fmt: skip
        served.service.stop(own)
    served.service.wait(own, 60)
    by_name = {function.api_name: function for function in handlers(served.blocks)}
    folder = shutil.copytree(PRESETS / "models" / "tiny-en", tmp_path / "model")
    draft = first_draft("en")
    refused = {
        "runs_delete": [own, Watch(own)],
        "model_convert": [str(folder), str(tmp_path / "converted")],
        "model_load": [{**draft, "model": {**draft["model"], "path": str(folder)}}],
        "train_start": [{**draft, "training": {**draft["training"], "epochs": 21}}, Watch(None)],
    }
    for name, values in refused.items():
        said.clear()
        ask(by_name[name], visitor, values)
        assert len(said) == 1 and said[0].rstrip().endswith("."), (name, said)
    hub = {**draft, "model": {**draft["model"], "path": "owner/model"}}
    said.clear()
    ask(by_name["model_load"], visitor, [hub])
    assert "hub" in said[0]
    with acting_as(visitor):
        assert [run.id for run in served.service.runs()] == [own, *before] and not (tmp_path / "converted").exists()
