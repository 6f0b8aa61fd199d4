"""What ends where everything is caught: a mistake as its sentence, a bug under an id. Which places those are is in test_architecture.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import RunError, WorkbenchError
from workbench.models.foreign import foreign
from workbench.runs.faults import LOG_FILE, LoggedBug, ended_as_sentence


@pytest.mark.parametrize(("error", "told"), [
    (RunError("No.", fix="Do."), ("mistake", "No.")), (WorkbenchError("No.", fix=""), ("mistake", "No.")),
    (LoggedBug("0a1b2c3d"), ("bug", "0a1b2c3d")),
])  # fmt: skip
def test_at_the_seam_a_mistake_is_told_and_a_logged_bug_is_not_logged_again(tmp_path: Path, error, told):
    heard = []
    with ended_as_sentence(tmp_path, "x", lambda e: heard.append(("mistake", e.message)), lambda i: heard.append(("bug", i))):
        raise error
    assert heard == [told] and not (tmp_path / LOG_FILE).exists()


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), MemoryError(), RecursionError(), OSError(28, "full"), UnicodeError("x")])
def test_at_the_seam_a_bug_gets_an_id_under_which_the_log_has_it(tmp_path: Path, error):
    heard: list[str] = []
    with ended_as_sentence(tmp_path, "a run", lambda e: heard.append("mistake"), heard.append):
        raise error
    log = (tmp_path / LOG_FILE).read_text(encoding="utf-8")
    assert f"error {heard[0]} while a run" in log and type(error).__name__ in log


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), BrokenPipeError()])
def test_what_ends_the_program_and_what_is_let_through_pass_the_seam(tmp_path: Path, error):
    with pytest.raises(type(error)), ended_as_sentence(tmp_path, "x", print, print, through=(BrokenPipeError,)):
        raise error
    assert not (tmp_path / LOG_FILE).exists()


@pytest.mark.parametrize("error", [Exception("tokenizers"), ValueError("torch"), KeyError("x"), OSError("hub"), RecursionError()])
def test_whatever_a_foreign_parser_raises_becomes_one_sentence(error):
    with pytest.raises(RunError, match="damaged") as caught, foreign(lambda e: RunError("It is damaged.", fix="Get it again.")):
        raise error
    assert caught.value.__cause__ is error


def test_a_sentence_passes_a_foreign_block_as_it_is():
    with pytest.raises(WorkbenchError, match="mine"), foreign(lambda e: RunError("other", fix="")):
        raise WorkbenchError("mine", fix="")
