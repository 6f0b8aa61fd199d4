"""The table of what training takes, and what is said of a recipe that needs more memory than there is, before any weight is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models.tiny import save_model
from workbench.cli import main
from workbench.methods import method_names
from workbench.methods.footprint import estimate, misfit
from workbench.methods.memory_table import memory_table
from workbench.models.known import known_model
from workbench.models.quantization import QUANTIZATIONS
from workbench.recipe import Recipe
from workbench.ui.memory_report import memory_html, table_html, too_large, view
from workbench.ui.text import Words


class NoPool:
    """A service whose models nobody may load."""

    def __init__(self) -> None:
        self.pool = self

    def loaded(self, part: object) -> None:
        return None


@pytest.fixture()
def recipe(tmp_path: Path) -> Recipe:
    """Over a folder without weights."""
    folder = save_model(tmp_path / "model", "qwen2")
    (folder / "model.safetensors").unlink()
    return Recipe(model={"path": str(folder), "device": "cpu"}, task="generation", prompt={"max_length": 16}, method={"name": "lora"})


def test_every_method_has_a_row_and_what_cannot_be_trained_has_no_figure(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_model(recipe.model)
    own = estimate(recipe, known)[0].total
    monkeypatch.setattr("workbench.methods.memory_table.free_bytes", lambda device: own - 1)
    rows = {row.method: row for row in memory_table(recipe, known)}
    assert list(rows) == method_names() and all(list(row.needed) == list(QUANTIZATIONS) for row in rows.values())
    assert rows["lora"].needed["none"] == own and "none" not in rows["lora"].fits
    assert rows["full"].needed | {"none": 0} == {"none": 0, "int8": None, "nf4": None, "fp4": None}
    assert rows["lora"].needed["nf4"] == rows["lora"].needed["fp4"] < own
    for language in ("en", "zh"):
        html = table_html(list(rows.values()), Words(language))
        tiles = memory_html(view(NoPool(), recipe), Words(language))
        assert Words(language)("memory.cache") in tiles, "a task that writes keeps keys and values"
        read = view(NoPool(), recipe.replace({"task": "classification"}))
        assert Words(language)("memory.cache") not in memory_html(read, Words(language))
        assert rows["lora"].cache_bytes > 0 and Words(language)("methods.lora.title") in html and "\u2717" in html and "\u2014" in html


def test_a_recipe_that_does_not_fit_is_warned_about_with_what_would(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    t, full = Words("en"), recipe.replace({"method": {"name": "full"}})
    assert misfit(full) is None and too_large(NoPool(), full, t) == ""
    lora = estimate(full.replace({"method": {"name": "lora"}}), known_model(recipe.model))[0].total
    monkeypatch.setattr("workbench.methods.footprint.free_bytes", lambda device: lora)
    assert "method = lora" in too_large(NoPool(), full, t) and "method = lora" in memory_html(view(NoPool(), full), t)
    assert "fits" not in memory_html(view(NoPool(), full), t)
    monkeypatch.setattr("workbench.methods.footprint.free_bytes", lambda device: 10)
    assert t("memory.never") in too_large(NoPool(), full, t)
    assert too_large(NoPool(), full.replace({"model.path": "owner/never-seen"}), t) == "", "nothing is known of it, and it is not fetched"
    assert too_large(NoPool(), full.replace({"model.quantization": "int8"}), t) == "", "the run says why that cannot be"


def test_inspect_has_the_table_and_train_warns(recipe: Recipe, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["inspect", recipe.model.path, "--training", "--runs", str(tmp_path / "runs")]) == 0
    out, err = capsys.readouterr()
    training = json.loads(out.strip().splitlines()[-1])["training"]
    assert training["task"] == "generation" and training["methods"]["lora"]["nf4"] < training["methods"]["lora"]["none"]
    assert training["cache_bytes"] > 0 and "keys and values" in err
    assert training["methods"]["full"]["nf4"] is None and "p_tuning_v2" in err
    assert main(["inspect", "Qwen/Qwen2.5-0.5B-Instruct", "--runs", str(tmp_path / "runs")]) == 0, "the catalog knows it"
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["kv_heads"] == 2
    (tmp_path / "recipe.yaml").write_text(recipe.replace({"data.train": "absent.csv", "method": {"name": "full"}}).to_yaml())
    monkeypatch.setattr("workbench.methods.footprint.free_bytes", lambda device: 10)
    assert main(["train", str(tmp_path / "recipe.yaml"), "--runs", str(tmp_path / "runs")]) == 2
    assert "This needs about 0.0 GiB of memory" in capsys.readouterr().err
