"""The rows that tell most: chosen as a plain sort chooses them, few however many there are, and written by a run for its best weights."""

import json

import numpy as np
import pytest

from tests.training.small_run import make_recipe, train_in_two_lives
from workbench.data.dataset import InputExample
from workbench.models.pool import ModelPool
from workbench.training.events import EventLog
from workbench.training.metrics import only_class
from workbench.training.progress import Progress
from workbench.training.telling_rows import KINDS, LONGEST_TEXT, MOST_ROWS, telling_rows
from workbench.training.trainer import Control, train_run

NAMES = ("a", "b", "c")


def example(number: int, text: str = "row") -> InputExample:
    return InputExample(str(number), {"text": f"{text} {number}"}, NAMES[number % 3], number + 2)


def test_they_are_those_that_a_plain_sort_finds():
    generator = np.random.default_rng(5)
    log_probs = np.log(generator.dirichlet([1, 1, 1], size=60))
    examples = [example(number) for number in range(60)]
    rows = telling_rows(log_probs, examples, NAMES)
    facts = []
    for number, scores in enumerate(log_probs):
        predicted = int(scores.argmax())
        facts.append((number + 2, predicted == number % 3, float(scores[predicted]), float(-scores[number % 3])))
    expected = {
        "surest_wrong": [line for line, right, sure, _ in sorted(facts, key=lambda fact: -fact[2]) if not right][:MOST_ROWS],
        "surest_right": [line for line, right, sure, _ in sorted(facts, key=lambda fact: -fact[2]) if right][:MOST_ROWS],
        "highest_loss": [line for line, *_ in sorted(facts, key=lambda fact: -fact[3])][:MOST_ROWS],
    }
    for kind in KINDS:
        assert sorted(row["line"] for row in rows if kind in row["kinds"]) == sorted(expected[kind])
    assert [row["line"] for row in rows if "surest_wrong" in row["kinds"]] == expected["surest_wrong"], "the surest first"
    for row in rows:
        number = row["line"] - 2
        assert (row["text"], row["label"]) == (f"row {number}", NAMES[number % 3]) and row["predicted"] == NAMES[log_probs[number].argmax()]
        assert row["probability"] == pytest.approx(np.exp(log_probs[number].max()), abs=1e-6)
        assert row["loss"] == pytest.approx(-log_probs[number, number % 3], abs=1e-6)


def test_with_two_classes_a_row_that_is_both_stands_once():
    log_probs = np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    examples = [InputExample("", {"text": "x"}, label, line) for line, label in enumerate("aba", start=2)]
    rows = telling_rows(log_probs, examples, ("a", "b"))
    assert [(row["line"], row["kinds"]) for row in rows] == [
        (3, ["surest_wrong", "highest_loss"]), (4, ["surest_wrong", "highest_loss"]), (2, ["highest_loss", "surest_right"]),
    ]  # fmt: skip


def test_they_stay_few_and_short_whatever_comes():
    log_probs = np.log(np.full((5000, 3), 1 / 3))
    rows = telling_rows(log_probs, [example(number, "long \n" * 5000) for number in range(5000)], NAMES)
    assert len(rows) <= 3 * MOST_ROWS and all(len(row["text"]) <= LONGEST_TEXT and "\n" not in row["text"] for row in rows)
    assert len(json.dumps(rows)) < 6000
    several = InputExample("", {"one": "x", "two": "", "more": "y"}, "a")
    assert telling_rows(np.log([[0.9, 0.1]]), [several], ("a", "b"))[0]["text"] == "x · y"


def test_one_class_only_is_told_apart():
    assert only_class([[3, 0], [5, 0]]) == 0 and only_class([[0, 0, 2], [0, 0, 1], [0, 0, 0]]) == 2
    assert only_class([[3, 0], [4, 1]]) is None
    assert only_class([[0, 8], [0, 0]]) is None, "rows that are all alike are rightly called alike"
    assert only_class([]) is None and only_class([[4]]) is None


def events_of(folder, kind):
    return [event for event in EventLog(folder / "events.jsonl").read() if event["kind"] == kind]


def test_a_run_writes_them_for_the_weights_that_it_keeps(tmp_path):
    recipe = make_recipe(tmp_path)
    result = train_run(recipe, tmp_path / "run", Control(), ModelPool())
    written, evaluations = events_of(tmp_path / "run", "telling_rows"), events_of(tmp_path / "run", "evaluation")
    assert [event["step"] for event in written] == [event["step"] for event in evaluations if event["best"]]
    assert written[-1]["step"] == result["best_step"]
    (best,) = [event for event in evaluations if event["step"] == result["best_step"]]
    right = sum(best["confusion"][place][place] for place in range(2))
    kinds = [kind for row in written[-1]["rows"] for kind in row["kinds"]]
    assert kinds.count("surest_right") == min(MOST_ROWS, right) and kinds.count("surest_wrong") == min(MOST_ROWS, 16 - right)
    lines = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    for row in written[-1]["rows"]:
        assert lines[row["line"] - 1].endswith(row["label"]) and row["text"] in " ".join(lines[row["line"] - 1].split()).replace(" ,", ",")
        assert (row["label"] == row["predicted"]) == ("surest_wrong" not in row["kinds"]) or "highest_loss" in row["kinds"]


STUCK = {"training.learning_rate": 1e-12, "training.evaluate_every": 4, "training.epochs": 3}


@pytest.mark.parametrize("stop", [None, 6])
def test_one_class_only_is_noted_once_a_run_and_not_of_the_untrained_model(tmp_path, stop):
    recipe, folder = make_recipe(tmp_path, STUCK), tmp_path / "run"
    if stop:
        train_in_two_lives(recipe, folder, stop)
    else:
        train_run(recipe, folder, Control(), ModelPool())
    evaluations = events_of(folder, "evaluation")
    assert len(evaluations) == 4 and all(only_class(event["confusion"]) is not None for event in evaluations), "every one is of one class"
    notes = [event["text"] for event in events_of(folder, "note") if "every validation row" in event["text"]]
    assert len(notes) == 1 and notes[0].startswith("At step 4 every validation row is called '")


def test_rows_of_one_class_are_rightly_called_alike(tmp_path):
    recipe = make_recipe(tmp_path, STUCK)
    alike = tmp_path / "alike.csv"
    for name in ("positive", "negative"):
        alike.write_text("text,label\n" + "".join(f"w7 w{number},{name}\n" for number in range(30, 40)), encoding="utf-8")
        folder = tmp_path / name
        train_run(recipe.replace({"data.validation": str(alike)}), folder, Control(), ModelPool())
        assert not [event for event in events_of(folder, "note") if "every validation row" in event["text"]]


def test_a_checkpoint_of_before_is_still_read():
    content = Progress(step=3).to_json()
    del content["told_one_class"]
    assert Progress.from_json(content) == Progress(step=3)
