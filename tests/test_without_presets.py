"""The package on its own, as someone has it who copied workbench/ and left presets/ behind: it works, and says what is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_runs import make_recipe

PACKAGE = Path(__file__).resolve().parent.parent / "workbench"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder that holds the package and nothing else of the project."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(PACKAGE, folder / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def python(folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["train", "en-sentiment-lora"], "presets/recipes"),
        (["inspect", "embedded:tiny-en"], "presets/models"),
    ],
)
def test_what_needs_presets_names_the_folder_and_the_way_on(alone, command, missing):
    answer = python(alone, "-m", "workbench", *command, "--runs", alone / "runs")
    assert answer.returncode == 2 and missing in answer.stderr and "Restore the folder presets" in answer.stderr
    assert "Traceback" not in answer.stderr and len(answer.stderr.strip().splitlines()) == 1


def test_it_lists_no_presets_and_trains_a_recipe_of_ones_own(alone):
    listed = python(alone, "-m", "workbench", "presets", "--runs", alone / "runs")
    assert listed.returncode == 0 and listed.stdout.strip() == '{"presets": []}' and "presets/recipes" in listed.stderr
    (alone / "own.yaml").write_text(make_recipe(alone / "files").to_yaml(), encoding="utf-8")
    trained = python(alone, "-m", "workbench", "train", "own.yaml", "--set", "training.epochs=1", "--runs", alone / "runs")
    assert trained.returncode == 0 and '"status": "finished"' in trained.stdout, trained.stderr


def test_the_page_opens_on_the_defaults(alone):
    build = (
        "from workbench.ui import page; from workbench.runs.service import RunService; "
        "service = RunService('runs'); blocks = page.build(service, 'en'); service.close(); print(len(blocks.fns) > 50)"
    )
    built = python(alone, "-c", build)
    assert built.returncode == 0 and built.stdout.strip() == "True", built.stderr
