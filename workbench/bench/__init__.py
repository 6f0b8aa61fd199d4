"""Measured side by side against what people use otherwise.

    comparison.py   @comparison: one function per goal, which answers with Rows; Scale says how much may be measured
    measure.py      sides taken in turns (A B A B): medians of CPU seconds, counted FLOPs, peak memory
    report.py       the table, the JSON object and the picture
    workload.py     models by their shape and rows of review lengths

A comparison is one file with one decorated function; every module of this folder is imported on the first look-up.

    @comparison("P5", "features kept under a frozen backbone")
    def cached_features(scale: Scale) -> list[Row]: ...
"""

from __future__ import annotations

import importlib
import pkgutil

from workbench.bench.comparison import Comparison, Row, Scale, comparison, registered, run_comparisons


def comparisons() -> list[Comparison]:
    """Every comparison, by goal number."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return registered()


__all__ = ["Comparison", "Row", "Scale", "comparison", "comparisons", "run_comparisons"]
