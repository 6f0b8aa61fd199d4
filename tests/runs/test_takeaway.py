"""Each thing that can be taken away from a run is whole and works; none of them names a folder of this machine."""

import ast
import subprocess
import sys
import zipfile

import pytest
import yaml

from tests.tiny_runs import make_recipe
from workbench.access import Principal, Role, acting_as
from workbench.errors import AccessError, RunError
from workbench.recipe import PROJECT, Recipe, recipe_from
from workbench.runs.service import RunService
from workbench.runs.takeaway import command, fingerprint, script, shareable, take_away


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("takeaway")
    service = RunService(folder / "root")
    run = service.submit(make_recipe(folder, method={"name": "lora"}, training__epochs=0.5))
    assert service.wait(run, 600).status == "finished"
    yield service, run, folder
    service.close()


def test_the_folder_answers_as_the_run_and_its_card_names_the_data_by_its_content(trained, tmp_path):
    service, run, folder = trained
    parcel = take_away(service, run, "folder", tmp_path)
    assert parcel.rows == 8 and parcel.difference <= 1e-5 and [p.name for p in tmp_path.iterdir()] == [parcel.file.name]
    with zipfile.ZipFile(parcel.file) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
        card = archive.read(f"{run}-folder/model_card.md").decode("utf-8")
    assert {"predict.py", "requirements.txt", "recipe.yaml", "model_card.md"} <= names
    # sha256sum, another program, on the same file.
    told = subprocess.run(["sha256sum", folder / "data.csv"], capture_output=True, check=True, text=True).stdout.split()[0]
    assert told in card and fingerprint(str(folder / "data.csv"))["sha256"] == told


def test_the_weights_alone_are_those_of_the_run(trained, tmp_path):
    service, run, folder = trained
    with zipfile.ZipFile(take_away(service, run, "adapter", tmp_path).file) as archive:
        kept = {name.partition("/")[2]: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    for file in service.tuned_folder(run).iterdir():
        assert kept[file.name] == file.read_bytes()
    assert str(folder) not in kept["recipe.yaml"].decode("utf-8")


@pytest.mark.parametrize("kind", ["recipe", "script", "command"])
def test_texts_hold_the_recipe_and_no_folder_of_this_machine(trained, tmp_path, kind):
    service, run, folder = trained
    text = take_away(service, run, kind, tmp_path).file.read_text(encoding="utf-8")
    assert str(folder) not in text and "data.csv" in text
    wanted = shareable(service.read(run).recipe)
    if kind == "recipe":
        assert recipe_from(yaml.safe_load(text), source="x") == wanted
    if kind == "command":
        shown = text.replace("python -m workbench train", "cat")
        shell = subprocess.run(["sh", "-c", shown], capture_output=True, check=True, cwd=tmp_path)
        assert recipe_from(yaml.safe_load(shell.stdout), source="x") == wanted


def test_a_script_and_a_command_hold_any_name(tmp_path):
    recipe = Recipe(name="it's \"odd\" '''END\\ {x}").replace({"prompt.templates": ['"""{text}""" [MASK]']})
    (assigned,) = [node for node in ast.parse(script(recipe)).body if isinstance(node, ast.Assign) and node.targets[0].id == "RECIPE"]
    assert recipe_from(ast.literal_eval(assigned.value), source="x") == recipe
    text = command(recipe).replace("python -m workbench train", "cat")
    shell = subprocess.run(["sh", "-c", text], capture_output=True, check=True, cwd=tmp_path)
    assert recipe_from(yaml.safe_load(shell.stdout), source="x") == recipe


def test_the_script_runs(trained, tmp_path):
    service, run, folder = trained
    text = take_away(service, run, "script", tmp_path).file.read_text(encoding="utf-8")
    wanted = service.read(run).recipe
    for key, place in (("train", wanted.data.train), ("path", wanted.model.path)):
        text = text.replace(f"'{key}': '{place.rpartition('/')[2]}'", f"'{key}': {place!r}")
    (tmp_path / "again.py").write_text(text, encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "again.py", "the food was nice"], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1].startswith(("pos {", "neg {"))


def test_who_may_not_and_what_is_not_there(trained, tmp_path):
    service, run, _ = trained
    with acting_as(Principal("owner", Role.VISITOR)), pytest.raises(AccessError):
        take_away(service, run, "folder", tmp_path)
    with pytest.raises(RunError):
        take_away(service, "20200101-0000-abcdef", "recipe", tmp_path)
