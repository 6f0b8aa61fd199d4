"""What the bench leaves: a table for people, one JSON object, and a picture of every ratio against its goal."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workbench.bench.comparison import Row, Scale, chosen, run_comparisons

ROUNDS = 3
PACKAGES = ("torch", "transformers", "peft", "gradio", "safetensors")
WORDS = {True: "met", False: "missed", None: ""}
COLUMNS = ("goal", "work", "against", "figure", "goal for it", "")


def measure_all(*, quick: bool, goals: Sequence[str], out: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs the comparisons of `goals` (all when empty), says the table, and writes bench.json, bench.md and bench.svg to `out`.

    Returns:
        {"machine": {...}, "quick": bool, "rows": [{goal, work, peer, value, wanted, unit, met, figures, note}]}.
    """
    from workbench.bench import comparisons

    known = chosen(comparisons(), goals)
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        rows = run_comparisons(known, Scale(quick, 1 if quick else ROUNDS, Path(folder), say))
    answer = {"machine": machine(), "quick": quick, "rows": [row.to_json() for row in rows]}
    text = table(rows)
    say(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "bench.json").write_text(json.dumps(answer, indent=1, ensure_ascii=False), encoding="utf-8")
        (out / "bench.md").write_text(text + "\n", encoding="utf-8")
        (out / "bench.svg").write_text(picture(rows), encoding="utf-8")
    return answer


def figure_text(value: float | None, unit: str) -> str:
    """A figure with its unit; a dash when there is none."""
    if value is None:
        return "-"
    return f"{value:.3g}{unit}" if unit in ("x", "%") else f"{value:.3g} {unit}"


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, which reads well in a terminal too."""
    lines = [COLUMNS]
    for row in rows:
        wanted = "" if row.wanted is None else ("at most " if row.at_most else "") + figure_text(row.wanted, row.unit)
        outcome = " ".join(part for part in (WORDS[row.met], row.note) if part)
        lines.append((row.goal, row.work, row.peer, figure_text(row.value, row.unit), wanted, outcome))
    widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))]
    texts = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def machine() -> dict[str, Any]:
    """What the figures were taken on: processor, cores, system, packages; no name of the machine."""
    import torch

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def picture(rows: Sequence[Row]) -> str:
    """An SVG: one bar per ratio, on a logarithmic scale, with a tick at its goal."""
    shown = [row for row in rows if row.unit == "x" and row.value]
    if not shown:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'
    most = max(max(row.value or 1, row.wanted or 1) for row in shown)

    def place(value: float) -> float:
        return 380 + 380 * math.log(max(value, 1)) / math.log(max(most, 2))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="840" height="{28 * len(shown) + 30}" font-family="sans-serif" font-size="12">'
    ]
    for number, row in enumerate(shown):
        top = 10 + 28 * number
        value, colour = row.value or 0.0, "#2f8f98" if row.met is not False else "#d9822b"
        parts.append(f'<text x="372" y="{top + 14}" text-anchor="end">{escape(f"{row.goal} {row.work}, {row.peer}"[:62])}</text>')
        parts.append(f'<rect x="380" y="{top}" width="{place(value) - 380:.1f}" height="18" fill="{colour}"/>')
        parts.append(f'<text x="{place(value) + 6:.1f}" y="{top + 14}">{figure_text(value, "x")}</text>')
        if row.wanted:
            parts.append(f'<line x1="{place(row.wanted):.1f}" x2="{place(row.wanted):.1f}" y1="{top - 3}" y2="{top + 21}" stroke="#333"/>')
    return "\n".join([*parts, "</svg>"])
