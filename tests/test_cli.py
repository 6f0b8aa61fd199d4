import contextlib
import csv
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.tiny_runs import make_recipe
from workbench.cli import main
from workbench.runs.service import RunService
from workbench.runs.store import RunStore


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recipe file and a data root in which it has been trained once by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "recipe.yaml").write_text(make_recipe(folder).to_yaml(), encoding="utf-8")
    return folder


def call(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, (json.loads(out.splitlines()[-1]) if out else None), err


@pytest.fixture
def run_id(place, capsys):
    """The id of the one run; trained by the first test that asks."""
    root = place / "root"
    if not (root / "runs").exists():
        code, answer, err = call(capsys, "train", place / "recipe.yaml", "--runs", root, "--set", "training.epochs=1", "--set", "name=影评")
        assert code == 0, err
        assert answer["status"] == "finished" and "step" in err
        assert set(answer) == {
            "run", "status", "metrics", "steps", "seconds", "examples_per_second", "peak_memory_bytes", "trainable_parameters",
            "total_parameters", "per_class",
        }  # fmt: skip
        assert set(answer["metrics"]) == {"accuracy", "macro_f1", "loss"}
        mean = sum(line["f1"] for line in answer["per_class"]) / len(answer["per_class"])
        assert mean == pytest.approx(answer["metrics"]["macro_f1"]), "both of the best evaluation"
    return RunStore(root, writable=False).records()[-1].id


def test_runs_and_show(place, run_id, capsys):
    code, answer, _ = call(capsys, "runs", "--runs", place / "root")
    assert code == 0 and answer["runs"][-1]["run"] == run_id and answer["runs"][-1]["name"] == "影评"
    code, answer, _ = call(capsys, "show", run_id[:-2], "--runs", place / "root")
    assert code == 0 and answer["recipe"]["training"]["epochs"] == 1 and answer["status"] == "finished"
    assert {line["label"] for line in answer["per_class"]} == {"neg", "pos"}
    assert answer["telling_rows"]["rows"] and {row["label"] for row in answer["telling_rows"]["rows"]} <= {"neg", "pos"}


def test_resume_of_a_finished_run_trains_nothing(place, run_id, capsys):
    before = RunService(place / "root", writable=False).read(run_id)
    code, answer, _ = call(capsys, "resume", run_id, "--runs", place / "root")
    assert code == 0 and answer["run"] == run_id and answer["steps"] == before.step
    assert RunService(place / "root", writable=False).read(run_id) == before


def test_evaluate_and_predict_beside_a_server(place, run_id, capsys):
    server = RunService(place / "root")
    try:
        code, answer, err = call(capsys, "evaluate", run_id, "--data", place / "data.csv", "--runs", place / "root")
        assert code == 0, err
        assert answer["examples"] == 48 and {"accuracy", "macro_f1", "loss", "per_class", "confusion", "labels"} <= set(answer["metrics"])
        out = place / "predicted.csv"
        code, answer, err = call(capsys, "predict", run_id, "--data", place / "data.csv", "--out", out, "--runs", place / "root")
        assert code == 0 and answer["examples"] == 48, err
        with open(out, encoding="utf-8", newline="") as handle:
            assert next(csv.reader(handle)) == ["id", "text", "label", "prediction", "probability_neg", "probability_pos"]
        probe = "import sys; from workbench.cli import main; sys.exit(main(sys.argv[1:]))"
        arguments = [sys.executable, "-c", probe, "train", str(place / "recipe.yaml"), "--runs", str(place / "root")]
        refused = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert refused.returncode == 2 and "already using" in refused.stderr and refused.stdout == ""
    finally:
        server.close()


def test_a_terminal_sees_how_far_it_is_and_a_pipe_only_the_end(place, run_id, tmp_path):
    lines = [f"the {'film ' * 30}food was lovely {number},pos" for number in range(200)]
    (tmp_path / "many.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    asked = ["predict", run_id, "--data", str(tmp_path / "many.csv"), "--out", str(tmp_path / "out.csv"), "--runs", str(place / "root")]
    # Told at every batch, however fast the machine is.
    every = "import sys; from workbench.models import transfer; transfer.SECONDS_BETWEEN_REPORTS = 0; from workbench.cli import main; "
    command = [sys.executable, "-c", f"{every}sys.exit(main(sys.argv[1:]))", *asked]
    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert piped.stderr == f"200 rows answered in {tmp_path / 'out.csv'}.\n"
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    seen = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
        while part := os.read(leader, 4096):
            seen += part
    os.close(leader)
    assert process.wait() == 0 and json.loads(process.stdout.read())["examples"] == 200
    process.stdout.close()
    text = seen.decode("utf-8")
    assert "Reading the file" in text and re.search(r"Answering, \d+ s left\s*\|.*\d+%", text), text
    assert text.splitlines()[-1].rpartition("\r")[2].strip().startswith("200 rows"), "the line is taken away"


def test_export_has_the_forms_of_the_page(place, run_id, tmp_path, capsys):
    root = ("--runs", place / "root")
    code, answer, err = call(capsys, "export", run_id, "--to", tmp_path / "weights", "--adapter", *root)
    assert code == 0 and answer["form"] == "adapter" and "predict.py" not in err, err
    assert {"model_card.md", "recipe.yaml", "export.json"} <= {file.name for file in (tmp_path / "weights").iterdir()}
    assert call(capsys, "export", run_id, "--to", tmp_path / "weights", "--adapter", *root)[0] == 2
    for form, words in (("script", "from workbench import train"), ("command", "python -m workbench train")):
        code, answer, err = call(capsys, "export", run_id, "--to", tmp_path / "texts", f"--{form}", *root)
        assert code == 0 and words in Path(answer["to"]).read_text(encoding="utf-8") and answer["to"] in err


def test_score_says_what_is_odd_about_the_words(place, capsys):
    odd = "prompt.verbalizer={kind: manual, words: {pos: [great], neg: [the film]}}"
    code, answer, err = call(capsys, "score", place / "recipe.yaml", "--set", odd, "--runs", place / "none")
    assert code == 0, err
    codes = {warning["code"] for warning in answer["warnings"]}
    assert codes and all(warning["message"] in err for warning in answer["warnings"])
    assert sum(answer["prior"].values()) == pytest.approx(1) and f"Before a row is read: neg {answer['prior']['neg']:.3f}" in err


def test_score_needs_no_run(place, capsys):
    templates = "prompt.templates=['{text} it was [MASK] .', 'the [MASK] film {text}']"
    code, answer, err = call(capsys, "score", place / "recipe.yaml", "--set", templates, "--runs", place / "none")
    assert code == 0, err
    assert [row["template"] for row in answer["templates"]] == ["{text} it was [MASK] .", "the [MASK] film {text}"]
    assert answer["examples"] == 12 and "accuracy" in answer["ensemble"] and not (place / "none").exists()
    assert sorted(answer["ranking"]) == [0, 1] and "[0." in err
    assert all(row["interval"][0] <= row["score"] == row["metrics"]["accuracy"] for row in answer["templates"])
    assert answer["disagreements"][0]["rows"] >= len(answer["disagreements"][0]["examples"])


def test_score_asks_each_template_in_its_own_words(place, capsys):
    changes = ["prompt.templates=['{text} it was [MASK] .', '{text} it was [MASK] .']"]
    changes.append("prompt.template_words=[null, {pos: [terrible], neg: [great]}]")
    code, answer, err = call(capsys, "score", place / "recipe.yaml", *[part for change in changes for part in ("--set", change)])
    assert code == 0, err
    first, second = (row["metrics"]["confusion"] for row in answer["templates"])
    assert second == [row[::-1] for row in first], "the words of the labels are exchanged, and so are the answers"


def test_methods_presets_and_inspect(place, capsys):
    code, answer, _ = call(capsys, "methods", "--runs", place / "none")
    assert code == 0 and {"full", "head", "bias", "lora"} <= {row["name"] for row in answer["methods"]}
    assert call(capsys, "presets", "--runs", place / "none")[0] == 0
    code, answer, err = call(capsys, "inspect", place / "model", "--runs", place / "none")
    assert code == 0 and answer["layers"] == 2, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nowhere.yaml"], "There is no recipe"),
        (["train", "RECIPE", "--set", "training.sed=1"], "Did you mean 'seed'"),
        (["train", "RECIPE", "--set", "seed"], "KEY=VALUE"),
        (["train", "RECIPE", "--set", "method.name=lorra"], "lora"),
        (["train", "RECIPE", "--set", "data.train=absent.csv"], "absent.csv"),
        (["train", "RECIPE", "--set", "prompt.templates=['{text} without']"], "mask"),
        (["train"], "RECIPE"),
        (["trane", "RECIPE"], "trane"),
        ([], "COMMAND"),
        (["show", "nothing"], "no run"),
        (["show", "../../etc"], "no run"),
        (["evaluate", "x"], "--data"),
        (["delete", "nothing"], "no run"),
        (["inspect", "embedded:nothing"], "nothing"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(place, capsys, arguments, words):
    arguments = [str(place / "recipe.yaml") if argument == "RECIPE" else argument for argument in arguments]
    code, answer, err = call(capsys, *arguments, *(["--runs", place / "empty"] if arguments and arguments[0] != "trane" else []))
    assert code == 2 and answer is None
    assert words.casefold() in err.casefold() and "Traceback" not in err and len(err.strip().splitlines()) == 1
    assert RunStore(place / "empty", writable=False).records() == []


def test_a_bug_is_exit_1_with_an_id_in_the_log(place, capsys, monkeypatch):
    monkeypatch.setattr("workbench.commands.RunService.runs", lambda self: 1 / 0)
    code, answer, err = call(capsys, "runs", "--runs", place / "bug")
    assert code == 1 and answer is None and "Traceback" not in err and "ZeroDivision" not in err
    error_id = err.split("(error ")[1][:8]
    assert error_id in (place / "bug" / "workbench.log").read_text()


def test_interrupt_stops_with_a_checkpoint_and_delete_removes(place, capsys):
    root = place / "stopped"
    arguments = ["train", str(place / "recipe.yaml"), "--runs", str(root), "--set", "training.epochs=5000"]
    process = subprocess.Popen([sys.executable, "-m", "workbench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 240
    while "step" not in process.stderr.readline().split("/")[0]:
        assert time.monotonic() < end and process.poll() is None
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    answer = json.loads(out)
    assert answer["status"] == "stopped" and list((root / "runs" / answer["run"] / "checkpoints").iterdir())
    code, deleted, _ = call(capsys, "delete", answer["run"], "--runs", root)
    assert code == 0 and deleted == {"deleted": answer["run"]} and RunStore(root, writable=False).records() == []
