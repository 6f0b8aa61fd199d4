"""What the makers say of models that people know, to stand beside what a folder really holds."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.card import ModelCard


@dataclass(frozen=True)
class Published:
    """Figures of a published model; `parameters` as its page says it.

    Attributes:
        features: words of its architecture, as a card has them, that its makers or its published configuration say.
        tokenizer: the kind, such as BPE; empty where that is not known from them.
        tokens: how many it was trained on, and `languages` which; empty likewise.
    """

    name: str
    family: str
    parameters: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    vocabulary: int
    max_length: int
    features: tuple[str, ...] = ()
    tokenizer: str = ""
    tokens: str = ""
    languages: str = ""


MODERN = ("RMSNorm", "SwiGLU", "RoPE")
GROUPED, OWN_HEADS = "grouped-query attention", "multi-head attention"
PUBLISHED = (
    Published("Qwen2.5-0.5B", "qwen2", "0.49B", 24, 896, 14, 2, 151_936, 32_768, (*MODERN, GROUPED)),
    Published("Qwen2.5-1.5B", "qwen2", "1.54B", 28, 1536, 12, 2, 151_936, 32_768, (*MODERN, GROUPED)),
    Published("Qwen2.5-7B-Instruct", "qwen2", "7.61B", 28, 3584, 28, 4, 151_936, 32_768, (*MODERN, GROUPED)),
    Published("Qwen3-0.6B", "qwen3", "0.6B", 28, 1024, 16, 8, 151_936, 40_960, (*MODERN, GROUPED)),
    Published(
        "Baichuan-7B", "llama", "7B", 32, 4096, 32, 32, 64_000, 4096,
        features=("pre-normalisation", *MODERN, OWN_HEADS), tokenizer="BPE", tokens="1.2T", languages="zh_en",
    ),
    Published("Baichuan2-7B", "llama", "7B", 32, 4096, 32, 32, 125_696, 4096, ("RMSNorm", OWN_HEADS)),
)


def published_of(card: ModelCard) -> Published | None:
    """The published model of this card's shape, or None. Qwen checkpoints pad their vocabulary, so that may be a little larger."""
    for known in PUBLISHED:
        shape = (known.layers, known.hidden_size, known.heads, known.kv_heads)
        close = known.vocabulary <= card.vocabulary <= known.vocabulary + 512
        if card.family == known.family and shape == (card.layers, card.hidden_size, card.heads, card.kv_heads) and close:
            return known
    return None
