"""Token sequences that begin alike, read by a causal model in one row: what they share stands there once.

    the film was good . It was            the film was good . It was | My verdict :
    the film was good . My verdict :      0   1    2   3    4 5  6     5  6       7     positions

Each token attends to its own sequence alone and has the position that it has there, so that its state is that of the sequence read by
itself. Templates that begin with the text share it, and label words of several tokens share everything before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
import torch

from workbench.models.cloze import last_states

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

SHARED = 0.5
"""A sequence joins the row of the one before it when they have this share of its tokens in common."""
WORTH = 0.8
"""Packed rows are taken when they have at most this share of the tokens that the sequences by themselves have, padding included."""
Path = tuple[int, np.ndarray]


@dataclass(frozen=True)
class Packed:
    """Rows of several sequences each.

    Args:
        input_ids, position_ids: [N, T].
        attends: [N, 1, T, T], true where a token (third axis) attends to another.
        paths: for each sequence its row, and the columns of its tokens there.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    attends: torch.Tensor
    paths: list[Path]


def pack(groups: Sequence[Sequence[Sequence[int]]], pad: int = 0) -> Packed:
    """Packs the sequences of each group; `paths` follow the groups' order, group after group. No sequence may be empty."""
    rows: list[list[tuple[int, int]]] = []  # token and position of every column
    paths: list[Path] = []
    for group in groups:
        found: dict[int, Path] = {}
        before: Sequence[int] = ()
        columns: list[int] = []
        for number in sorted(range(len(group)), key=lambda n: list(group[n])):
            sequence = group[number]
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, sequence, strict=False)))
            if not columns or shared < SHARED * len(sequence):
                rows.append([])
                shared = 0
            row = rows[-1]
            columns = columns[:shared] + list(range(len(row), len(row) + len(sequence) - shared))
            row += [(token, shared + place) for place, token in enumerate(sequence[shared:])]
            found[number], before = (len(rows) - 1, np.array(columns)), sequence
        paths += [found[number] for number in range(len(group))]
    return _tensors(rows, paths, pad)


def _tensors(rows: list[list[tuple[int, int]]], paths: list[Path], pad: int) -> Packed:
    longest = max(map(len, rows))
    filled = np.array([row + [(pad, 0)] * (longest - len(row)) for row in rows])
    # Padding attends to itself: a softmax over nothing would be no number.
    attends = np.tile(np.eye(longest, dtype=bool), (len(rows), 1, 1))
    for row, columns in paths:
        attends[row][np.ix_(columns, columns)] = np.tri(len(columns), dtype=bool)
    ids, positions = torch.from_numpy(filled[..., 0].copy()), torch.from_numpy(filled[..., 1].copy())
    return Packed(ids, positions, torch.from_numpy(attends)[:, None], paths)


def can_pack(loaded: LoadedModel, length: int) -> bool:
    """Whether this model takes positions and a mask as they are given, for prompts of up to `length` tokens: a decoder of known build
    without anything in the place of its own attention, whose sliding window, if it has one, is no shorter."""
    config = loaded.model.config
    window = getattr(config, "sliding_window", None)
    # Eager attention would add a mask of truth values to its scores; what a method puts in its place may not know such a mask.
    own = config._attn_implementation == "sdpa"
    return loaded.kind == "causal" and loaded.family.packs and own and (not window or window >= length)


def packed_states(
    loaded: LoadedModel, groups: Sequence[Sequence[Sequence[int]]], positions: Sequence[Sequence[Sequence[int]]]
) -> list[torch.Tensor] | None:
    """The last layer's states of every sequence at its positions, differentiable; None where packing them would save too little.

    Args:
        groups: B groups of K sequences; those of one group may begin alike.
        positions: as `groups`, the positions [M] asked of each sequence; M is the same for the k-th sequence of every group.

    Returns:
        K tensors [B, M, H].
    """
    packed, kinds = pack(groups), len(groups[0])
    alone = sum(len(groups) * max(len(group[kind]) for group in groups) for kind in range(kinds))
    if packed.input_ids.numel() > WORTH * alone:
        return None
    asked = [(row, columns[list(wanted)]) for (row, columns), wanted in zip(packed.paths, (p for g in positions for p in g), strict=True)]
    columns_of: list[dict[int, int]] = [{} for _ in packed.input_ids]
    for row, columns in asked:
        for column in columns.tolist():
            columns_of[row].setdefault(column, len(columns_of[row]))
    most = max(map(len, columns_of))
    read = torch.tensor([list(columns) + [0] * (most - len(columns)) for columns in columns_of], device=loaded.device)
    ids, places, attends = (tensor.to(loaded.device) for tensor in (packed.input_ids, packed.position_ids, packed.attends))
    states = last_states(loaded, ids, attends, read, position_ids=places)
    answers = []
    for kind in range(kinds):
        places = [(row, [columns_of[row][column] for column in columns.tolist()]) for row, columns in asked[kind::kinds]]
        answers.append(states[torch.tensor([[row] for row, _ in places]), torch.tensor([found for _, found in places])])
    return answers

