"""Every catalog recipe on exactly its published configuration, at one layer: built without storage, and trained on random weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.models.catalog_folder import model_folder
from tests.prompts.tiny_tokenizers import SENTENCES
from workbench.cli import main
from workbench.methods import check_method
from workbench.methods.catalog_table import entry
from workbench.methods.footprint import estimate, step_bytes
from workbench.models.card import configuration
from workbench.models.catalog import catalog_names, catalog_recipe, config_of
from workbench.models.known import known_model
from workbench.models.loading import load_model
from workbench.prompts.library import library
from workbench.prompts.template import parse_template
from workbench.recipe import ModelPart, find_recipe
from workbench.runs.answers import check_trainable
from workbench.runs.service import RunService
from workbench.ui.markup import size
from workbench.ui.tabs.model import catalog_html
from workbench.ui.text import Words

# Parameters as the models' pages or papers give them: Qwen2.5 report, table 1; Qwen3 page; Baichuan config; BERT and RoBERTa papers.
BILLIONS = {
    "qwen2.5-0.5b": 0.49, "qwen2.5-1.5b": 1.54, "qwen2.5-7b": 7.61, "qwen3-0.6b": 0.6, "baichuan-7b": 7.0, "baichuan2-7b": 7.5,
    "bert-base-chinese": 0.102, "chinese-roberta": 0.102, "chinese-macbert": 0.102, "bert-base-uncased": 0.11, "roberta-base": 0.125,
    "roberta-large": 0.355,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return load_model(ModelPart(path="embedded:tiny-zh", device="cpu")).tokenizer


@pytest.mark.parametrize("name", catalog_names())
def test_sizes_are_the_published_ones(name: str) -> None:
    found = entry(name)
    wanted = next(value for start, value in BILLIONS.items() if name.startswith(start))
    assert abs(found.parameters / 1e9 - wanted) / wanted < 0.03
    assert found.weight_bytes < found.download_bytes * 1.05 or found.quantization == "none"
    assert found.training_bytes > found.weight_bytes
    assert found.converts == name.startswith("baichuan")


@pytest.mark.parametrize("name", catalog_names())
def test_method_and_template_fit_the_configuration(tmp_path: Path, tokenizer, name: str) -> None:
    recipe = catalog_recipe(name)
    (tmp_path / "config.json").write_text(json.dumps(config_of(recipe) | {"num_hidden_layers": 1}))
    config, kind, _ = configuration(str(tmp_path))
    for template in recipe.prompt.templates:
        parse_template(template)
    step = step_bytes(
        config, kind, check_method(recipe.method), recipe.prompt, tokenizer, task=recipe.task, batch_size=2, length=32,
        checkpointing=recipe.training.gradient_checkpointing,
    )  # fmt: skip
    assert 0 < step.activations <= step.peak and step.trainable > 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("published")


@pytest.mark.parametrize("name", catalog_names())
def test_every_entry_is_loaded_and_trained_on_a_folder_of_its_configuration(tmp_path: Path, folders: Path, name: str) -> None:
    """Method, quantization, prompt and training are the entry's; rows, their number and that of passes over them are few."""
    recipe = catalog_recipe(name)
    labels = list(recipe.prompt.verbalizer.get("words", ["good", "bad"]))
    words = [word for words in recipe.prompt.verbalizer.get("words", {}).values() for word in words]
    rows = [(f"{text} {number}", labels[number % 2]) for number, text in enumerate(SENTENCES[:6] * 2)]
    lines = ["text,label", *(f'"{text}",{label}' for text, label in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    said = [*recipe.prompt.templates, *labels, *(f"it was {word}" for word in words), *words]
    changes = {
        "model.path": str(model_folder(recipe, folders, [*SENTENCES, *said * 8])), "model.device": "cpu",
        "data.train": str(tmp_path / "rows.csv"), "data.split": {"shots": 2, "validation": 2, "seed": 13}, "training.epochs": 1,
        "prompt.max_new_tokens": 1, "training.answered_rows": 1,
    }  # fmt: skip
    if recipe.pet:
        changes |= {"pet.seeds": 1, "pet.unlabeled": 2, "pet.distill_epochs": 1}
    service = RunService(tmp_path / "root")
    try:
        run = service.submit(recipe.replace(changes))
        service.wait(run, 300)
        view = service.read(run)
    finally:
        service.close()
    assert view.status == "finished", view.error
    assert all(math.isfinite(value) for value in view.metrics.values())


@pytest.mark.parametrize("name", catalog_names())
def test_entries_are_found_by_name_and_can_be_put_in_the_queue(name: str) -> None:
    assert find_recipe(name).stem == name
    check_trainable(catalog_recipe(name))


@pytest.mark.parametrize("name", [name for name in catalog_names() if name.endswith("-pet")])
def test_what_is_called_pet_is_an_ensemble_of_the_librarys_patterns(name: str) -> None:
    recipe = catalog_recipe(name)
    assert recipe.kind == "pet" and len(recipe.prompt.templates) >= 3
    known = {pattern.template for entry in library() for pattern in entry.patterns}
    # RoBERTa reads the blanks that PET puts in front of every part, and two separators; for other models there are neither.
    assert {template.replace("[SEP][SEP]", "[SEP]").strip() for template in recipe.prompt.templates} <= known


def test_an_entry_needs_what_its_training_takes_and_fits_by_that(monkeypatch, capsys) -> None:
    name = "roberta-large-pet"
    found, recipe = entry(name), catalog_recipe(name)
    # Numbers, gradients and AdamW's two moments of 4 bytes each for every parameter; activations come on top.
    assert found.weight_bytes == 4 * found.parameters and found.training_bytes > 4 * found.weight_bytes
    assert found.training_bytes == estimate(recipe, known_model(recipe.model))[0].total
    monkeypatch.setattr("workbench.models.catalog.catalog_names", lambda: [name])
    monkeypatch.setattr("workbench.ui.tabs.model.catalog_names", lambda: [name])
    for free, said in ((found.training_bytes, "fits"), (found.training_bytes - 1, "does not fit")):
        monkeypatch.setattr("workbench.models.memory.free_bytes", lambda device, free=free: free)
        monkeypatch.setattr("workbench.ui.tabs.model.free_bytes", lambda device, free=free: free)
        assert f">{said}<" in catalog_html(Words("en")) and size(found.training_bytes) in catalog_html(Words("zh"))
        assert main(["presets", "--catalog"]) == 0
        row = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["catalog"][0]
        assert row["fits"] == (said == "fits") and row["training_bytes"] == found.training_bytes


def test_an_entry_in_four_bits_keeps_the_rest_as_this_machine_loads_it() -> None:
    found = entry("qwen2.5-7b-instruct-classify")
    recipe = catalog_recipe(found.name)
    assert found.weight_bytes == known_model(recipe.model).card(recipe.model).memory["nf4"]
