"""Sequences that begin alike in one row: the states, and the gradients, of each read by itself."""

import random

import pytest
import torch

from tests.models.tiny import make_model
from workbench.models.cloze import last_states
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.models.packing import can_pack, pack, packed_states

FAMILIES = ["qwen2", "qwen3", "llama", "mistral", "gpt2"]


def load(name: str) -> LoadedModel:
    model = make_model(name)
    return LoadedModel(model, None, family_of(model, "causal"), "causal", name, "", torch.device("cpu"))


def make_groups(count: int = 3) -> list[list[list[int]]]:
    """Texts of different lengths, each with two ends of one length, a shorter one and one with a word of two tokens behind it."""
    draw = random.Random(count)
    groups = []
    for number in range(count):
        text = [draw.randrange(5, 110) for _ in range(4 + 3 * number)]
        groups.append([[*text, 7, 8], [*text, 7, 9], text, [*text, 7, 8, 30, 31]])
    return groups


def last(groups: list[list[list[int]]]) -> list[list[list[int]]]:
    return [[[len(sequence) - 2, len(sequence) - 1] for sequence in group] for group in groups]


def alone(loaded: LoadedModel, sequence: list[int]) -> torch.Tensor:
    ids = torch.tensor([sequence])
    return last_states(loaded, ids, torch.ones_like(ids), torch.tensor([[len(sequence) - 2, len(sequence) - 1]]))[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_sequence_has_the_states_and_gradients_that_it_has_alone(family):
    loaded, groups = load(family), make_groups()
    answers = packed_states(loaded, groups, last(groups))
    assert answers is not None and can_pack(loaded, 20)
    expected = [torch.stack([alone(loaded, group[kind]) for group in groups]) for kind in range(4)]
    for found, wanted in zip(answers, expected, strict=True):
        assert (found - wanted).abs().max() < 1e-5
    parameter = next(p for name, p in loaded.model.named_parameters() if p.ndim == 2)
    torch.manual_seed(0)
    weights = [torch.randn_like(wanted) for wanted in expected]
    slopes = [
        torch.autograd.grad(sum((w * a).sum() for w, a in zip(weights, side, strict=True)), parameter)[0] for side in (answers, expected)
    ]
    assert (slopes[0] - slopes[1]).abs().max() < 1e-4 * slopes[1].abs().max()


def test_what_is_shared_stands_in_a_row_once():
    packed = pack(make_groups(1))
    # four tokens of text, then "7 8 30 31" holds the others' ends: one further column for the token 9
    assert packed.input_ids.shape == (1, 9)
    assert sorted(packed.position_ids[0].tolist()) == [0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert all(packed.attends[0, 0, columns[-1]].sum() == len(columns) for _, columns in packed.paths)


def test_sequences_that_begin_otherwise_keep_rows_of_their_own():
    packed = pack([[[5, 6, 7], [8, 6, 7], [5, 6, 9]]])
    assert packed.input_ids.tolist() == [[5, 6, 7, 9], [8, 6, 7, 0]]
    loaded, apart = load("qwen2"), [[[5, 6, 7, 8], [9, 6, 7, 8]]]
    assert packed_states(loaded, apart, last(apart)) is None


def test_models_that_take_no_mask_of_others_are_left_alone():
    loaded = load("mistral")
    loaded.model.config.sliding_window = 16
    assert can_pack(loaded, 16) and not can_pack(loaded, 17)
    eager = load("qwen2")
    eager.model.set_attn_implementation("eager")
    assert not can_pack(eager, 8) and not can_pack(load("gemma3_text"), 8) and not can_pack(load("phi"), 8)
