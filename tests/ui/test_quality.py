"""What the Train tab shows of a classifier's quality: the figure that decides, each class, and the rows that tell most, as text."""

import pytest

from workbench.recipe import Recipe
from workbench.training.metrics import classification_metrics
from workbench.ui import quality
from workbench.ui.text import Words, languages

T = Words("en")
EVALUATIONS = [
    {"step": 0, "accuracy": 0.5, "macro_f1": 0.25, "loss": 0.9, "best": True},
    {"step": 4, "accuracy": 0.75, "macro_f1": 0.625, "loss": 0.5, "best": True},
    {"step": 8, "accuracy": 0.875, "macro_f1": 0.5, "loss": 0.75, "best": False},
]


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("accuracy", ["50.0%", "87.5%", "75.0%"]),
        ("macro_f1", ["25.0%", "50.0%", "62.5%", "87.5%"]),
        ("loss", ["0.900", "0.750", "0.500", "87.5%"]),
    ],
)
def test_the_tiles_show_the_figure_that_decides_and_the_best_is_that_of_the_weights_kept(metric, values):
    assert [value for _, value in quality.quality_tiles(EVALUATIONS, metric, T)] == values
    assert quality.quality_tiles([], metric, T) == []


def test_the_figure_that_decides_is_that_of_early_stopping():
    stopping = {"training.early_stopping": {"metric": "macro_f1", "patience": 2}}
    assert Recipe().deciding == "accuracy" and Recipe().replace(stopping).deciding == "macro_f1"
    assert Recipe().replace({**stopping, "task": "generation"}).deciding == "loss", "a task without that figure has its own"


def evaluation(log_probs, labels, names, step=4):
    return {"step": step, **classification_metrics(log_probs, labels, names)}


def test_each_class_has_its_figures():
    event = evaluation([[0, -9], [0, -9], [-9, 0], [0, -9]], [0, 0, 1, 1], ["bad", "good"])
    html = quality.evaluation_html(event, ["bad", "good"], T)
    rows = [[cell.split("<")[0] for cell in row.replace(' class="pw-right"', "").split("<td>")[1:]] for row in html.split("<tr>")[-2:]]
    assert rows == [["bad", "66.7%", "100%", "80.0%", "2"], ["good", "100%", "50.0%", "66.7%", "2"]]


def test_of_many_classes_the_worst_are_shown():
    names = [f"class {number}" for number in range(100)]
    scores = [[0.0 if other == number or (number < 3 and other == 99) else -9.0 for other in range(100)] for number in range(100)]
    for number in range(3):
        scores[number][number] = -1.0
    html = quality.evaluation_html(evaluation(scores, list(range(100)), names), names, T)
    classes = html.split('data-csv="classes"')[1]
    assert classes.count("<tr>") == 1 + quality.MOST_CLASSES and all(f"<td>class {number}<" in classes for number in (0, 1, 2, 99))
    assert T("train.per_class_most", most=quality.MOST_CLASSES, count=100) in html


def test_one_class_only_is_said_of_the_last_evaluation_but_not_of_the_untrained_model():
    stuck, well = evaluation([[0, -9]] * 4, [0, 1, 0, 1], ["<b>", "good"]), evaluation([[0, -9], [-9, 0]], [0, 1], ["<b>", "good"])
    for language in languages():
        t = Words(language)
        html = quality.one_class_html([well, stuck], t)
        assert "&lt;b&gt;" in html and "<b>" not in html and t("checks.ask").rstrip("?") in html
        assert {quality.one_class_html(seen, t) for seen in ([stuck, well], [{**stuck, "step": 0}], [])} == {""}


def test_telling_rows_are_text():
    row = {
        "kinds": ["surest_wrong", "highest_loss"], "line": 7, "text": "<img src=x>{{1}}", "label": "<i>", "predicted": "good",
        "probability": 0.9876, "loss": 4.39,
    }  # fmt: skip
    html = quality.telling_html({"step": 3, "rows": [row]}, T)
    assert "<img" not in html and "{{" not in html and "&lt;i&gt;" in html
    assert "surely wrong \u00b7 highest loss" in html and "good \u00b7 98.8%" in html and "4.390" in html and ">7<" in html
    assert quality.telling_html({}, T) == ""
