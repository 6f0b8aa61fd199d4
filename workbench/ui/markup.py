"""The page's own HTML. Every value passes through `esc`, which leaves nothing that HTML or gradio's templates would read as code."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate

from workbench.ui.text import Words

# gr.HTML fills its value into a JavaScript and Handlebars template: braces, dollars and backticks must not survive as themselves.
_TEMPLATE_MARKS = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;", "\\": "&#92;"})
LONGEST_LABEL = 24


def esc(value: object) -> str:
    """`value` as text that is safe between tags and inside quoted attributes."""
    return html.escape(str(value), quote=True).translate(_TEMPLATE_MARKS)


def sentence(text: str, tone: str = "quiet") -> str:
    """One paragraph; tones: quiet, note, warning, error, good."""
    role = ' role="alert"' if tone == "error" else ""
    return f'<p class="pw-sentence pw-{tone}"{role}>{esc(text)}</p>'


def problem(message: str, fix: str, t: Words) -> str:
    """What is wrong, and below it what to do; the engine's English becomes the page's language."""
    fix_line = f'<span class="pw-fix">{esc(t.said(fix))}</span>' if fix else ""
    return f'<div class="pw-problem" role="alert"><strong>{esc(t.said(message))}</strong>{fix_line}</div>'


def heading(text: str) -> str:
    """A heading within a tab."""
    return f'<h3 class="pw-heading">{esc(text)}</h3>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Small tiles: a name and a value each."""
    tiles = "".join(f'<div class="pw-tile"><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>' for name, value in pairs)
    return f'<dl class="pw-tiles">{tiles}</dl>'


def chips(values: Iterable[str]) -> str:
    """Short values side by side, each in a frame of its own."""
    return "".join(f'<span class="pw-chip">{esc(value)}</span>' for value in values)


def short(text: str, most: int) -> str:
    """The text, cut to the width of `most` Latin letters with an ellipsis for what is missing; a Chinese character is as wide as two."""
    ends = list(accumulate(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text[: most + 1]))
    if len(text) <= most and (not ends or ends[-1] <= most):
        return text
    return f"{text[: sum(end < most for end in ends)]}\u2026"


def scrolled(content: str, name: str, save: str = "") -> str:
    """A wide table in a box that scrolls, called `name`; `save` is the file that its csv is kept as, if it can be."""
    # What is wider than the window is read with the arrow keys, for which it must be reached and have a name.
    shown = f'<div class="pw-scroll" role="group" tabindex="0" aria-label="{esc(name)}">{content}</div>'
    return f'<div data-csv="{esc(save)}">{shown}</div>' if save else shown


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: frozenset[int] = frozenset(), save: str = "") -> str:
    """A plain table; columns in `numeric` are set right. `save` is the name of the csv file that it can be had as."""
    head = "".join(f'<th scope="col"{_right(i, numeric)}>{esc(header)}</th>' for i, header in enumerate(headers))
    body = "".join(
        "<tr>" + "".join(f"<td{_right(i, numeric)}>{esc(cell)}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    shown = f'<table class="pw-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return scrolled(shown, ", ".join(headers), save)


def bars(pairs: Iterable[tuple[str, float]], *, winner: str | None = None) -> str:
    """Horizontal bars for probabilities in [0, 1], the winner's set off."""
    lines = []
    for name, share in pairs:
        best = " pw-best" if name == winner else ""
        lines.append(
            f'<div class="pw-bar{best}"><span class="pw-bar-name" title="{esc(name)}">{esc(name)}</span>'
            f'<span class="pw-bar-track"><span class="pw-bar-fill" style="width:{max(0.0, min(1.0, share)) * 100:.1f}%"></span></span>'
            f'<span class="pw-bar-value">{percent(share)}</span></div>'
        )
    return f'<div class="pw-bars">{"".join(lines)}</div>'


def token(text: str, role: str, title: str = "") -> str:
    """One token of a prompt. `role` is text, template, mask, special or soft; blanks are made visible at the edges only."""
    shown = esc(text) or "&nbsp;"
    hint = f' title="{esc(title)}"' if title else ""
    return f'<span class="pw-token pw-role-{esc(role)}"{hint}>{shown}</span>'


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], actual: str, predicted: str, *, save: str = "") -> str:
    """A confusion matrix, true classes in rows; each cell is shaded by its share of the row. `save` as for `table`."""
    head = "".join(f'<th scope="col"{_name(label)}' for label in labels)
    rows = []
    for label, counts in zip(labels, matrix, strict=True):
        total = sum(counts) or 1
        cells = "".join(
            f'<td class="pw-cell{" pw-hit" if other == label else ""}" style="--share:{count / total:.3f}">{count}</td>'
            for other, count in zip(labels, counts, strict=True)
        )
        rows.append(f'<tr><th scope="row"{_name(label)}{cells}</tr>')
    return scrolled(
        f'<table class="pw-confusion"><caption>{esc(predicted)} &rarr;</caption>'
        f'<thead><tr><td class="pw-corner">{esc(actual)} &darr;</td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>',
        predicted,
        save,
    )


def progress(share: float, text: str) -> str:
    """A thin bar with a line of text below it; `share` in [0, 1]."""
    width = max(0.0, min(1.0, share)) * 100
    return (
        f'<div class="pw-progress" role="progressbar" aria-label="{esc(text) or percent(share)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{width:.0f}">'
        f'<div class="pw-progress-fill" style="width:{width:.2f}%"></div></div><p class="pw-sentence pw-quiet">{esc(text)}</p>'
    )


def all_fields(t: Words) -> str:
    """The switch between the fields that matter and all of them; the page's script hears it, and the browser remembers."""
    few, every = esc(t("forms.few")), esc(t("forms.all"))
    sides = f'<span class="pw-all-on">{few}</span><span class="pw-all-off">{every}</span>'
    return f'<button type="button" class="pw-all" data-all>{sides}</button>'


def percent(share: float) -> str:
    """A share from 0 to 1 as a percentage with one decimal."""
    return f"{share * 100:.1f}%" if share < 0.9995 else "100%"


def small(probability: float) -> str:
    """A probability that may be tiny."""
    return percent(probability) if probability >= 0.001 else f"{probability:.0e}".replace("e-0", "e-")


def amount(number: float) -> str:
    """1234567 as 1.2M: three figures a person can hold in mind."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            return f"{number / (1e3 if unit == 'k' else limit):.3g}{unit}"
    return f"{number:,.0f}"


def size(bytes_: float) -> str:
    """Bytes in the unit that leaves one to four figures."""
    for limit, unit in ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if bytes_ >= limit:
            return f"{bytes_ / limit:.1f} {unit}"
    return f"{bytes_:.0f} B"


def duration(seconds: float) -> str:
    """Seconds as 42 s, 3:07 or 2:14:09."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def stage_text(stage: str, t: Words) -> str:
    """A stage of loading or of other work in words, with the bytes that it moves and the time left where these are known."""
    shown, left = t.get(f"model.stage_{stage}", stage), getattr(stage, "seconds_left", None)
    if getattr(stage, "total", 0):
        shown += f", {t('model.stage_bytes', done=size(stage.done), total=size(stage.total))}"  # type: ignore[attr-defined]
    return f"{shown}, {t('model.stage_left', time=duration(left))}" if left is not None else shown


def _name(label: str) -> str:
    """A class's name in a table's head: short, with the whole where the pointer rests, and in the csv."""
    shown = short(label, LONGEST_LABEL)
    whole = f' title="{esc(label)}"' if shown != label else ""
    return f"{whole}>{esc(shown)}</th>"


def _right(index: int, numeric: frozenset[int]) -> str:
    return ' class="pw-right"' if index in numeric else ""
