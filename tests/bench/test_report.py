"""The bench's rows: what counts as met, what a comparison that cannot run says, and what is written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from workbench.bench import Comparison, Row, Scale, comparisons, run_comparisons
from workbench.bench.comparison import chosen, comparison
from workbench.bench.measure import PeakMemory, interleaved, ratio
from workbench.bench.report import measure_all, picture, table
from workbench.errors import SettingsError, WorkbenchError


def row(value: float | None, wanted: float | None, **options) -> Row:
    return Row("P1", "work", "peer", value, wanted, **options)


def test_a_goal_is_a_lower_bound_unless_it_says_otherwise() -> None:
    assert row(3.0, 3.0).met and row(2.9, 3.0).met is False
    assert row(3.0, 3.0, at_most=True).met and row(3.1, 3.0, at_most=True).met is False
    assert row(None, 3.0).met is None and row(3.0, None).met is None


def test_every_comparison_has_a_goal_of_its_own_in_order() -> None:
    numbers = [int(entry.goal.removeprefix("P")) for entry in comparisons()]
    assert numbers == sorted(set(numbers)) and 10 in numbers
    with pytest.raises(TypeError):
        comparison("P10", "again")(lambda scale: [])
    with pytest.raises(SettingsError, match="P99"):
        chosen(comparisons(), ["P99"])
    assert [entry.goal for entry in chosen(comparisons(), ["p10"])] == ["P10"]


def test_one_that_cannot_be_measured_says_so_and_stops_no_other(tmp_path: Path) -> None:
    def refuses(scale: Scale) -> list[Row]:
        raise WorkbenchError("There is no GPU.", fix="Find one.")

    known = [Comparison("P1", "first", refuses), Comparison("P2", "second", lambda scale: [row(2.0, 1.0)])]
    rows = run_comparisons(known, Scale(True, 1, tmp_path))
    assert rows[0].value is None and rows[0].note == "There is no GPU. Find one." and rows[1].met


def test_sides_take_turns_and_cpu_time_counts_not_waiting() -> None:
    order: list[str] = []

    def work(name: str, amount: int):
        def run() -> None:
            order.append(name)
            sum(i * i for i in range(amount))
            time.sleep(0.02)

        return run

    figures = interleaved({"a": work("a", 400_000), "b": work("b", 2_000_000)}, rounds=3)
    assert order == ["a", "b"] * 4
    assert 2.5 < ratio(figures["a"], figures["b"]) < 10 and figures["a"].seconds > figures["a"].cpu_seconds


def test_flops_and_peak_memory_are_those_of_the_work() -> None:
    import torch

    left, right = torch.randn(32, 64), torch.randn(64, 16)
    figures = interleaved({"product": lambda: left @ right}, rounds=1)["product"]
    assert figures.flops == 2 * 32 * 64 * 16
    with PeakMemory() as memory:
        block = bytearray(64_000_000)
        time.sleep(0.05)
        del block
    assert 55e6 < memory.peak_bytes < 90e6


def test_table_and_picture_show_every_figure() -> None:
    rows = [row(3.2, 3.0), row(1.5, 2.0), Row("P9", "poll", "<short>", 45.0, 50.0, unit="kB", at_most=True), row(None, 1.0, note="no peer")]
    text = table(rows)
    assert text.count("\n") == 5 and "3.2x" in text and "missed" in text and "at most 50 kB" in text and "no peer" in text
    bars = [e for e in ElementTree.fromstring(picture(rows)).iter() if e.tag.endswith("rect")]
    assert len(bars) == 2 and ElementTree.fromstring(picture([])) is not None


def test_the_outcome_is_written_as_json_table_and_picture(tmp_path: Path, monkeypatch) -> None:
    entry = Comparison("P10", "start", lambda scale: [row(2.0, 1.0, figures={"rounds": scale.rounds})])
    monkeypatch.setattr("workbench.bench.comparisons", lambda: [entry])
    said: list[str] = []
    answer = measure_all(quick=True, goals=[], out=tmp_path / "out", say=said.append)
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == answer
    assert answer["rows"][0]["met"] is True and answer["rows"][0]["figures"] == {"rounds": 1} and answer["machine"]["cores"]
    assert {f.name for f in (tmp_path / "out").iterdir()} == {"bench.json", "bench.md", "bench.svg"} and "P10" in "\n".join(said)
