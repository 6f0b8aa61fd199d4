"""Runs found by words, written about, and laid beside each other."""

import sqlite3

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.runs.compare import curve_of, differences, matching, with_new_seed
from workbench.runs.record import MIGRATIONS, open_index
from workbench.runs.service import RunService


def test_recipes_differ_where_their_values_do_and_names_do_not_count():
    one = Recipe(name="a").replace({"method": {"name": "lora", "r": 8}})
    two = Recipe(name="b").replace({"method": {"name": "full"}, "training.seed": 7})
    assert differences([one, two]) == [("method.name", ["lora", "full"]), ("method.r", [8, None]), ("training.seed", [13, 7])]
    assert differences([one, one]) == [] == differences([one])


def test_another_seed_is_one_that_no_twin_has_had():
    recipe = Recipe()
    twins = [recipe.replace({"training.seed": seed}) for seed in (14, 20)]
    assert with_new_seed(recipe, [*twins, recipe.replace({"training.seed": 99, "training.epochs": 1})]).training.seed == 21
    assert with_new_seed(recipe, []).replace({"training.seed": 13}) == recipe


def test_notes_are_kept_found_and_survive_the_index(tmp_path):
    recipe = make_recipe(tmp_path)
    service = RunService(tmp_path / "root")
    try:
        run, other = service.submit(recipe), service.submit(recipe.replace({"training.seed": 2}))
        assert service.wait(run, 120).status == service.wait(other, 120).status == "finished"
        service.annotate(run, tags=" good ,\uff0cbest, good", note="  the one ")
        service.annotate(other, archived=True)
        assert [summary.id for summary in matching(service.runs(), "BEST the")] == [run] and matching(service.runs(), "best worst") == []
        assert [summary.id for summary in matching(service.runs(), "")] == [run]
        assert {summary.id for summary in matching(service.runs(), "", archived=True)} == {run, other}
        with pytest.raises(RunError):
            service.annotate(run, note="x" * 5000)
        with pytest.raises(RunError):
            service.annotate("20200101-0000-abcdef", note="x")
        steps, losses = curve_of(service.read(run), "train_loss")
        assert steps == list(range(1, len(steps) + 1)) and len(losses) == len(steps)
        assert curve_of(service.read(run), "perplexity") == ([], [])
    finally:
        service.close()
    (tmp_path / "root" / "index.sqlite3").unlink()
    again = RunService(tmp_path / "root", writable=False)
    record = again.store.record(run)
    assert (record.tags, record.note, record.archived) == ("good, best", "the one", 0) and again.store.record(other).archived == 1
    again.close()


def test_an_index_of_before_is_migrated(tmp_path):
    database = sqlite3.connect(tmp_path / "old.sqlite3")
    for migrate in MIGRATIONS[:3]:
        migrate(database)
    database.execute("INSERT INTO runs (id, name) VALUES ('a', 'old')")
    database.execute("PRAGMA user_version = 3")
    database.commit()
    database.close()
    migrated = open_index(tmp_path / "old.sqlite3")
    assert migrated.execute("SELECT tags, note, archived FROM runs").fetchall() == [("", "", 0)]
    migrated.close()
