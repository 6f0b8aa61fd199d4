"""A recipe as a link and as a file, there and back."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import RecipeError
from workbench.recipe import Recipe
from workbench.ui.sharing import LONGEST_LINK, read_file, read_yaml, recipe_of_token, token_of

# What YAML cannot hold is no name for a recipe either.
NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff\u2028\u2029\ufffe\uffff"), max_size=60)


@given(NAMES, st.integers(0, 2**31))
def test_a_link_holds_the_whole_recipe(name, seed):
    recipe = Recipe(name=name).replace({"training.seed": seed, "prompt.templates": ["\u201c{text}\u201d 很[MASK]。"]})
    token = token_of(recipe)
    assert recipe_of_token(token) == recipe and token.isascii() and not set(token) & set("=+/#?& ")


@pytest.mark.parametrize("token", ["%%%", "a", "_" * 8, base64.urlsafe_b64encode(b"[1, 2]").decode(), "A" * (LONGEST_LINK + 1)])
def test_a_damaged_link_is_a_sentence(token):
    with pytest.raises(RecipeError) as error:
        recipe_of_token(token)
    assert error.value.fix


def test_what_is_too_long_for_a_link_is_said():
    with pytest.raises(RecipeError, match="too long"):
        token_of(Recipe().replace({"prompt.templates": [f"{{text}} {number} [MASK]" * 20 for number in range(200)]}))


def test_yaml_typed_wrong_is_told_with_its_line():
    with pytest.raises(RecipeError, match="line 3: Unknown key 'training.epoch'.*Did you mean 'epochs'"):
        read_yaml("name: x\ntraining:\n  epoch: 3\n")
    with pytest.raises(RecipeError, match="line 2"):
        read_yaml("name: x\n  training: {\n")


def test_a_file_is_opened_and_what_is_none_refused(tmp_path):
    (tmp_path / "good.yaml").write_text(Recipe(name="mine").to_yaml(), encoding="utf-8")
    assert read_file(str(tmp_path / "good.yaml")).name == "mine"
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError):
        read_file(str(tmp_path / "bad.yaml"))
    (tmp_path / "large.yaml").write_text("#" * 1_000_001, encoding="utf-8")
    with pytest.raises(RecipeError, match="too large"):
        read_file(str(tmp_path / "large.yaml"))
