"""What a method learnt, as numbers a person can look at: one table per method.

    nearest_words       soft tokens: the words of the vocabulary whose vectors point the same way (cosine)
    update_norms        LoRA: size of each matrix's update, as a share of the matrix itself (Frobenius)
    adapter_activation  adapters: size of what each adds, as a share of what it reads
    prefix_attention    deep prompts: share of its attention that each layer pays to the prefix
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

What = Literal["nearest_words", "update_norms", "adapter_activation", "prefix_attention"]
WORDS_SHOWN = 5


@dataclass(frozen=True)
class LearntRow:
    """One line of the table.

    Args:
        part: what the line is about: a soft token's number, or a module's name within its layer.
        layer: counted from 1, or None where there is none.
        value: a share or a cosine, as the table's kind says.
        words: nearest words with their cosines; soft tokens only.
    """

    part: str
    layer: int | None
    value: float
    words: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Learnt:
    """The table of one tuned model."""

    what: What
    rows: tuple[LearntRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Learnt:
        """Raises KeyError or TypeError for anything that `to_json` did not write."""
        return cls(content["what"], tuple(_row(row) for row in content["rows"]))


def _row(content: dict[str, Any]) -> LearntRow:
    words = tuple((str(word), float(cosine)) for word, cosine in content["words"])
    return LearntRow(str(content["part"]), content["layer"], float(content["value"]), words)


def nearest_words(vectors: Tensor, table: Tensor, tokenizer: Any) -> Learnt:
    """The nearest words of soft tokens [n, E] in a vocabulary table [V, E], special tokens left out."""
    known = min(len(tokenizer), table.shape[0])
    words = torch.nn.functional.normalize(table[:known].detach().float(), dim=1)
    cosines = torch.nn.functional.normalize(vectors.float().to(words.device), dim=1) @ words.T
    special = [token for token in tokenizer.all_special_ids if token < known]
    cosines[:, special] = -2.0
    values, ids = cosines.topk(min(WORDS_SHOWN, known), dim=1)
    rows = []
    for number, (row_values, row_ids) in enumerate(zip(values.tolist(), ids.tolist(), strict=True), 1):
        found = tuple((tokenizer.decode([token]).strip(), cosine) for token, cosine in zip(row_ids, row_values, strict=True))
        rows.append(LearntRow(str(number), None, row_values[0], found))
    return Learnt("nearest_words", tuple(rows))


def update_norms(norms: list[tuple[str, float, float]]) -> Learnt:
    """From a LoRA's (matrix, norm, share of the matrix's norm)."""
    return Learnt("update_norms", tuple(LearntRow(*split_layer(name), share) for name, _, share in norms))


def per_layer(what: What, names: list[str], values: list[list[float]]) -> Learnt:
    """The mean of what was watched at each place."""
    rows = [LearntRow(*split_layer(name), sum(seen) / max(1, len(seen))) for name, seen in zip(names, values, strict=True)]
    return Learnt(what, tuple(rows))


def split_layer(name: str) -> tuple[str, int | None]:
    """`bert.encoder.layer.3.attention.self.query` as ("query", 4): what it is, and which layer counted from 1."""
    numbers = re.findall(r"(?:^|\.)(\d+)(?=[._])", name)
    part = name.rpartition(".")[2] if "." in name else name.partition("_")[2] or name
    return part.replace("_", " ") if "." not in name else part, int(numbers[0]) + 1 if numbers else None
