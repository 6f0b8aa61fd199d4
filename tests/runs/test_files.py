import json

import openpyxl
import pytest

from tests.tiny_runs import make_recipe
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
