"""Two processes on one run: the losses, figures and files of one process at the same batches; and what happens when one of them ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.training import test_generation
from tests.training.small_run import losses, make_recipe, without_dropout
from workbench.cli import main
from workbench.models.pool import ModelPool
from workbench.recipe import Recipe
from workbench.training.batching import BatchPlan
from workbench.training.control import Control
from workbench.training.events import EventLog
from workbench.training.trainer import train_run

# Batches of 9 of 33 rows and 15 rows to evaluate: neither can be halved.
CASES: dict[str, dict[str, Any]] = {
    "full": {"method": {"name": "full"}},
    "full-head": {
        "method": {"name": "full"}, "prompt.verbalizer": {"kind": "head", "dropout": 0.0}, "training.gradient_checkpointing": True,
    },
    "lora": {"method": {"name": "lora", "r": 4, "dropout": 0.0}, "training.gradient_accumulation": 2},
    "soft_prompt": {"method": {"name": "soft_prompt"}, "training.batch_tokens": 40},
    "adapter": {"method": {"name": "adapter"}, "training.batch_size": 1, "training.epochs": 0.5},
    "head": {"method": {"name": "head"}, "prompt.verbalizer": {"kind": "soft", "words": {"positive": ["great"], "negative": ["bad"]}}},
}
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


def case(home: Path, name: str) -> Recipe:
    shared = {"training.batch_size": 9, "data.split.validation": 15, "training.learning_rate": 0.001, "training.epochs": 3}
    return make_recipe(home, shared | CASES.get(name, {}))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every recipe trained by one process in alone/ and by two in several/, and of some only a part by one."""
    home = tmp_path_factory.mktemp("processes")
    recipes = {name: case(home, name) for name in CASES}
    without_dropout(home)
    words = home / "generation"
    words.mkdir()
    test_generation.save_qwen(words / "model")
    pairs = [("good " * number + "bad", " ".join(["great", "awful"] * (1 + number % 3))) for number in range(24)]
    lines = [json.dumps({"instruction": question, "output": answer}) for question, answer in pairs]
    (words / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    changes = {"training.epochs": 2, "training.batch_size": 5, "training.evaluate_every": 5, "training.learning_rate": 0.001}
    recipes["generation"] = test_generation.recipe_for(words, changes | {"data.validation": None, "data.split.validation": 7})
    for name, recipe in recipes.items():
        train_run(recipe, home / "alone" / name, Control(), ModelPool())
    for name in ("lora", "full-head"):
        recipes[f"resumed-{name}"] = recipes[f"part-{name}"] = recipes[name]
        control = Control()
        train_run(
            recipes[name], home / "several" / f"resumed-{name}", control, ModelPool(),
            on_event=lambda event, control=control: control.request_stop() if event.get("step") == 3 else None,
        )  # fmt: skip
    recipes["a-refused"] = recipes["lora"].replace({"training.precision": "float16"})
    recipes["x-lost"] = recipes["lora"]
    recipes["y-unreached"] = recipes["lora"]
    for name, recipe in recipes.items():
        (home / f"{name}.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    launched = subprocess.run([*LAUNCH, "tests.training.several", str(home)], capture_output=True, text=True, timeout=300)
    assert (home / "answers.jsonl").exists(), launched.stderr
    return home


def answer(home: Path, name: str) -> dict[str, Any]:
    lines = (home / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["name"]: line for line in map(json.loads, lines)}[name]


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in EventLog(folder / "events.jsonl").read() if event["kind"] == kind]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASES, "generation"])
def test_two_processes_are_one_run(home: Path, name: str) -> None:
    """Rounding is all that differs: the sums over a batch are taken in another order."""
    alone, several = home / "alone" / name, home / "several" / name
    assert answer(home, name)["status"] == "finished"
    expected, found = dict(losses(alone)), dict(losses(several))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6) and len(found) > 5
    for one, two in zip(events(alone, "evaluation"), events(several, "evaluation"), strict=True):
        figures = {key: value for key, value in one.items() if key not in ("seq", "time")}
        assert {key: value for key, value in two.items() if key in figures and not isinstance(value, float)} == {
            key: value for key, value in figures.items() if not isinstance(value, float)
        }
        floats = {key: value for key, value in figures.items() if isinstance(value, float)}
        assert {key: two[key] for key in floats} == pytest.approx(floats, rel=2e-6, abs=1e-6)
    assert [e["samples"] for e in events(alone, "samples")] == [e["samples"] for e in events(several, "samples")]
    files = sorted(file.name for file in (alone / "final").iterdir())
    assert files == sorted(file.name for file in (several / "final").iterdir())
    for file in files:
        if file.endswith(".safetensors"):
            one, two = load_file(alone / "final" / file), load_file(several / "final" / file)
            assert one.keys() == two.keys()
            assert all((one[key] - two[key]).abs().max() < 1e-4 for key in one)


@pytest.mark.slow
def test_one_writes_and_every_event_stands_there_once(home: Path) -> None:
    for name in CASES:
        log = EventLog(home / "several" / name / "events.jsonl").read()
        assert [event["seq"] for event in log] == list(range(len(log)))
        (plan,) = (event for event in log if event["kind"] == "plan")
        assert plan["notes"][-1].startswith("2 processes share every batch") and plan["train_rows"] == 33


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "full-head"])
def test_resumed_on_another_number_of_processes(home: Path, name: str) -> None:
    """From one to two, and from two to one."""
    expected = dict(losses(home / "alone" / name))
    assert dict(losses(home / "several" / f"resumed-{name}")) == pytest.approx(expected, abs=1e-6)
    notes = [note["text"] for note in events(home / "several" / f"resumed-{name}", "note")]
    assert any(note.startswith("The run goes on in 2 instead of 1 processes") for note in notes)
    part = home / "several" / f"part-{name}"
    assert answer(home, part.name)["status"] == "stopped" and len(losses(part)) == 3
    train_run(case(home, name), part, Control(), ModelPool())
    assert dict(losses(part)) == pytest.approx(expected, abs=1e-6)
    notes = [note["text"] for note in events(part, "note")]
    assert any(note.startswith("The run goes on in 1 instead of 2 processes") for note in notes)


@pytest.mark.slow
def test_what_all_refuse_breaks_nothing_and_what_one_meets_alone_ends_the_others(home: Path) -> None:
    assert answer(home, "a-refused")["message"] == "Training in float16 needs a CUDA device."
    lost = answer(home, "x-lost")
    assert lost["raised"] == "ProcessLost"
    assert lost["message"] == "A process of this run has ended: There is not enough memory for this run."
    assert answer(home, "y-unreached")["raised"] == "ProcessLost"


@pytest.mark.slow
def test_a_killed_process_interrupts_the_run(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "long.yaml").write_text(case(home, "full").replace({"training.epochs": 300}).to_yaml(), encoding="utf-8")
    command = [*LAUNCH, "workbench", "train", str(tmp_path / "long.yaml"), "--runs", str(tmp_path / "runs")]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    while not any("step 20/" in line for line in said[-1:]):
        assert launcher.poll() is None, said
        said.append(launcher.stderr.readline())
    (follower,) = (pid for pid in children(launcher.pid) if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(follower, signal.SIGKILL)
    out, err = launcher.communicate(timeout=90)
    assert launcher.returncode != 0 and out == ""
    assert "was interrupted: A process of this run has ended" in err
    assert main(["runs", "--runs", str(tmp_path / "runs")]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["status"] == "interrupted"
    assert main(["show", run["run"], "--runs", str(tmp_path / "runs")]) == 0
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "A process of this run has ended without a word."


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.parametrize(("rows", "batch", "size", "most"), [(33, 9, 2, None), (10, 1, 3, None), (57, 16, 4, 60), (5, 8, 2, 9)])
def test_shares_are_the_batches(rows: int, batch: int, size: int, most: int | None) -> None:
    """Every row of a step is in one share, once; all processes have as many lists."""
    plan = BatchPlan([3 + row % 11 for row in range(rows)], batch_size=batch, accumulation=2, seed=5, most_tokens=most)
    for step in range(2 * plan.steps_per_epoch):
        shares = [plan.share(step, rank, size) for rank in range(size)]
        assert len({len(share) for share in shares}) == 1
        assert sorted(row for share in shares for part in share for row in part) == sorted(r for part in plan.step(step) for r in part)
        assert plan.share(step, 0, 1) == plan.step(step)
