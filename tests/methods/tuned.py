"""Tiny loaded models, and what the tests of every method ask of them."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from tests.models.tiny import CAUSAL, make_model, make_tokenizer
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.recipe import PromptPart

WORDS = {"positive": ["great"], "negative": ["bad"]}
IDS = [[2, 7, 4, 8, 3]]


def load(name: str, **options: Any) -> LoadedModel:
    """A random two-layer model of a family with a word tokenizer."""
    model = make_model(name, **options)
    kind = "causal" if name in CAUSAL else "masked"
    return LoadedModel(model, make_tokenizer(), family_of(model, kind), kind, f"tiny-{name}", "0" * 64, torch.device("cpu"))


def prompt(*templates: str, **more: Any) -> PromptPart:
    """A prompt over the words of the tiny tokenizer."""
    return PromptPart(templates=list(templates) or ["{text} it was [MASK] ."], verbalizer={"kind": "manual", "words": WORDS}, **more)


def digest(model: torch.nn.Module) -> str:
    """SHA-256 over every weight and buffer."""
    sha = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        sha.update(name.encode() + value.cpu().numpy().tobytes())
    return sha.hexdigest()


def logits(loaded: LoadedModel, ids: list[list[int]] | None = None, **inputs: Any) -> torch.Tensor:
    """The model's own logits in evaluation mode."""
    loaded.model.eval()
    with torch.no_grad():
        return loaded.model(input_ids=torch.tensor(ids or IDS), **inputs).logits


def ids_with(attached: Any) -> list[list[int]]:
    """`IDS` with the method's soft tokens in it, where it has some."""
    soft = attached.soft
    return [[2, *(range(soft.start, soft.start + soft.count) if soft else ()), *IDS[0][1:]]]


def disturb(attached: Any, size: float = 0.1) -> None:
    """Moves every trained parameter, as training would."""
    torch.manual_seed(3)
    with torch.no_grad():
        for _, parameter in attached.parameters():
            parameter.add_(torch.randn_like(parameter) * size)
