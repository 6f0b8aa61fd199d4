"""Figures of a data set, counted by hand."""

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.dataset import Dataset, InputExample
from workbench.data.profile import length_histogram, profile


def dataset(*rows):
    examples = [InputExample(str(i), {"text": text}, label) for i, (text, label) in enumerate(rows)]
    return Dataset(examples, tuple(sorted({label for _, label in rows if label})))


def by_letter(texts, **options):
    assert options["add_special_tokens"] is False
    return {"input_ids": [list(text) for text in texts]}


def test_counts_words_and_duplicates():
    found = profile(dataset(("a b c", "x"), ("a", "y"), ("a", "y"), (" ", "y"), ("a b", None)))
    assert (found.rows, found.label_counts, found.duplicates, found.empty, found.unit) == (5, {"y": 3, "x": 1}, 1, 2, "words")
    assert (found.length_edges, found.length_counts, found.truncated) == ([0, 1, 2, 3, 4], [1, 2, 1, 1], 0)
    assert profile(dataset(("a b c", "x")), max_length=2).truncated == 1


def test_chinese_is_counted_in_characters():
    found = profile(dataset(("这本书 很好", "好"), ("ok", "好")))
    assert (found.unit, found.length_counts[5], found.length_counts[2]) == ("characters", 1, 1)


def test_tokens_and_the_truncation_point():
    found = profile(dataset(("abcd", "x"), ("abcde", "x")), by_letter, max_length=4)
    assert (found.unit, found.truncated, sum(found.length_counts)) == ("tokens", 1, 2)


def test_an_empty_set_has_a_profile():
    assert profile(Dataset([], ())).length_counts == [0]


@given(st.lists(st.integers(0, 3000), min_size=1))
def test_histogram_holds_every_row(lengths):
    edges, counts = length_histogram(lengths)
    assert len(edges) == len(counts) + 1 and len(counts) <= 24
    assert counts == [sum(low <= n < high for n in lengths) for low, high in zip(edges, edges[1:], strict=False)] and sum(counts) == len(
        lengths
    )
