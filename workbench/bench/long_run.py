"""P9: what one look at a run of 100,000 steps costs and carries, next to a run of 100."""

from __future__ import annotations

import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

from workbench.bench.comparison import Row, Scale, comparison
from workbench.recipe import Recipe
from workbench.runs.service import RunService

STEPS = 100_000
SPIKES = {13: 9.5, 50_021: 8.5, 99_983: 7.5}


@comparison("P9", "charts of a long run")
def long_run(scale: Scale) -> list[Row]:
    """The train tab's own view and figures, in milliseconds of processor time, after ten new steps; bytes as they go to the browser."""
    service = RunService(scale.folder / "runs")
    try:
        long_id, short_id = (_write_run(service, steps) for steps in (STEPS, 100))
        looks = {run: [_look(service, run) for _ in range(3 if scale.quick else 9)] for run in (long_id, short_id)}
    finally:
        service.close()
    milliseconds, short = (statistics.median(taken for taken, _ in looks[run]) for run in (long_id, short_id))
    content = looks[long_id][-1][1]
    shown = _drawn(content)
    kept = sum(math.isclose(shown.get(step, 0), value, rel_tol=1e-6) for step, value in SPIKES.items())
    figures = {"steps": STEPS, "spikes_kept": f"{kept} of {len(SPIKES)}", "milliseconds_of_100_steps": round(short, 2)}
    work, peer = f"a poll of {STEPS:,} steps", "a run of 100 steps"
    size = len(json.dumps(content, separators=(",", ":"))) / 1000
    return [
        Row("P9", work, peer, round(milliseconds, 2), 20.0, unit="ms", at_most=True, figures=figures),
        Row("P9", work, peer, round(size, 1), 50.0, unit="kB", at_most=True, figures=figures),
        Row("P9", f"{work}, spikes kept", peer, 100.0 * kept / len(SPIKES), 100.0, unit="%", figures=figures),
    ]


def _write_run(service: RunService, steps: int) -> str:
    """A run whose log holds `steps` training steps and twenty evaluations, made without training."""
    run_id = service.store.add(Recipe(name=f"{steps} steps"))
    service.store.update(run_id, status="finished")
    log = service.store.folder(run_id) / "events.jsonl"
    plan = {"seq": 0, "kind": "plan", "total_steps": steps, "labels": ["a", "b"], "trainable_parameters": 1000, "notes": []}
    with open(log, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(plan) + "\n")
        for step in range(1, steps + 1):
            stream.write(_line(step, steps))
    return run_id


def _line(step: int, steps: int) -> str:
    loss = SPIKES.get(step, 0.3 + math.exp(-step / 9000) * (1 + 0.2 * math.sin(step)))
    event: dict[str, Any] = {
        "seq": 2 * step, "time": 1.7e9 + step, "kind": "train", "step": step, "epoch": step / 100, "loss": loss, "learning_rate": 1e-4,
        "gradient_norm": 1.0, "examples_per_second": 100.0, "memory_bytes": 10**9, "seconds_left": 1.0,
    }  # fmt: skip
    line = json.dumps(event) + "\n"
    if step % max(1, steps // 20) == 0:
        figures = {"accuracy": 0.5, "macro_f1": 0.5, "loss": loss, "confusion": [[1, 2], [3, 4]], "labels": ["a", "b"]}
        line += json.dumps({"seq": 2 * step + 1, "kind": "evaluation", "step": step, **figures}) + "\n"
    return line


def _look(service: RunService, run_id: str) -> tuple[float, list[Any]]:
    """Ten more steps, then what the poll does: milliseconds and what it sends."""
    from workbench.ui.tabs.train import confusion_html, draw, status_html
    from workbench.ui.text import Words
    from workbench.ui.train_charts import accuracy_figure, loss_figure

    log: Path = service.store.folder(run_id) / "events.jsonl"
    draw(service, run_id)
    last = service.read(run_id, 1 << 60).step
    with open(log, "a", encoding="utf-8") as stream:
        stream.writelines(_line(last + more, 1 << 40) for more in range(1, 11))
    words = Words("en")
    started = time.process_time()
    shown = draw(service, run_id)
    figures = [figure(shown, words).to_json() for figure in (loss_figure, accuracy_figure)]
    texts = [status_html(shown, words), confusion_html(shown, words)]
    return (time.process_time() - started) * 1000, [*texts, *(json.loads(figure) for figure in figures)]


def _drawn(content: list[Any]) -> dict[int, float]:
    """Step -> value of the first line of the loss figure."""
    import base64

    import numpy as np

    line = content[2]["data"][0]
    steps, values = (np.frombuffer(base64.b64decode(line[axis]["bdata"]), dtype=line[axis]["dtype"]) for axis in ("x", "y"))
    return dict(zip(steps.tolist(), values.tolist(), strict=True))
