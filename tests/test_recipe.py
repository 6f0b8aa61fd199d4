import time

import pytest
import yaml

from workbench.errors import RecipeError
from workbench.recipe import Recipe, load_recipe, preset_names, recipe_from
from workbench.training.checkpoint import recipe_key
from workbench.yaml_text import parse_yaml


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


def test_label_words_of_single_templates_stand_only_in_recipes_that_have_them():
    recipe = Recipe()
    assert "template_words" not in recipe.to_yaml() and "template_words" not in recipe.prompt.model_dump()
    own = {"positive": ["true"], "negative": ["false"]}
    pairs = recipe.replace({"prompt.templates": ["{text} [MASK]"] * 2, "prompt.template_words": [None, own]})
    assert recipe_from(yaml.safe_load(pairs.to_yaml()), source="again") == pairs and recipe_key(pairs) != recipe_key(recipe)
    assert recipe_key(pairs.replace({"prompt": recipe.prompt.model_dump()})) == recipe_key(recipe)
    assert pairs.prompt.verbalizer_of(0) == recipe.prompt.verbalizer and pairs.prompt.verbalizer_of(1)["words"] == own
    assert pairs.prompt.alone(1).verbalizer == pairs.prompt.verbalizer_of(1) and pairs.prompt.alone(1).template_words is None


def test_label_words_of_single_templates_are_one_for_each_and_for_classes():
    text = "prompt:\n  templates: ['{text} [MASK]']\n  template_words: [null, null]\n"
    with pytest.raises(RecipeError, match="line 3: 'prompt.template_words' has 2 entries, not one for each template: 1"):
        recipe_from(yaml.safe_load(text), source="r.yaml", text=text)
    with pytest.raises(RecipeError, match="is for classification"):
        Recipe().replace({"prompt.template_words": [None], "task": "generation"})


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


@pytest.mark.parametrize("rate", [0, -1e-3, float("inf"), float("nan")])
def test_a_rate_that_trains_nothing_is_no_rate(rate):
    with pytest.raises(RecipeError, match=r"training\.learning_rate"):
        Recipe().replace({"training.learning_rate": rate})


ENORMOUS = [("training.epochs", 1e9), ("training.batch_size", 10**12), ("pet.distill_epochs", 1e5), ("pet.growth", 1e12)]
NOUGHT = [("training.evaluate_every", 0), ("training.checkpoint_every", -3)]
ENDLESS = [("training.weight_decay", float("inf")), ("training.max_gradient_norm", float("nan")), ("pet.temperature", float("inf"))]


@pytest.mark.parametrize(("field", "value"), [*ENORMOUS, *NOUGHT, *ENDLESS])
def test_settings_that_no_training_could_have_are_refused(field, value):
    with pytest.raises(RecipeError, match=field.replace(".", r"\.")) as caught:
        Recipe().replace({field: value})
    assert caught.value.message.count("'pet." if "pet" in field else "'training.") == 1


def test_a_field_of_several_types_is_one_mistake_under_its_own_name():
    with pytest.raises(RecipeError) as caught:
        recipe_from({"training": {"learning_rate": "abc", "evaluate_every": "often"}}, source="r.yaml")
    reason = "input should be a valid {0}, unable to parse string as {1}."
    assert caught.value.message == (
        f"r.yaml: 'training.learning_rate' is 'abc': {reason.format('number', 'a number')} "
        f"'training.evaluate_every' is 'often': {reason.format('integer', 'an integer')}"
    )


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"prompt.system": "a\ud83d"}, "prompt.system"), ({"prompt.templates": ["{text} [MASK]", "\udc00 [MASK]"]}, "prompt.templates.1"),
        ({"prompt.verbalizer": {"kind": "manual", "words": {"good\ud83d": ["fine"]}}}, "prompt.verbalizer.words.good\ufffd"),
        ({"method": {"name": "lora", "targets": ["\ud83d"]}}, "method.targets.0"),
    ],
)  # fmt: skip
def test_half_a_character_is_refused_by_its_place(changes, place):
    """As a JSON client sends it that cuts texts between the two halves of an emoji; no file can hold it."""
    with pytest.raises(RecipeError) as caught:
        Recipe().replace(changes)
    assert f"'{place}' holds half of a character" in caught.value.message
    caught.value.message.encode("utf-8")


@pytest.mark.parametrize("text", [
    "name: [" + "a," * 330_000 + "a]", "name: " + "[" * 100_000, "- " * 100_000, "".join(f"k{number}: 1\n" for number in range(100_000)),
    "".join(" " * number + "a:\n" for number in range(1000)), "{" * 1000 + "}" * 1000,
], ids=["wide", "deep", "dashes", "keys", "indented", "braces"])  # fmt: skip
def test_more_yaml_than_a_recipe_has_is_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(RecipeError, match="too much for a recipe"):
        parse_yaml(text, source="recipe")
    assert time.process_time() - started < 3


def test_a_recipe_with_long_texts_and_many_classes_is_read():
    words = {f"class {number}": ["good, or [not]: " * 20] * 5 for number in range(400)}
    recipe = Recipe().replace({"prompt.verbalizer": {"name": "manual", "words": words}})
    text = recipe.to_yaml()
    assert len(text) > 500_000 and recipe_from(parse_yaml(text, source="recipe"), source="recipe", text=text) == recipe


def test_thousands_of_wrong_keys_are_twenty_and_a_number():
    content = {f"k{number}": 1 for number in range(3000)}
    with pytest.raises(RecipeError) as error:
        recipe_from(content, source="recipe")
    assert error.value.message.count("Unknown key") == 20 and error.value.message.endswith("There are 2980 more mistakes.")
