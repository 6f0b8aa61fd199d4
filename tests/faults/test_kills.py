"""Rows 1, 2, 13: SIGKILL at random moments and at calls of input and output. `python -m tests.faults` does 200 kills and every call."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from workbench.recipe import PROJECT


def run(*flags: str) -> dict:
    """A process of its own, because it forks and must have no threads."""
    command = [sys.executable, "-m", "tests.faults.kills", *flags]
    done = subprocess.run(command, cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_killed_at_random_moments_every_run_is_resumed_and_identical() -> None:
    figures = run("random", "--kills", "6")
    assert figures["kills"] == 6 and figures["failed_resumes"] == 0 and figures["identical"] == figures["runs"]
    # Never "running" in the eyes of a process that comes later; absent or queued when the kill came before the start.
    assert set(figures["states"]) <= {"interrupted", "queued", "absent"} and figures["seen_as_interrupted"] > 0


def test_killed_inside_saves_and_renames_no_torn_checkpoint_is_chosen() -> None:
    figures = run("calls", "--every", "29")
    assert figures["kills"] >= 4 and figures["failed_resumes"] == 0 and figures["two_runs"] == 0
    assert figures["identical"] == figures["kills"]
