"""Test rows are the same for all, in no other file, and small or odd files give rows or a sentence."""

import csv

import pytest

from workbench.data.dataset import load_splits
from workbench.errors import DataError
from workbench.paradigms.split import board_rows, cell_data, fold, write_rows
from workbench.recipe import DataPart


def write(folder, rows):
    with open(folder / "data.csv", "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("text", "label"), *rows])
    return DataPart(train=str(folder / "data.csv"))


def many(rows=200, classes=2):
    return [(f"text {number} with\nlines, \"quotes\" and 中文{number % 7}", f"class {number % classes}") for number in range(rows)]


def test_no_test_row_is_in_any_seeds_files(tmp_path):
    twin = (many()[3][0].upper().replace(" ", "  "), "class 1")
    data = write(tmp_path, [*many(), twin])
    rows = board_rows(data, 40)
    held = {fold(example) for example in rows.test}
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        sizes = write_rows(rows, tmp_path / str(seed), validation=20, seed=seed)
        splits = load_splits(cell_data(data, tmp_path / str(seed), shots=None, seed=seed, validation=20))
        seen = {fold(example) for part in (splits.train, splits.validation) for example in part.examples}
        assert not held & seen and len(splits.train) == sizes["pool"] and len(splits.validation) == 20
        texts = {e.fields["text"] for part in (splits.train, splits.validation) for e in part.examples}
        assert texts <= {text for text, _ in [*many(), twin]}


def test_the_test_rows_follow_from_the_recipes_seed_alone(tmp_path):
    data = write(tmp_path, many())
    first, again = board_rows(data, 40), board_rows(data.model_copy(update={"train": data.train}), 40)
    other = board_rows(data.model_copy(update={"split": data.split.model_copy(update={"seed": 99})}), 40)
    assert [e.guid for e in first.test] == [e.guid for e in again.test] != [e.guid for e in other.test]


def test_a_row_that_repeats_a_test_row_is_dropped(tmp_path):
    doubled = many(60)
    data = write(tmp_path, doubled + [(text.upper().replace(" ", "  "), label) for text, label in doubled])
    rows = board_rows(data, 30)
    held = {fold(example) for example in rows.test}
    assert not any(fold(example) in held for example in rows.rest)
    assert "the same text" in " ".join(rows.notes)


def test_no_held_out_rows_text_comes_back_among_the_unlabelled(tmp_path):
    """Every text of the file again, without labels, and one that is new."""
    data = write(tmp_path, many(80))
    lines = [("text",), *((text.upper(),) for text, _ in many(80)), ("a text of its own",)]
    with open(tmp_path / "bare.csv", "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(lines)
    data = data.model_copy(update={"unlabeled": str(tmp_path / "bare.csv")})
    rows = board_rows(data, 20)
    assert "20 unlabelled rows left out" in " ".join(rows.notes)
    write_rows(rows, tmp_path, validation=10, seed=1)
    splits = load_splits(cell_data(data, tmp_path, shots=None, seed=1, validation=10))
    given = {fold(example) for example in splits.unlabeled.examples}
    assert len(given) == 51 and not given & {fold(example) for example in (*rows.test, *splits.validation.examples)}


def test_an_unlabelled_file_of_test_rows_alone_gives_none(tmp_path):
    data = write(tmp_path, many(80))
    held = board_rows(data, 20).test
    with open(tmp_path / "bare.csv", "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("text",), *((example.fields["text"],) for example in held)])
    data = data.model_copy(update={"unlabeled": str(tmp_path / "bare.csv")})
    write_rows(board_rows(data, 20), tmp_path, validation=10, seed=1)
    assert load_splits(cell_data(data, tmp_path, shots=4, seed=1, validation=10)).unlabeled is None


@pytest.mark.parametrize("classes", [3, 10])
def test_several_classes_are_shared_in_proportion(tmp_path, classes):
    rows = board_rows(write(tmp_path, many(300, classes)), 60)
    assert len(rows.labels) == classes and len({e.label for e in rows.test}) == classes


def test_a_class_of_one_row_stays_in_training_and_is_named(tmp_path):
    data = write(tmp_path, [*many(), ("the only one", "rare")])
    rows = board_rows(data, 40)
    sizes = write_rows(rows, tmp_path, validation=20, seed=1)
    assert sizes["per_class"]["rare"] == 1 and any("'rare' has 1 row and none to test on" in note for note in rows.notes)


def test_an_imbalanced_file_keeps_its_balance(tmp_path):
    rows = board_rows(write(tmp_path, [(f"t{n}", "rare" if n % 20 == 0 else "common") for n in range(400)]), 100)
    assert sum(e.label == "rare" for e in rows.test) == 5


@pytest.mark.parametrize(("rows", "words"), [([("a", "x"), ("b", "x")], "every row has the label"), ([("a", "x"), ("b", "y")], "too few")])
def test_what_cannot_be_compared_is_a_sentence(tmp_path, rows, words):
    with pytest.raises(DataError, match=words):
        board_rows(write(tmp_path, rows), 40)
