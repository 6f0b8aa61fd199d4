"""The long fault tests as one command; the figures are one JSON object on stdout.

    python -m tests.faults                       all of it: 200 kills, every call killed and failed once, 1,000 flips, 50 runs,
                                                 10,000 mutated files, 500 sequences of 30 actions, 50 people, every path everywhere:
                                                 hours
    python -m tests.faults --only kills --kills 20
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import kills
from tests.faults.any_file import try_files
from tests.faults.conftest import Whole, train
from tests.faults.crowd import crowd
from tests.faults.damage import fall_backs, found_cuts, found_flips
from tests.faults.memory import PLACES, fail_then_succeed, resident_after_each
from tests.faults.sequences import try_sequences
from tests.faults.test_disk import every_failure
from tests.training.small_run import make_recipe
from tests.ui.guard.paths_client import PAYLOADS, besiege
from workbench.training.control import Control


def whole_run(folder: Path) -> Whole:
    recipe = make_recipe(folder, {"training.epochs": 2})
    return Whole(recipe, folder / "run", train(recipe, folder / "run"))


def failing_calls(folder: Path, flags: argparse.Namespace) -> dict[str, Any]:
    """Row 6 with every n."""
    whole = whole_run(folder)
    return {name: every_failure(whole, folder, getattr(errno, name), flags.every) for name in ("EIO", "ENOSPC")}


def flips(folder: Path, flags: argparse.Namespace) -> dict[str, Any]:
    """Rows 10 to 12."""
    whole, control = whole_run(folder), Control()
    train(whole.recipe, folder / "stopped", lambda e: control.request_stop() if e.get("step") == 6 else None, control)
    checkpoint = folder / "stopped" / "checkpoints" / "step-6"
    return {
        "flips": 1000, "found": found_flips(checkpoint, 1000), "cuts_found_of": found_cuts(checkpoint, 100),
        "json": fall_backs(folder / "stopped", 1000),
    }  # fmt: skip


def out_of_memory(folder: Path, flags: argparse.Namespace) -> dict[str, Any]:
    """Row 26: twenty times, the places taken in turns."""
    recipe, ends = make_recipe(folder, {"training.epochs": 4}), []
    for number in range(20):
        place = list(PLACES)[number % len(PLACES)]
        ends.append(fail_then_succeed(folder / f"root-{number}", recipe, place)[1:])
    return {"tries": len(ends), "failed_then_succeeded": ends.count(("failed", "finished"))}


def many_runs(folder: Path, flags: argparse.Namespace) -> dict[str, Any]:
    """Row 28: growth from the fifth run to the largest after it."""
    sizes = resident_after_each(flags.runs, folder / "root", make_recipe(folder, {"training.epochs": 2}), say)
    return {"runs": flags.runs, "growth_percent": round(100 * (max(sizes[5:]) / sizes[4] - 1), 2), "megabytes": round(sizes[-1] / 1e6, 1)}


PARTS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    # The first two fork, and so must run before anything has started a thread.
    "kills": lambda folder, flags: kills.kill_at_random(folder, flags.kills),
    "calls": lambda folder, flags: kills.kill_at_calls(folder, flags.every),
    "failures": failing_calls,
    "flips": flips,
    "memory": out_of_memory,
    "runs": many_runs,
    "files": lambda folder, flags: try_files(folder, flags.mutations),
    "sequences": lambda folder, flags: try_sequences(flags.sequences, 30, fresh=True),
    "crowd": lambda folder, flags: crowd(folder, flags.people, 20),
    "paths": lambda folder, flags: besiege(folder, per_parameter=flags.payloads, languages=("en", "zh")),
}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="The long fault tests.")
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="a part; may be repeated")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=int, default=1, help="kill, or fail, only every n-th call")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--payloads", type=int, default=len(PAYLOADS), help="paths in each parameter of each endpoint")
    flags = parser.parse_args()
    figures = {}
    for name in flags.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            figures[name] = PARTS[name](Path(folder), flags)
        say(f"{name}: {json.dumps(figures[name])}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
