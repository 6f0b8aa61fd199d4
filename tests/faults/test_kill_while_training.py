"""kill -9 while a run trains, through the command line: what is said afterwards, and that resuming ends where no kill would have."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.small_run import hashes, losses, make_recipe
from workbench.cli import main

STEPS = 120


def answer(capsys, *arguments) -> dict:
    """What a command of the command line prints, run in this process."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    file = folder / "recipe.yaml"
    # 32 training rows in batches of 8: four steps an epoch.
    file.write_text(make_recipe(folder, {"training.epochs": STEPS // 4, "training.checkpoint_every": 7}).to_yaml(), encoding="utf-8")
    return file


@pytest.mark.slow
def test_killed_said_to_be_interrupted_and_resumed_to_the_same_losses_and_bytes(recipe, tmp_path, capsys):
    command = [sys.executable, "-m", "workbench", "train", str(recipe), "--runs", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while "step 30/" not in process.stderr.readline():
        assert process.poll() is None, "the run ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL

    (run,) = answer(capsys, "runs", "--runs", tmp_path / "killed")["runs"]
    assert run["status"] == "interrupted"
    folder = tmp_path / "killed" / "runs" / run["run"]
    assert 30 <= losses(folder)[-1][0] < STEPS

    whole = answer(capsys, "train", recipe, "--runs", tmp_path / "whole")
    resumed = answer(capsys, "resume", run["run"][:-1], "--runs", tmp_path / "killed")
    reference = tmp_path / "whole" / "runs" / whole["run"]
    assert losses(folder) == losses(reference) and len(losses(folder)) == STEPS
    assert hashes(folder / "final") == hashes(reference / "final")
    assert resumed["status"] == "finished" and resumed["metrics"] == whole["metrics"] and resumed["steps"] == whole["steps"] == STEPS

    # A finished run answers at once and trains nothing.
    assert answer(capsys, "resume", run["run"], "--runs", tmp_path / "killed") == resumed and losses(folder) == losses(reference)
