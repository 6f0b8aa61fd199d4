"""Any sequence of actions keeps every promise about runs; a few short ones here, 500 of 30 actions in the long command."""

import threading
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.sequences import Killed, Sequences
from workbench.runs.store import RunStore

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.fixture(autouse=True)
def quiet_deaths(monkeypatch):
    """A worker that is killed ends with an exception that nobody catches, which is the point."""
    loud = threading.excepthook
    monkeypatch.setattr(threading, "excepthook", lambda what: None if what.exc_type is Killed else loud(what))


def short(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=20, deadline=None, database=None, derandomize=True, suppress_health_check=CHECKS
    )


def test_sequences_of_actions_keep_every_promise():
    run_state_machine_as_test(Sequences, settings=short(12))


def test_the_machine_notices_files_that_are_left_behind(monkeypatch):
    """The machine can fail: here deleting forgets the files."""
    monkeypatch.setattr(RunStore, "remove", lambda store, run_id: store._execute("DELETE FROM runs WHERE id = ?", run_id))
    machine = Sequences()
    try:
        machine.start(key=None)
        machine.get_on(cells=4)
        machine.files_and_index_agree_and_tell_what_was_asked()
        (run,) = machine.runs
        machine.delete(data=SimpleNamespace(draw=lambda strategy: run))
        with pytest.raises(AssertionError):
            machine.files_and_index_agree_and_tell_what_was_asked()
    finally:
        machine.teardown()
