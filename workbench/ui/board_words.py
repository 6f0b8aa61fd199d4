"""What a board says in sentences: one for every number, one paragraph for every paradigm, and significance without a p-value to misread."""

from __future__ import annotations

from typing import Any

from workbench.paradigms.cells import ON
from workbench.ui.markup import amount, esc, heading, percent, scrolled, sentence, size, table
from workbench.ui.text import Words

REAL = 0.05
COLORS = {"classical": "#8a6fb0", "from_scratch": "#d9822b", "fine_tuning": "#4a78c0", "prompting": "#2f8f98"}
COLUMNS = (
    "method", "accuracy", "interval", "spread", "macro_f1", "f1_interval", "rows", "trainable", "total", "size", "seconds", "speed",
    "memory", "energy",
)  # fmt: skip


def paradigm_name(name: str, t: Words) -> str:
    """A paradigm as the page calls it."""
    return t.get(f"board.paradigms.{name}.title", name)


def method_name(name: str, t: Words) -> str:
    """A method of any paradigm as the page calls it, with the language model where it is not the recipe's own."""
    method, _, model = name.partition(ON)
    title = t.get(f"board.methods.{method}", t.get(f"methods.{method}.title", method))
    return f"{title} ({model})" if model else title


def line_name(line: dict[str, Any], t: Words) -> str:
    """Paradigm and method of a line."""
    return f"{paradigm_name(line['paradigm'], t)} \u00b7 {method_name(line['method'], t)}"


def shots_name(key: str, t: Words) -> str:
    """A number of examples per class, in words."""
    return t("board.all_rows") if key == "all" else t("board.per_class", count=key)


def seed_of(cell: str) -> str:
    """The seed of the cell of this name."""
    return cell.rsplit("-", 1)[-1]


def color(paradigm: str) -> str:
    """A paradigm's colour; grey for one that came later."""
    return COLORS.get(paradigm, "#8a867f")


def paradigms_html(t: Words) -> str:
    """A paragraph for each of the four."""
    cards = "".join(
        f'<section class="pw-card" style="border-top: 3px solid {color(name)}"><h3 class="pw-heading">{esc(paradigm_name(name, t))}</h3>'
        f'<p class="pw-sentence">{esc(t(f"board.paradigms.{name}.story"))}</p></section>'
        for name in COLORS
    )
    return f'<div class="pw-duel">{cards}</div>'


def table_html(report: dict[str, Any], key: str, t: Words) -> str:
    """The lines at one number of examples, best first, and a sentence for every column."""
    lines = sorted((line for line in report["lines"] if line["shots"] == key), key=lambda line: -line["accuracy"]["value"])
    if not lines:
        return sentence(t("board.nothing_here"), "note")
    told = [name for name in COLUMNS if name != "energy" or any(line["energy_joules"] is not None for line in lines)]
    rows = [[dict(zip(COLUMNS, _cells(line, t), strict=True))[name] for name in told] for line in lines]
    headers = [t(f"board.columns.{name}") for name in told]
    numeric = frozenset(range(1, len(told)))
    pairs = [(t(f"board.columns.{name}"), t(f"board.explained.{name}")) for name in told]
    explained = "".join(f"<li><b>{esc(name)}</b> {esc(text)}</li>" for name, text in pairs)
    more = f'<details class="pw-explained"><summary>{esc(t("board.numbers"))}</summary><ul>{explained}</ul></details>'
    return heading(t("board.table", shots=shots_name(key, t))) + table(headers, rows, numeric=numeric) + more


def significance_html(report: dict[str, Any], key: str, t: Words) -> str:
    """Every pair of paradigms in one sentence: a difference, or none that can be told from luck."""
    pairs = report["pairs"].get(key, [])
    if not pairs:
        return ""
    champions = report["champions"][key]
    sentences = []
    for pair in pairs:
        ahead, behind = (pair["first"], pair["second"]) if pair["difference"] >= 0 else (pair["second"], pair["first"])
        values = {
            "ahead": f"{paradigm_name(ahead, t)} ({method_name(champions[ahead], t)})",
            "behind": f"{paradigm_name(behind, t)} ({method_name(champions[behind], t)})",
            "points": f"{abs(pair['difference']) * 100:.1f}",
            "chance": _chance(pair["adjusted"]),
        }
        real = pair["adjusted"] < REAL
        text = t("board.pair_real", **values) if real else t("board.pair_unsure", **values)
        sentences.append(sentence(text, "good" if real else "quiet"))
    return heading(t("board.significance")) + sentence(t("board.significance_help")) + "".join(sentences)


def disagreements_html(report: dict[str, Any], key: str, t: Words, shown: int = 12) -> str:
    """Rows on which the paradigms differ, each answer marked right or wrong."""
    found = report["disagreements"].get(key, [])
    if not found:
        return ""
    names = list(report["champions"][key])
    head = "".join(f'<th scope="col">{esc(paradigm_name(name, t))}</th>' for name in names)
    rows = []
    for row in found[:shown]:
        text = " \u00b7 ".join(row["fields"].values())
        answers = "".join(_verdict(row["answers"][name], row["label"]) for name in names)
        rows.append(f"<tr><td>{row['line']}</td><td>{esc(text[:220])}</td><td>{esc(row['label'])}</td>{answers}</tr>")
    columns = "".join(f'<th scope="col">{esc(name)}</th>' for name in (t("data.line"), t("board.text"), t("board.label")))
    lines = f'<thead><tr>{columns}{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
    title = t("board.disagreements", count=len(found))
    return heading(title) + sentence(t("board.disagreements_help")) + scrolled(f'<table class="pw-table">{lines}</table>', title)


def notes_html(report: dict[str, Any], t: Words) -> str:
    """How the rows were parted, what was left out, and what could not be done."""
    rule = t("board.rule", test=report["test_rows"], seeds=len(report["seeds"]))
    refused = [f"{line_name(cell, t)}: " + t.said(f"{cell['message']} {cell['fix']}") for cell in report["refused"]]
    lines = [sentence(rule), *(sentence(t.said(note), "note") for note in report["notes"][:8])]
    return "".join([*lines, *(sentence(text, "warning") for text in dict.fromkeys(refused))])


def why_html(why: Any, t: Words) -> str:
    """The text with each piece coloured by what it said, and the strongest phrases."""
    largest = max((abs(reason.weight) for reason in why.reasons), default=0.0) or 1.0
    parts, place = [], 0
    for reason in why.reasons:
        share = min(1.0, abs(reason.weight) / largest)
        side = "pw-for" if reason.weight >= 0 else "pw-against"
        parts.append(esc(why.text[place : reason.start]))
        piece = esc(why.text[reason.start : reason.end])
        parts.append(f'<mark class="pw-reason {side}" style="--share:{share:.3f}" title="{reason.weight:+.3f}">{piece}</mark>')
        place = reason.end
    text = "".join([*parts, esc(why.text[place:])])
    words = "".join(f'<span class="pw-word"><b>{esc(phrase)}</b> {weight:+.2f}</span>' for phrase, weight in why.phrases[:8])
    phrases = f'<h4>{esc(t("board.phrases"))}</h4><div>{words}</div>' if words else ""
    return f'<p class="pw-why">{text}</p>{phrases}<p class="pw-sentence pw-quiet">{esc(t(f"board.why_{why.method}"))}</p>'


def _verdict(answer: str, label: str) -> str:
    side = "pw-good" if answer == label else "pw-off"
    return f'<td><span class="pw-verdict {side}">{esc(answer)}</span></td>'


def _cells(line: dict[str, Any], t: Words) -> list[str]:
    accuracy, f1 = line["accuracy"], line["macro_f1"]
    spread = f"\u00b1 {accuracy['spread'] * 100:.1f}" if len(line["cells"]) > 1 else "\u2013"
    energy = "\u2013" if line["energy_joules"] is None else f"{line['energy_joules']:,.0f} J"
    return [
        line_name(line, t), percent(accuracy["value"]), _interval(accuracy), spread, percent(f1["value"]), _interval(f1),
        f"{line['rows']:,.0f}", amount(line["trainable_parameters"]), amount(line["total_parameters"]), size(line["model_bytes"]),
        f"{line['seconds']:.1f} s", f"{line['milliseconds_per_row']:.2f} ms", size(line["peak_memory_bytes"]), energy,
    ]  # fmt: skip


def _interval(figure: dict[str, float]) -> str:
    return f"{percent(figure['low'])} \u2013 {percent(figure['high'])}"


def _chance(p: float) -> str:
    """A probability as a share that a person can read."""
    return "< 0.1%" if p < 0.001 else f"{p * 100:.1f}%" if p < 0.1 else f"{p * 100:.0f}%"
