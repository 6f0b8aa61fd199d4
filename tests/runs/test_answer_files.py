"""A run that writes, over files: figures as while training, answers in the file's own order, scores where the file holds answers."""

import json

import pytest

from tests.training.test_generation import recipe_for, save_qwen
from workbench.cli import main
from workbench.data.readers import read_table
from workbench.errors import DataError
from workbench.runs.boards import BoardModels
from workbench.runs.files import answering, evaluate_file, predict_file
from workbench.runs.python import TrainedRun
from workbench.runs.service import RunService
from workbench.ui import batch
from workbench.ui.text import Words

ANSWERS = {"good": "great", "bad": "awful"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("answer-files")
    save_qwen(home / "model")
    rows = [{"instruction": word, "output": ANSWERS[word]} for word in ("good", "bad") * 16]
    (home / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    service = RunService(home / "runs")
    found = service.submit(recipe_for(home))
    assert service.wait(found, 200).status == "finished", service.read(found).error
    yield service, found, home
    service.close()


def test_the_validation_file_gives_the_run_s_own_figures(run):
    service, found, home = run
    answer = evaluate_file(answering(service, found), home / "few.jsonl")
    last = [event for event in service.read(found).events if event["kind"] == "evaluation" and event["best"]][-1]
    assert answer["examples"] == 2
    for name in ("loss", "perplexity", "bleu", "rouge_l", "tokens"):
        assert answer["metrics"][name] == pytest.approx(last[name], rel=1e-5), name


def test_every_row_is_answered_in_the_file_s_order_and_the_rest_kept(run, tmp_path):
    service, found, _ = run
    words = ["bad", "good", "", "bad"] * 10
    file, out = tmp_path / "new.csv", tmp_path / "out.csv"
    file.write_text("id,instruction,answer\n" + "".join(f"{i},{word},mine\n" for i, word in enumerate(words)), encoding="utf-8")
    told = []
    answer = predict_file(answering(service, found), file, out, lambda *step: told.append(step))
    table = read_table(out)
    assert table.columns == ("id", "instruction", "answer", "answer_2") and answer == {"out": str(out), "examples": 40}
    assert [row[3] for row in table.rows] == [ANSWERS.get(word, "") for word in words]
    assert [row[2] for row in table.rows] == ["mine"] * 40 and told[-2:] == [("answer", 1), ("save", None)]


def test_answers_in_the_file_are_compared_with(run, tmp_path):
    service, found, _ = run
    file = tmp_path / "known.jsonl"
    rows = [{"instruction": "good", "output": "great", "n": 1}, {"instruction": "bad", "output": "nothing of that"}]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shown = batch.view(service, BoardModels(), found, str(file), tmp_path)
    assert shown.metrics["rouge_l"] == 0.5 and shown.counts == {} and "0.500" in batch.view_html(shown, Words("en"))
    written = [json.loads(line) for line in shown.file.read_text(encoding="utf-8").splitlines()]
    assert written[0] == {**rows[0], "answer": "great"} and written[1]["answer"] == "awful"


def test_commands_and_python_take_files_of_a_run_that_writes(run, tmp_path, capsys):
    service, found, home = run
    root = ["--runs", str(service.root)]
    assert main(["evaluate", found, "--data", str(home / "few.jsonl"), *root]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["metrics"]["perplexity"] < 1.5 and answer["examples"] == 2
    out = tmp_path / "out.jsonl"
    assert main(["predict", found, "--data", str(home / "few.jsonl"), "--out", str(out), *root]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["rouge_l"] == 1.0 and "great" in out.read_text(encoding="utf-8")
    trained = TrainedRun(found, service.root, {}, {})
    assert trained.evaluate(home / "few.jsonl") == answer
    assert trained.predict_file(home / "few.jsonl", tmp_path / "again.csv")["examples"] == 2


def test_what_cannot_be_read_is_refused_with_its_line_or_column(run, tmp_path):
    service, found, _ = run
    file = tmp_path / "other.csv"
    file.write_text("text,output\nhello,there\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'instruction'"):
        predict_file(answering(service, found), file, tmp_path / "out.csv")
    file.write_text("instruction,output\nhello,\n", encoding="utf-8")
    with pytest.raises(DataError, match="no row has both"):
        evaluate_file(answering(service, found), file)
    assert not (tmp_path / "out.csv").exists()
