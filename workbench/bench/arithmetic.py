"""P6: how much of what the processor can multiply a training really multiplies, both counted and timed in the same run."""

from __future__ import annotations

import time

import torch

from workbench.bench.cloze_training import train_here
from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.measure import interleaved
from workbench.bench.workload import PROMPT, copy_of, masked_model, review_rows


@comparison("P6", "arithmetic in training, of the matrix rate")
def arithmetic(scale: Scale) -> list[Row]:
    """Operations of one epoch a processor second, as a share of the rate of the body's own matrix products."""
    layers, hidden, rows = (4, 256, 32) if scale.quick else (12, 768, 128)
    loaded, examples = masked_model(layers, hidden), review_rows(rows)
    before = matrix_rate(hidden)
    figures = interleaved({"training": lambda: train_here(copy_of(loaded), PROMPT, examples)}, rounds=scale.rounds)["training"]
    rate = max(before, matrix_rate(hidden))
    share = 100 * figures.flops / figures.cpu_seconds / rate
    plain = {**figures.to_json(), "matrix_gflop_per_second": round(rate / 1e9, 1)}
    work = f"training, {layers}x{hidden}, {rows} rows"
    return [Row("P6", work, "products of the body's shapes", round(share, 1), 80.0, unit="%", figures=plain)]


def matrix_rate(hidden: int, tokens: int = 720, seconds: float = 0.5) -> float:
    """Operations a processor second in products of [tokens, hidden] with a feed-forward matrix and back, a batch of 16 reviews."""
    states, up, down = torch.randn(tokens, hidden), torch.randn(4 * hidden, hidden), torch.randn(hidden, 4 * hidden)
    torch.nn.functional.linear(torch.nn.functional.linear(states, up), down)
    done, started = 0, time.process_time()
    while time.process_time() - started < seconds:
        torch.nn.functional.linear(torch.nn.functional.linear(states, up), down)
        done += 2 * 2 * tokens * hidden * 4 * hidden
    return done / (time.process_time() - started)
