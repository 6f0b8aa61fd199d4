"""Where a method's parameters sit in the model, drawn: input, one layer, head; trained parts stand out, frozen ones stand back."""

from __future__ import annotations

from workbench.ui.markup import esc
from workbench.ui.text import Words


def drawing(places: frozenset[str], layers: int, t: Words, last: int | None = None) -> str:
    """The drawing as HTML, read from the input at the top to the head at the bottom.

    Args:
        places: as `Attached.places` names them.
        layers: how many layers the model has.
        last: how many of them, from the output, look like the one drawn; None for all.
    """
    prompt = _box("place_prompt", True, t) if "prompt" in places else ""
    entry = f'<div class="pw-draw-row">{prompt}{_box("place_text", False, t, plain=True)}</div>'
    words = f'<div class="pw-draw-row">{_box("place_embeddings", "embeddings" in places, t)}</div>'
    parts = [
        _box("place_prefix", True, t) if "prefix" in places else "",
        _box("place_attention", "attention" in places, t, _beside("attention", places, t)),
        _box("place_feed_forward", "feed_forward" in places, t, _beside("feed_forward", places, t)),
        _box("place_adapter", True, t) if "adapter_layer" in places else "",
        _box("place_biases", "biases" in places, t) if "biases" in places else "",
    ]
    said = t("method.layers", count=layers) if last is None else t("method.last_layers", last=last, count=layers)
    count = f"<p>{esc(said)}</p>"
    layer = f'<div class="pw-draw-layer"><div class="pw-draw-row">{"".join(parts)}</div>{count}</div>'
    head = f'<div class="pw-draw-row">{_box("place_head", "head" in places, t)}</div>'
    arrow = '<div class="pw-draw-arrow" aria-hidden="true">\u2193</div>'
    legend = (
        f'<p class="pw-draw-legend"><span class="pw-draw-trained">{esc(t("method.trained"))}</span> '
        f'<span class="pw-draw-frozen">{esc(t("method.frozen"))}</span></p>'
    )
    rows = arrow.join([entry, words, layer, head])
    return f'<div class="pw-draw" role="img" aria-label="{esc(description(places, t))}">{rows}</div>{legend}'


def description(places: frozenset[str], t: Words) -> str:
    """The drawing in words: which parts train."""
    names = {
        "adapter_attention": "place_adapter", "adapter_feed_forward": "place_adapter", "adapter_layer": "place_adapter",
        "low_rank_attention": "place_low_rank", "low_rank_feed_forward": "place_low_rank",
    }
    known = sorted({names.get(place, f"place_{place}") for place in places})
    return f"{t('method.where')}: {', '.join(t(f'method.{key}') for key in known)} ({t('method.trained')})"


def _beside(part: str, places: frozenset[str], t: Words) -> str:
    added = [key for key in ("low_rank", "adapter") if f"{key}_{part}" in places]
    return "".join(f'<span class="pw-draw-trained">{esc(t(f"method.place_{key}"))}</span>' for key in added)


def _box(key: str, trained: bool, t: Words, inside: str = "", *, plain: bool = False) -> str:
    tone = "" if plain else " pw-draw-trained" if trained else " pw-draw-frozen"
    return f'<span class="pw-draw-box{tone}">{esc(t(f"method.{key}"))}{inside}</span>'
