"""A run whose process was killed: the page says so, offers to go on, and ends where a run without the kill ends."""

import os
import signal
import subprocess
import sys

import pytest

from tests.training.small_run import hashes, losses, make_recipe
from workbench.cli import main


@pytest.mark.slow
def test_the_page_says_that_a_killed_run_was_interrupted_and_resumes_it_to_the_same_bytes(start, visit, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(make_recipe(tmp_path, {"training.epochs": 30, "training.checkpoint_every": 7}).to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "workbench", "train", str(recipe), "--runs", str(tmp_path / "root")]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while "step 30/" not in killed.stderr.readline():
        assert killed.poll() is None, "the run ended before it could be killed"
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait(30) == -signal.SIGKILL
    assert main(["train", str(recipe), "--runs", str(tmp_path / "whole")]) == 0
    (reference,) = (tmp_path / "whole" / "runs").iterdir()
    (folder,) = (tmp_path / "root" / "runs").iterdir()

    person = visit("zh", to=start(tmp_path / "root"))
    person.tab("train").sees_status("interrupted").sees("train-status", person.t("train.interrupted_note"))
    assert len(losses(folder)) < len(losses(reference)) == 120
    person.press("train-resume").sees_status("finished", seconds=300)
    assert losses(folder) == losses(reference)
    assert hashes(folder / "final") == hashes(reference / "final")
    person.tab("runs").sees("runs-table", person.t("status.finished")).sees("runs-table", folder.name)
