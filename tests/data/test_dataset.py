"""Examples and splits: nothing guessed, nothing leaked, everything that is left out is counted."""

from collections import Counter

import pytest

from workbench.data.dataset import dataset_from, load_splits
from workbench.data.readers import read_table
from workbench.errors import DataError
from workbench.recipe import DataPart


@pytest.fixture
def write(tmp_path):
    def write(rows, name="train.csv", header="text,label"):
        file = tmp_path / name
        file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return str(file)

    return write


def leaks(splits):
    """Training rows whose text stands in validation too."""
    held = {e.content for e in splits.validation.examples}
    return sum(e.content in held for e in splits.train.examples)


def rows(classes, each, start=0):
    return [f"text {c} {i},{c}" for i in range(start, start + each) for c in classes]


def test_examples_carry_fields_label_and_line(write):
    table = read_table(write(["a,b,NA", "c,d,"], header="title,body,class"))
    dataset = dataset_from(table, {"text_b": "body", "text_a": "title", "label": "class"})
    assert dataset.labels == ("NA",) and len(dataset) == 2
    first, second = dataset.examples
    assert (first.guid, first.fields, first.label, first.line) == ("train.csv:2", {"text_b": "b", "text_a": "a"}, "NA", 2)
    assert second.label is None
    assert dataset_from(table, {"text": "body"}, labelled=False).labels == ()


def test_missing_columns_name_the_nearest(write):
    table = read_table(write(["a,b"]))
    for columns, message in [
        ({"text": "texts", "label": "label"}, "Did you mean 'text'"),
        ({"text": "text", "label": "lable"}, "Did you mean 'label'"),
        ({"text": "text"}, "no label column"),
        ({"label": "label"}, "no column is chosen"),
    ]:
        with pytest.raises(DataError, match=message):
            dataset_from(table, columns)
    with pytest.raises(DataError, match="delimiter"):
        dataset_from(read_table(write(["a|b"], header="text|label")), {"text": "text", "label": "label"})


def test_split_is_stratified_seeded_and_disjoint(write):
    part = DataPart(train=write(rows("ab", 50)), split={"shots": 8, "validation": 20})
    splits = load_splits(part)
    assert Counter(e.label for e in splits.train.examples) == {"a": 8, "b": 8}
    assert Counter(e.label for e in splits.validation.examples) == {"a": 10, "b": 10}
    assert leaks(splits) == 0 and splits.labels == ("a", "b") and splits.notes == [] and splits.unlabeled is None
    assert load_splits(part) == splits
    other = load_splits(part.model_copy(update={"split": part.split.model_copy(update={"seed": 14})}))
    assert other.validation.examples != splits.validation.examples


def test_the_file_order_does_not_matter(write):
    content = rows("ab", 30)
    one = load_splits(DataPart(train=write(content, "1.csv"), split={"validation": 10, "shots": 4}))
    two = load_splits(DataPart(train=write(content[::-1], "2.csv"), split={"validation": 10, "shots": 4}))
    assert [e.fields for e in one.train.examples] == [e.fields for e in two.train.examples]


def test_gaps_are_counted_and_left_out(write):
    splits = load_splits(DataPart(train=write([*rows("ab", 10), ",a", "  ,b", "x,"]), split={"validation": 4}))
    assert len(splits.train) + len(splits.validation) == 20
    assert splits.notes == ["train.csv: 2 rows without text left out (line 22, 23).", "train.csv: 1 row without label left out (line 24)."]


def test_duplicates_across_the_split_leave_training(write):
    splits = load_splits(DataPart(train=write(rows("ab", 20) * 2), split={"validation": 11}))
    assert leaks(splits) == 0
    assert len(splits.train) + len(splits.validation) < 80 and any("same text stands in validation" in note for note in splits.notes)


def test_a_validation_file(write):
    train = write(rows("ab", 10))
    held = write([*rows("ab", 2), *rows("b", 5, start=50)], "held.csv")
    splits = load_splits(
        DataPart(train=train, validation=held, unlabeled=write(["u", " ", "v"], "pool.csv", header="text"), split={"shots": 5})
    )
    assert (len(splits.train), len(splits.validation), len(splits.unlabeled)) == (10, 9, 2)
    assert leaks(splits) == 0 and len(splits.notes) == 1 + 1
    with pytest.raises(DataError, match="line 2: the label 'c' does not occur in train.csv"):
        load_splits(DataPart(train=train, validation=write(["x,c"], "held.csv")))


def test_a_small_file_keeps_its_shots(write):
    splits = load_splits(DataPart(train=write(rows("ab", 20)), split={"shots": 8, "validation": 200}))
    assert Counter(e.label for e in splits.train.examples) == {"a": 8, "b": 8}
    assert len(splits.validation) == 24 and "24 validation rows instead of 200" in splits.notes[0]


def test_classes_of_one_row_train_and_are_named_together(write):
    one = [f"text {n},c{n}" for n in range(3)]
    splits = load_splits(DataPart(train=write([*rows("ab", 10), *one]), split={"validation": 6}))
    assert "train.csv: classes with a single row train on it and have none to validate on (c0, c1, c2)." in splits.notes
    assert {"c0", "c1", "c2"} <= {e.label for e in splits.train.examples} and splits.labels == ("a", "b", "c0", "c1", "c2")
    assert len(splits.validation.examples) == 6 and {e.label for e in splits.validation.examples} == {"a", "b"}


@pytest.mark.parametrize(
    "content, message",
    [
        (rows("a", 10), "every row has the label 'a'"),
        ([",a", ",b"], "no row has both"),
    ],
)
def test_unusable_classes_are_refused(write, content, message):
    with pytest.raises(DataError, match=message):
        load_splits(DataPart(train=write(content), split={"validation": 4}))


def test_notes_on_few_shots_close_labels_and_no_validation(write):
    splits = load_splits(DataPart(train=write([*rows(["a", "A "], 3)]), split={"validation": 0, "shots": 5}))
    assert len(splits.validation) == 0 and len(splits.train) == 6
    assert [note.split(":")[0][:20] for note in splits.notes] == [
        "train.csv",
        "There are no validat",
        "The class 'A' has 3 ",
        "The class 'a' has 3 ",
    ]


def test_only_the_rows_that_hold_a_value_are_read(write):
    texts = [f"text {i},{'ab'[i % 2]},{'shop' if i % 4 < 2 else 'film'}" for i in range(24)]
    file = write(texts, header="text,label,source")
    other = write([f"other {text}" for text in texts], "other.csv", header="text,label,source")
    data = DataPart(train=file, validation=other, only={"source": " film "})
    splits = load_splits(data.model_copy(update={"validation": None, "split": data.split.model_copy(update={"validation": 4})}))
    assert {e.line for e in [*splits.train.examples, *splits.validation.examples]} == {i + 2 for i in range(24) if i % 4 >= 2}
    assert len(load_splits(data).validation) == 12
    for only, message in [({"sources": "film"}, "no column 'sources'"), ({"source": "shop", "label": "c"}, "no row holds")]:
        with pytest.raises(DataError, match=message):
            load_splits(data.model_copy(update={"only": only}))
