"""Seeded splits: disjoint, stratified, independent of the file's order, nested as the docstring promises."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.splits import proportional_counts, seeded_order, split_indices

TEXTS = [f"text {i}" for i in range(300)]
LABELS = ["abc"[i % 3] for i in range(300)]


def test_the_order_is_pinned():
    # Worked out with sha256sum: printf '13\\x1fa' | sha256sum, and so on. A change here moves every published split.
    assert seeded_order(["a", "b", "c", "d"], 13) == [1, 0, 3, 2]


@given(st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 50), min_size=1), st.integers(0, 100))
def test_shares_are_proportional_and_leave_one_behind(sizes, total):
    counts = proportional_counts(sizes, total)
    assert sum(counts.values()) <= total
    for name, size in sizes.items():
        assert 0 <= counts[name] <= size - 1 and counts[name] <= total * size / sum(sizes.values()) + 1


def test_shares_by_largest_remainder():
    assert proportional_counts({"a": 10, "b": 20, "c": 30}, 12) == {"a": 2, "b": 4, "c": 6}
    assert proportional_counts({"a": 10, "b": 10, "c": 10}, 4) == {"a": 2, "b": 1, "c": 1}
    assert proportional_counts({}, 4) == {}


@given(st.integers(0, 200), st.integers(1, 60) | st.none(), st.integers(0, 5))
def test_parts_are_disjoint_and_stratified(validation, shots, seed):
    train, held = split_indices(TEXTS, LABELS, validation=validation, shots=shots, seed=seed)
    assert not set(train) & set(held) and len(held) == validation
    per_class = Counter(LABELS[i] for i in train)
    assert len(train) == 300 - validation if shots is None else all(count <= shots for count in per_class.values())


def test_a_small_validation_set_is_inside_a_large_one_and_shots_stay():
    small_train, small = split_indices(TEXTS, LABELS, validation=30, shots=8, seed=1)
    large_train, large = split_indices(TEXTS, LABELS, validation=150, shots=8, seed=1)
    assert set(small) < set(large) and small_train == large_train


def test_the_file_order_does_not_matter():
    forward = split_indices(TEXTS, LABELS, validation=30, shots=8, seed=1)
    backward = split_indices(TEXTS[::-1], LABELS[::-1], validation=30, shots=8, seed=1)
    assert [[299 - i for i in part] for part in backward] == [list(part) for part in forward]
