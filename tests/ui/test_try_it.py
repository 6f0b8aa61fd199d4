"""The tab Try it: which run answers."""

import pytest

from workbench.ui.session import Watch
from workbench.ui.tabs.try_it import chosen_run

FOUND = [("newest", "run-3"), ("older", "run-2"), ("oldest", "run-1")]


@pytest.mark.parametrize(
    ("current", "watched", "answers"),
    [
        ("run-1", "run-2", "run-1"),
        (None, "run-2", "run-2"),
        (None, None, "run-3"),
        ("deleted", None, "run-3"),
        ("deleted", "running without weights", "run-3"),
    ],
)
def test_the_chosen_run_answers_else_the_one_in_train_else_the_newest(current, watched, answers):
    assert chosen_run(FOUND, current, Watch(run=watched)) == answers


def test_without_runs_none_answers():
    assert chosen_run([], None, Watch()) is None
