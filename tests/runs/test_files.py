import copy
import json

import openpyxl
import pytest

from tests.tiny_runs import make_recipe
from workbench.data.readers import read_table
from workbench.errors import DataError
from workbench.recipe import ModelPart
from workbench.runs.files import evaluate_file, predict_file


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    from workbench.models.loading import load_model
    from workbench.serving.predictor import Predictor

    recipe = make_recipe(tmp_path_factory.mktemp("files"))
    labels = ("neg", "pos")
    return Predictor(load_model(ModelPart(path=recipe.model.path)), None, recipe, labels)


def test_evaluate_agrees_with_counting(predictor, tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("text,label\nthe film lovely,pos\nthe food bad,neg\nfilm awful,neg\n", encoding="utf-8")
    answer = evaluate_file(predictor, file)
    predicted = [p.label for p in predictor.predict([{"text": t} for t in ("the film lovely", "the food bad", "film awful")])]
    right = sum(p == t for p, t in zip(predicted, ("pos", "neg", "neg"), strict=True))
    assert answer["examples"] == 3 and answer["metrics"]["accuracy"] == pytest.approx(right / 3)
    assert answer["metrics"]["labels"] == ["neg", "pos"] and sum(map(sum, answer["metrics"]["confusion"])) == 3
    assert sorted(row["line"] for row in answer["telling_rows"]) == [2, 3, 4]
    assert sum("surest_wrong" in row["kinds"] for row in answer["telling_rows"]) == 3 - right


def test_an_unknown_label_names_its_line(predictor, tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("text,label\nfilm,pos\nfood,neutral\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3.*neutral"):
        evaluate_file(predictor, file)


def test_csv_keeps_the_rest_and_every_row(predictor, tmp_path):
    file, out = tmp_path / "d.csv", tmp_path / "out" / "p.csv"
    file.write_text('id,text,prediction\n01,"film, lovely",=1+1\nNA,,x\n', encoding="utf-8")
    answer = predict_file(predictor, file, out)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,text,prediction,prediction_2,probability_neg,probability_pos"
    assert lines[1].startswith('01,"film, lovely",=1+1,') and lines[2].startswith("NA,,x,")
    assert answer["examples"] == 2 and sum(answer["counts"].values()) == 2


def test_a_file_is_read_in_the_encoding_of_the_run_and_written_in_its_own(predictor, tmp_path):
    text = "這裏的服務非常好，下次還會再來。"
    run = copy.copy(predictor)
    run.recipe = predictor.recipe.replace({"data.encoding": "big5"})
    for number, codec in enumerate(("big5hkscs", "utf-8")):
        file, out = tmp_path / f"{number}.csv", tmp_path / f"{number}-out.csv"
        file.write_bytes(f"text,label\n{text},pos\n".encode(codec))
        assert predict_file(run, file, out)["examples"] == evaluate_file(run, file)["examples"] == 1
        assert out.read_bytes().decode(codec).splitlines()[1].startswith(f"{text},pos,")
    with pytest.raises(DataError, match="encoding"):
        predict_file(predictor, tmp_path / "0.csv", out)


def test_jsonl_keeps_types(predictor, tmp_path):
    file, out = tmp_path / "d.jsonl", tmp_path / "p.jsonl"
    rows = [{"text": "film 很好", "n": 1.5, "ok": True}, {"text": "food bad", "n": None, "ok": False}]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    predict_file(predictor, file, out)
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [{k: row[k] for k in ("text", "n", "ok")} for row in written] == rows
    assert all(row["probability_neg"] + row["probability_pos"] == pytest.approx(1, abs=1e-6) for row in written)


def test_xlsx_and_tsv(predictor, tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("text\n=film\n", encoding="utf-8")
    predict_file(predictor, file, tmp_path / "p.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "p.xlsx").active
    assert sheet["A2"].value == "=film" and sheet["A2"].data_type == "s" and isinstance(sheet["C2"].value, float)
    predict_file(predictor, file, tmp_path / "p.tsv")
    assert (tmp_path / "p.tsv").read_text().splitlines()[0].split("\t")[0] == "text"


def test_a_label_that_looks_like_a_formula_is_quoted_in_csv():
    from workbench.runs.files import _inert

    assert _inert("=HYPERLINK()") == "'=HYPERLINK()" and _inert("pos") == "pos" and _inert(0.5) == 0.5


@pytest.mark.parametrize("out", ["p.pdf", "d.csv"])
def test_refused_outputs(predictor, tmp_path, out):
    file = tmp_path / "d.csv"
    file.write_text("text\nfilm\n", encoding="utf-8")
    with pytest.raises(DataError):
        predict_file(predictor, file, tmp_path / out)
    assert file.read_text() == "text\nfilm\n"


def test_a_missing_column_is_named(predictor, tmp_path):
    file = tmp_path / "d.csv"
    file.write_text("texts,x\nfilm,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="texts"):
        predict_file(predictor, file, tmp_path / "p.csv")


def test_texts_with_characters_that_files_trip_over_come_back_as_rows(predictor, tmp_path):
    rows = ["film\rfood", "film\x0blovely", "film\n\nbad"]
    source = tmp_path / "odd.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    for name in ("p.csv", "p.tsv", "p.xlsx"):
        assert predict_file(predictor, source, tmp_path / name)["examples"] == 3
        told = read_table(tmp_path / name)
        assert len(told.rows) == 3 and all(row[-3] in ("neg", "pos") for row in told.rows), name


def test_what_no_spreadsheet_holds_is_said_before_the_work(predictor, tmp_path, monkeypatch):
    source = tmp_path / "long.jsonl"
    source.write_text(json.dumps({"text": "film " * 8000}) + "\n")
    monkeypatch.setattr(predictor, "predict", lambda *given, **options: pytest.fail("asked"))
    with pytest.raises(DataError, match="32767 characters"):
        predict_file(predictor, source, tmp_path / "p.xlsx")


def test_a_file_is_watched_while_it_is_answered_and_stopping_writes_nothing(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.models.transfer.SECONDS_BETWEEN_REPORTS", 0.0)
    file, out = tmp_path / "d.csv", tmp_path / "p.csv"
    rows = [f"the {'film ' * (number % 40)}was lovely,pos" for number in range(900)]
    file.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    told = []
    predict_file(predictor, file, out, lambda stage, share: told.append((str(stage), share, getattr(stage, "seconds_left", None))))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["read", "answer", "save"]
    shares = [share for stage, share, _ in told if stage == "answer"]
    assert shares[0] == 0 and shares == sorted(shares) and len(shares) > 3 and 0.5 < shares[-1] < 1
    assert [left is None for stage, _, left in told if stage == "answer"] == [True] + [False] * (len(shares) - 1)
    evaluated = []
    evaluate_file(predictor, file, lambda stage, share: evaluated.append(str(stage)))
    assert list(dict.fromkeys(evaluated)) == ["read", "answer"]

    class Enough(Exception):
        pass

    def stop(stage, share):
        if share:
            raise Enough

    out.unlink()
    with pytest.raises(Enough):
        predict_file(predictor, file, out, stop)
    assert [place.name for place in tmp_path.iterdir()] == ["d.csv"]
    assert predict_file(predictor, file, out)["examples"] == 900, "the model is free for the next"
