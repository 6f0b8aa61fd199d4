import pytest

from workbench.data.dataset import InputExample, load_splits
from workbench.data.soft_labels import columns_of, write_labelled, write_soft_labels
from workbench.errors import DataError
from workbench.recipe import DataPart

TEXTS = ["plain", "二 \u2028 lines\nand , \"quotes\"", "nul \x01 end", "NA", "01"]


def part(path, **more):
    return DataPart(train=str(path), columns=columns_of(["text"]), split={"validation": 0}, **more)


def test_written_rows_come_back_to_the_character(tmp_path):
    examples = [InputExample(str(n), {"text": text}, "ab"[n % 2]) for n, text in enumerate(TEXTS)]
    write_labelled(tmp_path / "rows.jsonl", examples)
    back = load_splits(part(tmp_path / "rows.jsonl")).train.examples
    assert sorted((e.fields["text"], e.label) for e in back) == sorted((e.fields["text"], e.label) for e in examples)


def test_probabilities_come_back_and_name_the_classes(tmp_path):
    examples = [InputExample(str(n), {"text": text}, None) for n, text in enumerate(TEXTS)]
    write_soft_labels(tmp_path / "soft.jsonl", examples, ("b", "a"), [[0.9, 0.1]] * len(TEXTS))
    splits = load_splits(part(tmp_path / "soft.jsonl", soft_labels="probability_"))
    # Nobody is most probably an "a", and still it is a class.
    assert splits.labels == ("a", "b") and {e.label for e in splits.train.examples} == {"b"}
    assert all(e.probabilities == pytest.approx({"a": 0.1, "b": 0.9}) for e in splits.train.examples)


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [("p_a", "1", "1 columns"), ("p_a,p_b", "0.5,x", "'x'"), ("p_a,p_b", "0.5,0.2", "0.7000"), ("p_a,p_c", "1,0", "p_b"),
     ("p_a,p_b", "-1,2", "'-1'")],
)  # fmt: skip
def test_what_is_no_probability_is_refused_with_its_line(tmp_path, header, row, words):
    (tmp_path / "x.csv").write_text(f"field_text,label,{header}\nt,b,{row}\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        load_splits(part(tmp_path / "x.csv", soft_labels="p_"))
    assert words in error.value.message


def test_the_rest_has_no_labels_and_is_neither_trained_nor_validated_on(tmp_path):
    lines = "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40))
    (tmp_path / "x.csv").write_text("text,label\n" + lines, encoding="utf-8")
    splits = load_splits(DataPart(train=str(tmp_path / "x.csv"), split={"shots": 4, "validation": 10}))
    used = {e.fields["text"] for e in [*splits.train.examples, *splits.validation.examples]}
    assert len(splits.rest) == 40 - 8 - 10 and not used & {e.fields["text"] for e in splits.rest}
    assert all(e.label is None for e in splits.pool(7, 1)) and len(splits.pool(7, 1)) == 7
    assert splits.pool(7, 1) == splits.pool(7, 1) != splits.pool(7, 2)


def test_no_shots_is_no_training_row(tmp_path):
    (tmp_path / "x.csv").write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(20)), encoding="utf-8")
    splits = load_splits(DataPart(train=str(tmp_path / "x.csv"), split={"shots": 0, "validation": 4}))
    assert splits.train.examples == [] and splits.labels == ("a", "b") and len(splits.rest) == 16
