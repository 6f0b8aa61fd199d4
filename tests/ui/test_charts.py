"""Figures: what is drawn is what was given."""

import pytest

from workbench.ui import charts


def test_the_average_starts_at_the_first_value_and_stays_between_the_extremes():
    values = [2.0, 1.0, 3.0, 0.5]
    averaged = charts.smoothed(values)
    assert averaged[0] == pytest.approx(2.0)
    assert all(min(values) <= value <= max(values) for value in averaged)
    assert charts.smoothed([1.5] * 9) == pytest.approx([1.5] * 9)


def test_long_curves_keep_their_first_and_last_point():
    figure = charts.curves([charts.Line("loss", range(10_001), range(10_001))], x="step")
    drawn = figure.data[0].x
    assert len(drawn) <= charts.MOST_POINTS + 2 and drawn[0] == 0 and drawn[-1] == 10_000


def test_the_average_is_the_recurrence_it_stands_for():
    import random

    chance = random.Random(1)
    values = [chance.uniform(0, 3) for _ in range(1000)]
    mean, mass, expected = 0.0, 0.0, []
    for value in values:
        mean, mass = 0.85 * mean + 0.15 * value, 0.85 * mass + 0.15
        expected.append(mean / mass)
    assert charts.smoothed(values) == pytest.approx(expected, rel=1e-9) and len(charts.smoothed([])) == 0


def test_long_curves_keep_every_spike_of_a_stretch():
    values = [1.0] * 100_000
    for place, spike in ((17, 9.0), (50_003, -4.0), (99_990, 7.0)):
        values[place] = spike
    drawn = charts.curves([charts.Line("loss", range(100_000), values)], x="step").data[0]
    shown = dict(zip(drawn.x.tolist(), drawn.y.tolist(), strict=True))
    assert shown[17] == 9.0 and shown[50_003] == -4.0 and shown[99_990] == 7.0 and len(shown) <= charts.MOST_POINTS + 2


def test_accuracy_is_drawn_from_nought_to_one():
    assert tuple(charts.curves([], x="step", share=True).layout.yaxis.range) == (0, 1.02)


def test_the_histogram_draws_bins_and_the_limit_only_when_it_is_reached():
    cut = charts.histogram([0, 10, 20], [3, 4], x="tokens", limit=12, limit_name="limit")
    whole = charts.histogram([0, 10, 20], [3, 4], x="tokens", limit=128, limit_name="limit")
    assert list(cut.data[0].y) == [3, 4] and list(cut.data[0].x) == [5, 15]
    assert len(cut.layout.shapes) == 1 and len(whole.layout.shapes) == 0


def test_without_weight_the_average_is_the_value_itself():
    values = [2.0, 1.0, 3.0, 0.5] * 100
    assert charts.smoothed(values, 0.0) == pytest.approx(values)


def test_a_marked_step_is_a_line_with_its_name_and_a_scale_can_be_logarithmic():
    line = charts.Line("loss", [1, 2, 3], [10.0, 1.0, 0.1])
    figure = charts.curves([line], x="step", span=3, log=True, mark=(2, "best: 2"))
    assert figure.layout.yaxis.type == "log"
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1, figure.layout.annotations[0].text) == (2, 2, "best: 2")
    assert not charts.curves([line], x="step").layout.shapes


def test_lines_of_several_units_have_a_strip_and_an_axis_each():
    lines = [charts.Line(name, [1, 2], [low, low + 1]) for name, low in (("rate", 1e-3), ("norm", 3.0), ("speed", 90.0))]
    figure = charts.strips(lines, x="step", span=2)
    assert [trace.yaxis for trace in figure.data] == ["y", "y2", "y3"]
    axes = [figure.layout.yaxis, figure.layout.yaxis2, figure.layout.yaxis3]
    assert [axis.title.text for axis in axes] == ["rate", "norm", "speed"]
    domains = [axis.domain for axis in axes]
    assert domains[2][0] == 0 and all(below[1] < above[0] for above, below in zip(domains, domains[1:], strict=False)), "none over another"
    assert figure.layout.xaxis.anchor == "y3" and "yaxis2" not in charts.strips(lines[:1], x="step").layout


def test_names_are_shown_letter_by_letter():
    evil = "<a href='//evil.example'>a & b</a>"
    line = charts.LearningCurve(evil, ["0"], [0.5], [0.1], "#000")
    figures = [
        charts.counts([evil], [3], x="rows", y="labels"), charts.intervals([evil], [0.5], [0.4], [0.6], ["#000"]),
        charts.curves([charts.Line(evil, [0], [1.0])], x="step"),
        charts.learning_curves([line], ["0"], 10, x="rows", chance=0.5, chance_name="chance", all_name="all"),
    ]  # fmt: skip
    assert all("<a" not in figure.to_json() and "&lt;a" in figure.to_json() for figure in figures)


def test_long_names_are_cut_on_the_axis_and_whole_in_the_data():
    names = ["a" * 200, "\u0627" * 200, "short", "\u5f88" * 200]
    figure = charts.counts(names, [3, 2, 1, 1], x="rows", y="label")
    assert list(figure.data[0].y) == names and list(figure.layout.yaxis.tickvals) == names
    assert [len(text) for text in figure.layout.yaxis.ticktext] == [32, 32, 5, 16], "a Chinese character is as wide as two letters"
