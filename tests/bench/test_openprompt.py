"""OpenPrompt beside the bench: where it cannot be had the rows say so, and what another process measured is what counts."""

from __future__ import annotations

from workbench.bench import openprompt
from workbench.bench.cloze_training import DEFAULT, GROUPED, OPENPROMPT, OURS, _rows
from workbench.bench.cloze_training import openprompt as sides_of
from workbench.bench.comparison import Scale
from workbench.bench.measure import Figures, interleaved
from workbench.bench.workload import masked_model


def test_an_environment_that_cannot_be_made_is_a_note_in_its_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(openprompt.sys, "executable", str(tmp_path / "no-python"))
    said: list[str] = []
    sides, why = sides_of(masked_model(1, 64), 2, Scale(True, 1, tmp_path, said.append))
    assert sides == {} and "cannot be run here" in why and "environment for OpenPrompt" in said[0]
    own = dict.fromkeys((OURS, DEFAULT, GROUPED), Figures(1.0, 1.0, 10, 0, 1))
    rows = _rows("P1", "work", own, {DEFAULT: 3.0, OPENPROMPT: 6.0}, why)
    assert [(row.value, row.note) for row in rows] == [(1.0, ""), (None, why)] and rows[1].met is None


def test_what_another_process_measured_is_taken_as_it_says():
    found = interleaved({"there": lambda: Figures(3.0, 4.0, 0, 7, 1), "here": lambda: None}, rounds=2, flops=False)
    assert (found["there"].cpu_seconds, found["there"].seconds, found["there"].peak_bytes) == (3.0, 4.0, 7)
    assert found["here"].cpu_seconds < 1
