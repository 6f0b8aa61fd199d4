import contextlib
import json
import multiprocessing
import re
import stat

import pytest

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.runs.store import RunStore


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path)
    yield store
    store.close()


def test_ids_are_server_made_and_sortable(store):
    run_id = store.add(Recipe(name="../../etc"))
    assert re.fullmatch(r"\d{8}-\d{4}-[0-9a-f]{6}", run_id)
    assert store.folder(run_id).is_relative_to(store.root)


def test_a_new_data_root_is_closed_to_others_and_one_that_is_there_stays_as_it_was_set(tmp_path):
    for mode, root in ((0o700, tmp_path / "not" / "there"), (0o750, tmp_path / "group"), (0o500, tmp_path / "read")):
        if root.parent == tmp_path:
            root.mkdir()
            (root / "runs").mkdir()
            (root / "writer.lock").touch()
            root.chmod(mode)
        with contextlib.suppress(RunError):  # of the last one, when root does not run the tests
            RunStore(root).close()
        assert stat.S_IMODE(root.stat().st_mode) == mode
        root.chmod(0o700)


@pytest.mark.parametrize("bad", ["..", ".", "", "../x", "A", "a/b", "a\\b", "-x", "x" * 65, "a\n"])
def test_a_folder_is_never_outside_the_root(store, bad):
    with pytest.raises(RunError):
        store.folder(bad)


def test_a_run_is_found_by_its_id_or_unique_start(store):
    first, second = store.add(Recipe()), store.add(Recipe())
    assert store.resolve(first) == first
    own = next(n for n in range(len(second)) if first[:n] != second[:n])
    assert store.resolve(second[:own]) == second
    for prefix in (second[: own - 1], "", "zzz"):
        with pytest.raises(RunError):
            store.resolve(prefix)


def test_the_index_is_rebuilt_from_the_folders(tmp_path):
    store = RunStore(tmp_path)
    run_id = store.add(Recipe(name="影评"), key="k")
    store.update(run_id, status="finished", metrics={"accuracy": 0.5})
    before = store.records()
    store.close()
    for file in tmp_path.glob("index.sqlite3*"):
        file.unlink()
    store = RunStore(tmp_path)
    assert store.records() == before and store.with_key("k") == run_id
    store.close()
    (tmp_path / "index.sqlite3").write_bytes(b"not a database" * 500)
    store = RunStore(tmp_path)
    assert store.records() == before
    store.close()


def test_a_damaged_state_falls_back_on_the_recipe(tmp_path):
    store = RunStore(tmp_path)
    run_id = store.add(Recipe(name="kept"))
    store.close()
    (tmp_path / "index.sqlite3").unlink()
    (tmp_path / "runs" / run_id / "state.json").write_text("{torn")
    store = RunStore(tmp_path)
    assert [(r.name, r.status) for r in store.records()] == [("kept", "interrupted")]
    store.close()


def test_what_a_dead_process_left_running_is_interrupted(tmp_path):
    store = RunStore(tmp_path)
    ids = {status: store.add(Recipe()) for status in ("running", "paused", "stopping", "queued", "finished")}
    for status, run_id in ids.items():
        store.update(run_id, status=status)
    store.close()
    reader = RunStore(tmp_path, writable=False)
    assert {s: reader.record(i).status for s, i in ids.items()} == {
        "running": "interrupted",
        "paused": "interrupted",
        "stopping": "interrupted",
        "queued": "queued",
        "finished": "finished",
    }
    assert json.loads((tmp_path / "runs" / ids["running"] / "state.json").read_text())["status"] == "running"
    store = RunStore(tmp_path)
    assert store.record(ids["paused"]).status == "interrupted"
    assert json.loads((tmp_path / "runs" / ids["paused"] / "state.json").read_text())["status"] == "interrupted"
    store.close()


def _open(root, answers):
    try:
        RunStore(root).close()
        answers.put("opened")
    except RunError as error:
        answers.put(error.message)


def test_a_second_writer_is_refused_and_a_reader_is_not(store):
    run_id = store.add(Recipe())
    store.update(run_id, status="running")
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_open, args=(store.root, answers))
    process.start()
    assert "already using" in answers.get(timeout=60)
    process.join()
    assert RunStore(store.root, writable=False).record(run_id).status == "running"


def test_reading_an_absent_root_makes_nothing(tmp_path):
    assert RunStore(tmp_path / "absent", writable=False).records() == []
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "no space"), ZeroDivisionError()])
@pytest.mark.parametrize("step", ["_insert", "_write_state"])
def test_a_run_that_was_not_taken_whole_leaves_nothing(store, monkeypatch, step, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(store, step, fail)
    with pytest.raises(RunError if isinstance(error, OSError) else type(error)):
        store.add(Recipe())
    assert store.records() == [] and list((store.root / "runs").iterdir()) == []


def test_a_root_that_could_not_be_opened_is_free_again(tmp_path, monkeypatch):
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        broken.setattr(RunStore, "_sync_with_folders", lambda self: 1 / 0)
        RunStore(tmp_path)
    RunStore(tmp_path).close()


def test_removed_runs_are_gone(store):
    run_id = store.add(Recipe())
    store.remove(run_id)
    assert store.records() == [] and list((store.root / "runs").iterdir()) == []
