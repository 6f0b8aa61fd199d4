"""The object that a run answers with, kept as result.json once the run has finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.serving.tuned import Tuned
from workbench.training.folder import damage, replace_file
from workbench.training.progress import Progress

RESULT = "result.json"
KEYS = ("status", "metrics", "steps", "seconds", "examples_per_second", "peak_memory_bytes", "trainable_parameters", "total_parameters")


def make_result(status: str, progress: Progress, tuned: Tuned | None) -> dict[str, Any]:
    """The figures of a run; the metrics are those of its best evaluation, None when there was none. Without `tuned`, of a run whose model
    had not come."""
    return {
        "status": status,
        "metrics": progress.best_metrics or {"accuracy": None, "macro_f1": None, "loss": None},
        "steps": progress.step,
        "best_step": progress.best_step,
        "seconds": round(progress.seconds, 3),
        "examples_per_second": progress.examples_per_second,
        "peak_memory_bytes": progress.peak_memory_bytes,
        **{name: getattr(tuned, name, 0) for name in ("trainable_parameters", "total_parameters", "model_bytes")},
    }


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Last act of a finished run."""
    replace_file(folder / RESULT, json.dumps(result, indent=2, allow_nan=False))


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished run whose saved weights are whole; None when the run has to go on or finish again."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(result, dict) or any(key not in result for key in KEYS) or result["status"] != "finished":
        return None
    return None if damage(folder / "final") else result
