"""Each thing that can be taken away from a run is whole and works; none of them names a folder of this machine."""

import ast
import json
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest
import yaml

from tests.tiny_runs import make_recipe
from workbench.access import Principal, Role, acting_as
from workbench.errors import AccessError, RunError
from workbench.recipe import PROJECT, Recipe, recipe_from
from workbench.runs.export import export_run
from workbench.runs.service import RunService
from workbench.runs.takeaway import command, export_bytes, fingerprint, script, shareable, take_away
from workbench.settings import DISK_FLOOR_BYTES


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


def test_the_weights_alone_are_those_of_the_run_and_say_what_they_are(trained, tmp_path):
    service, run, folder = trained
    with zipfile.ZipFile(take_away(service, run, "adapter", tmp_path).file) as archive:
        kept = {name.partition("/")[2]: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    for file in service.tuned_folder(run).iterdir():
        assert kept[file.name] == file.read_bytes()
    assert not any(str(folder).encode() in content for name, content in kept.items() if name != "method.json")
    told = subprocess.run(["sha256sum", folder / "data.csv"], capture_output=True, check=True, text=True).stdout.split()[0]
    about, card = json.loads(kept["export.json"]), kept["model_card.md"].decode("utf-8")
    assert about["data"]["sha256"] == told and about["base_model"] == "model" and about["form"] == "adapter"
    assert told in card and "PeftModel" in card and "predict.py" not in card and "`model`, to be downloaded or present" in card


def test_the_card_of_the_weights_alone_answers_as_the_run(trained, tmp_path):
    service, run, folder = trained
    answer = export_run(service, run, tmp_path / "weights", "adapter")
    assert (answer["rows_compared"], answer["base_model"], answer["merged"]) == (0, "model", False)
    card = (tmp_path / "weights" / "model_card.md").read_text(encoding="utf-8")
    program = card.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "weights" / "model").symlink_to(folder / "model")
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path / "weights", env={"PYTHONPATH": str(PROJECT)}
    )
    assert process.returncode == 0, process.stderr
    expected = service.predictor(run).predict([{"text": "A sentence."}])[0].probabilities
    assert ast.literal_eval(process.stdout) == pytest.approx(expected, abs=1e-5)


def test_it_is_told_which_step_an_export_is_at_and_left_when_nobody_waits(trained, tmp_path):
    service, run, _ = trained
    told = []
    take_away(service, run, "merged", tmp_path, lambda stage, share: told.append((stage, share)))
    assert told == [("ask", 0), ("weigh", 1 / 3), ("prove", 2 / 3), ("pack", None)]

    def stop(stage, share):
        if stage == "prove":
            raise InterruptedError

    with pytest.raises(RunError):  # an OSError, as that of a full disk
        take_away(service, run, "folder", tmp_path / "stopped", stop)
    assert list((tmp_path / "stopped").iterdir()) == []


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


def test_nothing_is_packed_that_would_fill_the_disk(trained, tmp_path, monkeypatch):
    service, run, folder = trained
    places = (service.tuned_folder(run), folder / "model")
    tuned, base = (sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) for place in places)
    assert {kind: export_bytes(service, run, kind) for kind in ("adapter", "folder", "merged", "onnx")} == {
        "adapter": tuned, "folder": tuned + base, "merged": tuned + base, "onnx": tuned + base,
    }  # fmt: skip
    usage = SimpleNamespace(free=DISK_FLOOR_BYTES + 2 * (tuned + base) - 1)
    monkeypatch.setattr("workbench.runs.takeaway.shutil.disk_usage", lambda place: usage)
    with pytest.raises(RunError, match="on the server's disk"):
        take_away(service, run, "merged", tmp_path)
    assert list(tmp_path.iterdir()) == [] and take_away(service, run, "adapter", tmp_path).file.is_file()


def test_who_may_not_and_what_is_not_there(trained, tmp_path):
    service, run, _ = trained
    with acting_as(Principal("owner", Role.VISITOR)), pytest.raises(AccessError):
        take_away(service, run, "folder", tmp_path)
    with pytest.raises(RunError):
        take_away(service, "20200101-0000-abcdef", "recipe", tmp_path)
