"""The queue outlives whatever goes wrong around it: a database that does not answer for a moment, and a worker that is gone."""

from __future__ import annotations

import shutil
import sqlite3
import threading

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import RunError
from workbench.runs import service as service_module
from workbench.runs.faults import LOG_FILE


class Failing:
    """A database that answers the worker's next `times` statements with an error."""

    def __init__(self, real, error: Exception, times: int) -> None:
        self._real, self._error, self.left = real, error, times

    def execute(self, statement, values=()):
        if self.left and threading.current_thread().name == "runs":
            self.left -= 1
            raise self._error
        return self._real.execute(statement, values)

    def close(self):
        self._real.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(service_module, "SECONDS_BETWEEN_TRIES", 0.02)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), sqlite3.DatabaseError("database disk image is malformed")])
@pytest.mark.parametrize("times", [1, 7])
def test_a_database_error_does_not_end_the_queue(service, tmp_path, quick, error, times):
    service.wait(service.submit(make_recipe(tmp_path, training__epochs=1)), 60)
    service.store._database = Failing(service.store._database, error, times)
    run_id = service.submit(make_recipe(tmp_path, training__epochs=1, name="second"))
    assert service.wait(run_id, 60).status in ("finished", "failed")  # the error may have met the run itself, which then says so
    again = service.submit(make_recipe(tmp_path, training__epochs=1, name="third"))
    assert service.wait(again, 60).status == "finished" and service.store._database.left == 0
    if service.store.record(run_id).status == "finished":
        assert str(error) in (service.root / LOG_FILE).read_text(encoding="utf-8")


def test_a_run_whose_folder_was_taken_away_leaves_the_list_and_the_queue_goes_on(service, tmp_path, quick, monkeypatch):
    """As after `rm -rf runs/ID` while it trains."""
    with monkeypatch.context() as patch:
        patch.setattr(service, "_carry_out", lambda run_id, control: shutil.rmtree(service.store.folder(run_id)) or {})
        gone = service.submit(make_recipe(tmp_path, training__epochs=1))
        with pytest.raises(RunError, match="no run"):
            service.wait(gone, 120)
    run_id = service.submit(make_recipe(tmp_path, training__epochs=1, name="next"))
    assert service.wait(run_id, 60).status == "finished" and [run.id for run in service.runs()] == [run_id]


def test_a_worker_that_has_died_is_started_anew(service, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(service, "_work", lambda: None)
    run_id = service.submit(make_recipe(tmp_path, training__epochs=1))
    service._worker.join(10)
    assert service.read(run_id).status == "queued"
    monkeypatch.undo()
    later = service.submit(make_recipe(tmp_path, training__epochs=1, name="later"))
    assert [service.wait(one, 60).status for one in (run_id, later)] == ["finished", "finished"]


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database is locked"), sqlite3.DatabaseError("malformed")])
def test_a_database_that_does_not_answer_is_a_sentence(service, error):
    threading.current_thread().name, before = "runs", threading.current_thread().name
    try:
        for ask in (service.runs, lambda: service.read("20260101-0000-abcdef"), lambda: service.resolve("2026"), service.store.next_queued):
            service.store._database = Failing(service.store._database, error, 1)
            with pytest.raises(RunError, match=str(error)):
                ask()
    finally:
        threading.current_thread().name = before
