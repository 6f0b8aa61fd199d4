"""Who may read what: files, folders, hub, and that nobody is told what exists elsewhere."""

import threading

import pytest

from workbench.access import OWNER, Places, Principal, Role, acting, acting_as, may_see
from workbench.data.readers import read_table
from workbench.errors import AccessError
from workbench.models.loading import find_model
from workbench.models.pool import ModelPool
from workbench.recipe import ModelPart
from workbench.ui import rows

BOB = Principal("bob", Role.USER)
PAYLOADS = (
    "../x.csv", "..\\x.csv", "/etc/passwd", "C:\\windows\\win.ini", "%2e%2e/x.csv", "%252e%252e/x.csv",
    "a\x00.csv", "~/x.csv", "$HOME/x.csv",
    "file:///etc/passwd", "//host/x.csv", "CON", "x.csv ", "x.csv.", "a" * 400, "", ".", "..", "a\u202ecsv.exe", "\uff0e\uff0e/x.csv",
    "a\nb.csv", ".env",
)


@pytest.fixture
def places(tmp_path):
    for name in ("data", "data_evil", "models", "models_evil/bert"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("data", "data_evil"):
        (tmp_path / name / "rows.csv").write_text("text,label\na,1\nb,2\n")
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "data_evil" / "rows.csv")
    return Places(data=((tmp_path / "data").resolve(),), models=((tmp_path / "models").resolve(),), hub=False)


@pytest.fixture
def client(places):
    with acting_as(Principal("bob", Role.USER, places)):
        yield


def test_reading_is_confined_to_the_places(tmp_path, client):
    assert len(read_table(tmp_path / "data" / "rows.csv").rows) == 2
    for path in (tmp_path / "data_evil" / "rows.csv", tmp_path / "data" / "link.csv", tmp_path / "data" / ".." / "data_evil" / "rows.csv"):
        with pytest.raises(AccessError):
            read_table(path)
        with pytest.raises(AccessError):
            rows.table(str(path))


def test_a_file_read_before_by_the_owner_is_not_shown_from_the_cache(tmp_path, places):
    path = str(tmp_path / "data_evil" / "rows.csv")
    rows.table(path)
    with acting_as(Principal("bob", Role.USER, places)), pytest.raises(AccessError):
        rows.table(path)


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
def test_what_is_out_of_bounds_and_what_is_not_there_sound_the_same(client, payload):
    with pytest.raises(AccessError) as data:
        read_table(payload)
    assert "presets and from uploads" in data.value.message


@pytest.mark.parametrize("path", ["../models_evil/bert", "/etc", "~", "./x", "models_evil/bert"])
def test_models_outside_the_roots_are_refused(tmp_path, client, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AccessError):
        find_model(path)
    with pytest.raises(AccessError):
        ModelPool().get(ModelPart(path=path))


def test_a_model_below_a_root_is_found_and_the_hub_is_not_asked(tmp_path, client):
    (tmp_path / "models" / "bert").mkdir()
    assert find_model(str(tmp_path / "models" / "bert")).name == "bert"
    with pytest.raises(AccessError, match="hub"):
        find_model("bert-base-uncased")


def test_the_owner_sees_everything_and_others_their_own():
    assert may_see("bob") and may_see(OWNER.name)
    with acting_as(BOB):
        assert may_see("bob") and not may_see(OWNER.name) and not may_see("eve")


def test_acting_ends_with_the_block_and_does_not_reach_other_threads():
    seen = []
    with acting_as(BOB):
        thread = threading.Thread(target=lambda: seen.append(acting()))
        thread.start()
        thread.join()
        assert acting() is BOB
    assert seen == [OWNER] and acting() is OWNER
