import pytest
import yaml

from workbench.errors import RecipeError
from workbench.recipe import Recipe, load_recipe, preset_names, recipe_from


def test_a_recipe_survives_yaml():
    recipe = Recipe(name="影评: 好", prompt={"templates": ["{text} 很[MASK]。"]})
    assert recipe_from(yaml.safe_load(recipe.to_yaml()), source="again") == recipe
    assert "影评" in recipe.to_yaml()


def test_all_mistakes_come_together_with_the_nearest_key():
    content = {"metod": {}, "training": {"epochs": -1, "bach_size": 4}, "model": {"quantization": "int3"}}
    with pytest.raises(RecipeError) as caught:
        recipe_from(content, source="r.yaml")
    for words in ("r.yaml", "'metod'", "Did you mean 'method'?", "training.epochs", "Did you mean 'batch_size'?", "model.quantization"):
        assert words in caught.value.message


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_what_is_no_mapping_is_no_recipe(content):
    with pytest.raises(RecipeError):
        recipe_from(content, source="r.yaml")


def test_replace_makes_a_changed_copy():
    recipe = Recipe()
    changed = recipe.replace({"training.seed": 5, "method.name": "lora", "training.early_stopping.patience": 2})
    assert (changed.training.seed, changed.method["name"], changed.training.early_stopping.patience) == (5, "lora", 2)
    assert (recipe.training.seed, recipe.method["name"], recipe.training.early_stopping) == (13, "full", None)
    with pytest.raises(RecipeError, match="Did you mean 'seed'"):
        recipe.replace({"training.sed": 1})


def test_files_beside_the_recipe_become_absolute(tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text("text,label\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "r.yaml").write_text("data: {train: rows.csv, validation: absent.csv}\nmodel: {path: model}\n")
    monkeypatch.chdir("/")
    recipe = load_recipe(tmp_path / "r.yaml", {"training.seed": 2})
    assert recipe.data.train == str((tmp_path / "rows.csv").resolve()) and recipe.data.validation == "absent.csv"
    assert recipe.model.path == str((tmp_path / "model").resolve()) and recipe.training.seed == 2


def test_broken_yaml_names_its_line(tmp_path):
    (tmp_path / "r.yaml").write_text("name: x\ndata: {train: [\n")
    with pytest.raises(RecipeError, match=r"r\.yaml, line \d"):
        load_recipe(tmp_path / "r.yaml")


def test_every_mistake_names_its_line_aliases_and_odd_keys_too():
    text = "name: x\ntraining:\n  epochs: -1\n  bach_size: &a 4\n  seed: *a\nprompt: {templates: [a, 3]}\n? [odd]\n: 1\n"
    with pytest.raises(RecipeError) as caught:
        recipe_from({"name": "x", "training": {"epochs": -1, "bach_size": 4}, "prompt": {"templates": ["a", 3]}}, source="r", text=text)
    for words in ("line 3: 'training.epochs'", "line 4: Unknown key 'training.bach_size'", "line 6: 'prompt.templates.1'"):
        assert words in caught.value.message


def test_an_absent_recipe_is_a_sentence():
    with pytest.raises(RecipeError, match="There is no recipe"):
        load_recipe("/no/where.yaml")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads(name):
    assert load_recipe(name).prompt.templates
