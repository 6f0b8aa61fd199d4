"""Any sequence of actions keeps every promise about runs; a few short ones here, 500 of 30 actions in the long command."""

from types import SimpleNamespace

import pytest

from tests.faults.sequences import Sequences, try_sequences
from workbench.runs.store import RunStore


def test_sequences_of_actions_keep_every_promise():
    figures = try_sequences(12, 20)
    assert figures["sequences"] >= 12 and len(figures["by_action"]) == 12


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
