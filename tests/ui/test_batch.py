"""A whole file in Try it: the page says how far it is, and Stop ends it at the next batch with nothing written."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from tests.ui.served import request_of
from workbench.serving.scoring import Dropped
from workbench.ui.markup import stage_text
from workbench.ui.take_away import discard
from workbench.ui.telling import telling
from workbench.ui.text import Words, languages


@pytest.fixture
def handlers(pages):
    return {fn.api_name: fn.fn for fn in pages("en").fns.values()}


@pytest.fixture
def many(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.models.transfer.SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr("workbench.ui.batch.keep_upload", lambda upload, root: upload)
    file = tmp_path / "many.csv"
    file.write_text("\n".join(["id,text", *(f"{n},the {'film ' * (n % 30)}was nice" for n in range(900))]) + "\n", encoding="utf-8")
    return str(file)


def test_the_bar_names_the_stage_its_share_and_the_time_left(handlers, finished, many):
    told = []
    taken, said = handlers["try_batch"](
        request_of(), request_of(), finished, many, lambda share, desc: told.append((share, desc))
    )
    assert taken["visible"] and "900" in said
    assert told[0] == (None, "Reading the weights") and told[-1] == (None, "Writing the answers")
    assert any(share and "Answering, " in desc and desc.endswith(" left") for share, desc in told)


def test_stop_ends_it_and_gives_nothing(handlers, finished, many):
    told = []

    def bar(share, desc):
        told.append(desc)
        if share:
            assert handlers["try_batch_stop"](request_of(session="other"), request_of(session="other"))["visible"] is False
            if len([one for one in told if "Answering" in one]) == 3:
                handlers["try_batch_stop"](request_of(), request_of())

    taken, said = handlers["try_batch"](request_of(), request_of(), finished, many, bar)
    assert "value" not in taken and "nothing was written" in said
    assert len([one for one in told if "Answering" in one]) == 3, "another page's Stop is not this page's"


def test_take_away_says_its_steps(handlers, finished):
    told = []
    said, file, _ = handlers["take_away"](request_of(), finished, "folder", None, lambda share, desc: told.append(desc))
    assert told[0] == "Asking the run" and any(step.startswith("Running it by itself") for step in told) and told[-1] == "Packing"
    assert file["visible"] and "fresh process" in said


def test_a_page_keeps_one_parcel_and_a_failure_leaves_none(handlers, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("workbench.ui.frame.gr.Warning", lambda text, **options: None)

    def pack(kind, before):
        return handlers["take_away"](request_of(), finished, kind, before, lambda share, desc: None)

    first = pack("recipe", None)
    second = pack("script", first[2])
    assert [place.name for place in tmp_path.iterdir()] == [second[2]] and Path(second[1]["value"]).parent == tmp_path / second[2]
    assert handlers["take_away_begins"](request_of())[1] == gr.update(value=None, visible=False)
    monkeypatch.setattr("workbench.runs.takeaway.shutil.disk_usage", lambda place: SimpleNamespace(free=0))
    assert pack("merged", second[2]) == gr.skip() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("named", ["kept", "taken-a/../../kept", "taken-", ".", "", None])
def test_a_page_throws_away_nothing_but_its_parcels(named, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary" / "kept").mkdir(parents=True)
    (tmp_path / "temporary" / "taken-a").mkdir()
    (tmp_path / "kept").mkdir()
    for given in (named, named and str(tmp_path / named)):
        discard(given)
    assert (tmp_path / "kept").is_dir() and {place.name for place in (tmp_path / "temporary").iterdir()} == {"kept", "taken-a"}
    discard("taken-a")
    assert [place.name for place in (tmp_path / "temporary").iterdir()] == ["kept"]


@pytest.mark.parametrize("language", sorted(languages()))
def test_every_stage_has_its_words(language):
    from workbench.runs.export import STAGES

    t = Words(language)
    for stage in (*STAGES, "pack", "read", "answer", "save", "weights", "score"):
        assert stage_text(stage, t) != stage


def test_whoever_does_not_wait_any_more_is_not_told():
    with pytest.raises(Dropped):
        telling(lambda *values, **words: None, Words("en"), lambda: True)("answer", 0.5)
