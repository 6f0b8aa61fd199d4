"""A model's architecture as an SVG, from its card alone: embedding, N times a block, head, with the heads of attention drawn one by one."""

from __future__ import annotations

from collections.abc import Callable

from workbench.models.card import ModelCard
from workbench.ui.svg import INK, LINE, PAPER, Sheet
from workbench.ui.text import Words

WIDTH = 340
MIDDLE, LEFT, RIGHT = 170, 52, 288
MOST_HEADS = 32  # more are drawn as this many, with their number beside
IDEAS = (
    ("RoPE", "rope"), ("learned positions", "learned"), ("RMSNorm", "rmsnorm"), ("LayerNorm after each block", "layernorm_after"),
    ("LayerNorm before each block", "layernorm_before"), ("normalised queries and keys", "head_norms"),
    ("biases on query, key and value", "biases"), ("SwiGLU", "swiglu"), ("GeGLU", "geglu"), ("local and global layers", "local"),
    ("tied embeddings", "tied"),
)  # fmt: skip
ATTENTION, QUERY, NORM, FEED, TABLE = "#2f8f98", "#8fc7cc", "#b9a36a", "#7a6db0", "#5f7f9f"


def drawing(card: ModelCard, t: Words) -> str:
    """The drawing, read from bottom (tokens) to top (words). Everything in it follows from the card's counts and features."""
    sheet = _Sheet()
    features = set(card.features)
    norm = "RMSNorm" if "RMSNorm" in features else "LayerNorm"
    norms = card.norms or [False] * 4
    sheet.box(t("draw.head"), f"{card.hidden_size:,} \u2192 {card.vocabulary:,}", TABLE, note=_tied(features, t))
    sheet.arrow()
    if norms[0]:
        sheet.box(norm, "", NORM, height=20)
        sheet.arrow()
    top = sheet.y - 6
    sheet.y += 6
    _block(sheet, card, norm, norms, t)
    sheet.frame(top, sheet.y + 2, t("draw.times", n=card.layers))
    sheet.y += 8
    sheet.arrow()
    learned = "learned positions" in features
    place = t("draw.learned", n=f"{card.max_length:,}") if learned else t("draw.rope") if "RoPE" in features else ""
    sheet.box(t("draw.embedding"), f"{card.vocabulary:,} \u2192 {card.hidden_size:,}", TABLE, note=place)
    sheet.arrow()
    sheet.text(t("draw.tokens"), MIDDLE, sheet.y + 12, size=12)
    sheet.y += 20
    label = t("draw.label", name=card.name, layers=card.layers, heads=card.heads, kv=card.kv_heads)
    return sheet.svg(label, WIDTH, sheet.y, "pw-drawing")


def ideas(card: ModelCard, t: Words) -> list[str]:
    """One sentence for every idea that this model uses, with its own numbers."""
    found = []
    features = set(card.features)
    if not card.heads:
        found.append(t("idea.no_heads"))
    elif card.kv_heads < card.heads:
        cache, whole = card.cache_bytes_per_token, card.cache_bytes_per_token_all_heads
        shares = {"heads": card.heads, "kv": card.kv_heads, "times": f"{whole / cache:g}"}
        found.append(t("idea.gqa", **shares, cache=f"{cache:,}", all=f"{whole:,}"))
    elif card.kind == "causal":
        found.append(t("idea.mha", heads=card.heads, cache=f"{card.cache_bytes_per_token:,}"))
    found += [t(f"idea.{key}") for feature, key in IDEAS if feature in features]
    found.append(t("idea.causal" if card.kind == "causal" else "idea.masked"))
    return found


def _block(sheet: _Sheet, card: ModelCard, norm: str, norms: list[bool], t: Words) -> None:
    """Attention below and the feed-forward part above it, each with its norms inside the way around it where they stand there."""

    def sub_layer(draw: Callable[[_Sheet, ModelCard, Words], None], before: bool, behind: bool) -> None:
        start, inside = sheet.y, before or not behind
        if behind and not before:
            sheet.box(norm, "", NORM, height=20)
            sheet.arrow(8)
        sheet.plus()
        sheet.arrow(8)
        if behind and before:
            sheet.box(norm, "", NORM, height=20)
            sheet.arrow(8)
        draw(sheet, card, t)
        if before:
            sheet.arrow(8)
            sheet.box(norm, "", NORM, height=20)
        sheet.bypass(start + (8 if inside else 36), sheet.y + 5)
        sheet.y += 10

    if card.heads or card.parameters_by_part["feed_forward"]:  # Mamba has one part only
        sub_layer(_feed_forward, norms[2], norms[3])
    sub_layer(_attention if card.heads else _mixing, norms[0], norms[1])


def _mixing(sheet: _Sheet, card: ModelCard, t: Words) -> None:
    """What stands in attention's place in an architecture without it."""
    sheet.box(t("draw.mixing"), "", ATTENTION, height=24)


def _feed_forward(sheet: _Sheet, card: ModelCard, t: Words) -> None:
    name = "SwiGLU" if "SwiGLU" in card.features else "GeGLU" if card.gated else t("draw.feed_forward")
    size = f"{card.hidden_size:,} \u2192 {card.feed_forward_size:,} \u2192 {card.hidden_size:,}" if card.feed_forward_size else ""
    sheet.box(name, size, FEED, note=t("draw.gate") if card.gated else "")


def _attention(sheet: _Sheet, card: ModelCard, t: Words) -> None:
    """Query heads in a row, each group above the key/value head that it shares."""
    top, normed = sheet.y, "normalised queries and keys" in card.features
    height = 88 if normed else 74
    sheet.rect(LEFT, top, RIGHT - LEFT, height, PAPER, ATTENTION)
    sheet.text(t("draw.attention"), MIDDLE, top + 14, size=12, weight=600)
    heads = min(card.heads, MOST_HEADS)
    groups = max(1, min(heads, round(heads * card.kv_heads / card.heads)))
    step = (RIGHT - LEFT - 24) / heads
    for head in range(heads):
        sheet.rect(LEFT + 12 + head * step + step * 0.1, top + 22, step * 0.8, 12, QUERY, "none")
    wide = (RIGHT - LEFT - 24) / groups
    for group in range(groups):
        x = LEFT + 12 + group * wide
        sheet.rect(x + wide * 0.06, top + 42, wide * 0.88, 12, ATTENTION, "none")
        sheet.line(x + wide / 2, top + 35, x + wide / 2, top + 41)
    counts = {"heads": card.heads, "kv": card.kv_heads, "size": card.head_size}
    said = t("draw.heads_own", **counts) if card.kv_heads == card.heads else t("draw.heads", **counts)
    sheet.text(said, MIDDLE, top + 68, size=10.5)
    if normed:
        sheet.text(t("draw.head_norms"), MIDDLE, top + 82, size=10.5)
    sheet.y = top + height


def _tied(features: set[str], t: Words) -> str:
    return t("draw.tied") if "tied embeddings" in features else ""


class _Sheet(Sheet):
    """A sheet with a pen that moves down."""

    def __init__(self) -> None:
        super().__init__()
        self.y = 8.0

    def box(self, title: str, detail: str, colour: str, *, note: str = "", height: float = 36) -> None:
        if note:
            height += 13
        self.rect(LEFT, self.y, RIGHT - LEFT, height, PAPER, colour)
        self.rect(LEFT, self.y, 5, height, colour, "none")
        self.text(title, MIDDLE, self.y + 14, size=12, weight=600)
        if detail:
            self.text(detail, MIDDLE, self.y + 28, size=10.5)
        if note:
            self.text(note, MIDDLE, self.y + height - 7, size=10.5)
        self.y += height

    def arrow(self, length: float = 14) -> None:
        self.line(MIDDLE, self.y, MIDDLE, self.y + length)
        tip = f"M{MIDDLE - 3} {self.y + 5:.1f} L{MIDDLE} {self.y:.1f} L{MIDDLE + 3} {self.y + 5:.1f}"
        self.parts.append(f'<path d="{tip}" fill="none" stroke="{INK}"/>')
        self.y += length

    def plus(self) -> None:
        self.parts.append(f'<circle cx="{MIDDLE}" cy="{self.y + 8:.1f}" r="7" fill="{PAPER}" stroke="{INK}"/>')
        self.text("+", MIDDLE, self.y + 12, size=12)
        self.y += 15

    def bypass(self, top: float, bottom: float) -> None:
        """The way around a part: what comes in is added to what comes out."""
        x = LEFT - 14
        self.line(MIDDLE, bottom, x, bottom)
        self.line(x, bottom, x, top)
        self.line(x, top, MIDDLE - 7, top)

    def frame(self, top: float, bottom: float, label: str) -> None:
        self.parts.insert(
            0,
            f'<rect x="{LEFT - 26}" y="{top:.1f}" width="{RIGHT - LEFT + 52}" height="{bottom - top:.1f}" rx="9" fill="none" '
            f'stroke="{LINE}" stroke-dasharray="4 3"/>',
        )
        self.text(label, RIGHT + 22, top + 16, size=13, weight=650, anchor="end")


