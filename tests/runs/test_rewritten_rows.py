"""Jobs that write rows of their own leave nothing on the person's files: unlabelled rows, chosen rows, soft labels, a validation file."""

import json

import pytest

from tests.tiny_runs import make_recipe
from workbench.data import streams
from workbench.data.dataset import load_splits
from workbench.recipe import Recipe
from workbench.runs.trackers import NONE


def done(service, recipe):
    run = service.submit(recipe, tracker=NONE)
    view = service.wait(run, 300)
    assert view.status == "finished", view.error
    return json.loads((service.store.folder(run) / "result.json").read_text())


def asking(folder, **changes):
    """Columns that are not called as their fields are, rows without labels, and a column that chooses rows."""
    recipe = make_recipe(folder, training__epochs=1, **changes)
    lines = (folder / "data.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    (folder / "own.csv").write_text("id,review,sort,domain\n" + "".join(f"{','.join(row)},books\n" for row in rows))
    (folder / "pool.csv").write_text("review\n" + "".join(f"the film {row[1]} again\n" for row in rows))
    return recipe.replace({
        "data.train": str(folder / "own.csv"), "data.unlabeled": str(folder / "pool.csv"),
        "data.columns": {"text": "review", "label": "sort"}, "data.only": {"domain": "books"},
    })  # fmt: skip


@pytest.mark.parametrize("lm_loss", [0.0, 0.01])
def test_pet_reads_a_file_of_unlabelled_rows(service, tmp_path, lm_loss):
    recipe = asking(tmp_path, pet={"seeds": 1}, data__split__shots=4).replace({"training.lm_loss": lm_loss})
    assert done(service, recipe)["rows"]["unlabelled"] == 48


def test_seeds_hold_out_rows_of_the_training_file_whatever_else_there_is(service, tmp_path):
    recipe = asking(tmp_path, data__split__shots=4).replace({"job": {"kind": "seeds", "seeds": 2, "held_out": 12}})
    other = tmp_path / "validation.csv"
    other.write_text("".join((tmp_path / "own.csv").read_text().splitlines(keepends=True)[:9]))
    result = done(service, recipe.replace({"data.validation": str(other), "data.split.validation": 4}))
    assert result["held_out"] == 12 and 0 <= result["metrics"]["accuracy"] <= 1


def test_a_board_s_cells_read_unlabelled_rows_under_their_own_names(service, tmp_path):
    job = {"kind": "board", "shots": [4], "seeds": 1, "test": 12, "validation": 6, "paradigms": {"prompting": ["pet"]}, "rows_seen": 40}
    recipe = asking(tmp_path, job=job)
    report = json.loads(json.dumps(done(service, recipe)))
    assert report["table"]["rows"] and not report["board"]["refused"]


def soft_rows(folder):
    rows = [{"text": f"film {i}", "label": "pos" if i % 2 else "neg", "probability_pos": 0.8 if i % 2 else 0.1} for i in range(12)]
    rows = [{**row, "probability_neg": round(1 - row["probability_pos"], 3)} for row in rows]
    (folder / "rows.json").write_text(json.dumps(rows))  # one line, as data frames write it
    return Recipe().replace({"data.train": str(folder / "rows.json"), "data.soft_labels": "probability_", "data.split.validation": 2}).data


def test_every_row_of_one_line_keeps_its_own_soft_label(tmp_path):
    splits = load_splits(soft_rows(tmp_path))
    assert {round(e.probabilities["pos"], 3) for e in splits.train.examples} == {0.8, 0.1}
    assert all((e.probabilities["pos"] == pytest.approx(0.8)) == (e.label == "pos") for e in splits.train.examples)


def test_a_class_that_never_wins_is_one_of_the_classes(tmp_path):
    data = soft_rows(tmp_path)
    rows = json.loads((tmp_path / "rows.json").read_text())
    odd = [{**row, "probability_neg": round(row["probability_neg"] - 0.05, 3), "probability_odd": 0.05} for row in rows]
    (tmp_path / "rows.json").write_text(json.dumps(odd))
    assert load_splits(data).labels == ("neg", "odd", "pos")


def test_a_file_too_large_for_a_table_is_trained_on_and_answers(service, tmp_path, monkeypatch):
    recipe = make_recipe(tmp_path, training__epochs=1)
    for place in ("workbench.data.streams.LARGE_BYTES", "workbench.data.readers.MAX_FILE_BYTES"):
        monkeypatch.setattr(place, 500)
    assert streams.is_large(recipe.data)
    run = service.submit(recipe)
    assert service.wait(run, 300).status == "finished", service.read(run).error
    assert service.predictor(run).predict([{"text": "the film lovely"}])[0].label in ("pos", "neg")


def test_a_sweep_leaves_out_what_cannot_be_trained(service, tmp_path):
    job = {"kind": "sweep", "methods": ["bias"], "learning_rates": [1e-3, 1e30], "seeds": 1, "prune": False}
    result = done(service, make_recipe(tmp_path, training__epochs=1, job=job))
    assert [row[2] for row in result["table"]["rows"]] == [1e-3]
