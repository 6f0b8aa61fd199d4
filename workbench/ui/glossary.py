"""The words of the trade, each in one sentence with the paper it comes from; sentences of the page link to them."""

from __future__ import annotations

import re

from workbench.ui.markup import esc
from workbench.ui.text import Words

TERMS = (
    "template", "verbalizer", "mask", "masked_model", "causal_model", "zero_shot", "pet", "soft_prompt", "p_tuning", "prefix", "adapter",
    "lora", "bitfit", "calibration", "quantization", "learning_rate", "epoch", "validation", "overfitting", "macro_f1", "mcnemar",
)  # fmt: skip


def glossary_html(t: Words) -> str:
    """Every term with its sentence and source, folded up until somebody follows a link or opens it."""
    entries = "".join(
        f'<div id="term-{term}"><dt>{esc(t(f"glossary.{term}.name"))}</dt><dd>{esc(t(f"glossary.{term}.says"))}'
        f'{_source(t.get(f"glossary.{term}.paper", ""))}</dd></div>'
        for term in TERMS
    )
    return f'<details class="pw-glossary" id="glossary"><summary>{esc(t("glossary.title"))}</summary><dl>{entries}</dl></details>'


def lead(text: str, t: Words, tone: str = "quiet") -> str:
    """As `sentence`, the first mention of every term a link to its entry."""
    found: dict[str, str] = {}
    names = {t(f"glossary.{term}.name").casefold(): term for term in TERMS}
    longest_first = sorted(names, key=len, reverse=True)
    edge = r"\b" if t.language == "en" else ""
    plural = "s?" if t.language == "en" else ""
    pattern = re.compile(f"{edge}({'|'.join(map(re.escape, longest_first))}){plural}{edge}", re.IGNORECASE)

    def link(match: re.Match[str]) -> str:
        term = names[match[1].casefold()]
        if term in found:
            return match[0]
        found[term] = match[0]
        says = esc(t(f"glossary.{term}.says"))
        return f'<a class="pw-term" href="#term-{term}" title="{says}">{match[0]}</a>'

    # Escaped first: no term holds a character that escaping changes.
    return f'<p class="pw-sentence pw-{tone}">{pattern.sub(link, esc(text))}</p>'


def _source(paper: str) -> str:
    return f' <cite>{esc(paper)}</cite>' if paper and paper != "-" else ""
