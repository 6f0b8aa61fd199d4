"""What a run learnt, as the page shows it: a table with bars and one sentence that says how to read it."""

from __future__ import annotations

from typing import Any

from workbench.ui.markup import esc, heading, sentence, table
from workbench.ui.text import Words

ROWS_SHOWN = 60


def learnt_html(content: dict[str, Any], t: Words) -> str:
    """A run's `learnt` event, or nothing when the run has none.

    Args:
        content: "what" and "rows" as `workbench.methods.learnt.Learnt.to_json` writes them.
    """
    rows = list(content.get("rows") or [])[:ROWS_SHOWN]
    if not rows:
        return ""
    head = heading(t("learnt.title")) + sentence(t(f"learnt.{content['what']}"))
    return head + (_words(rows, t) if content["what"] == "nearest_words" else _shares(rows, t))


def _words(rows: list[dict[str, Any]], t: Words) -> str:
    lines = [(row["part"], " \u00b7 ".join(f"{word} {cosine:.2f}" for word, cosine in row["words"])) for row in rows]
    return table([t("learnt.soft_token"), t("learnt.words")], lines, save="learnt")


def _shares(rows: list[dict[str, Any]], t: Words) -> str:
    """Bars to scale with the largest, the true shares beside them."""
    largest = max(float(row["value"]) for row in rows) or 1.0
    names = [f"{t('learnt.layer', number=row['layer'])} \u00b7 {row['part']}" if row["layer"] else str(row["part"]) for row in rows]
    lines = "".join(
        f'<div class="pw-bar"><span class="pw-bar-name" title="{esc(name)}">{esc(name)}</span>'
        f'<span class="pw-bar-track"><span class="pw-bar-fill" style="width:{float(row["value"]) / largest * 100:.1f}%"></span></span>'
        f'<span class="pw-bar-value">{float(row["value"]):.2%}</span></div>'
        for name, row in zip(names, rows, strict=True)
    )
    return f'<div data-csv="learnt"><div class="pw-bars">{lines}</div></div>'
