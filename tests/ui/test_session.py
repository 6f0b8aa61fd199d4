"""What a browser session holds."""

from gradio_client.utils import is_file_obj, traverse

from workbench.recipe import PROJECT, Recipe
from workbench.ui.session import first_draft, kept, portable, ready, recipe_of, restored


def test_files_inside_the_project_are_shown_relative_and_used_absolute():
    recipe = Recipe().replace({"data.train": str(PROJECT / "presets/data/en_movie_reviews.csv")})
    shown = portable(recipe)
    assert shown.data.train == "presets/data/en_movie_reviews.csv"
    assert ready(shown.model_dump()).data.train == recipe.data.train


def test_the_first_draft_follows_the_language():
    assert recipe_of(first_draft("zh")).model.path == "embedded:tiny-zh"
    assert recipe_of(first_draft("en")).model.path == "embedded:tiny-en"


def test_what_another_version_left_in_the_browser_is_let_go():
    for left in ({"draft": {"name": "mine"}}, '{"no": "recipe"}', "[", "3", "", None):
        assert restored(left) == first_draft()
    draft = Recipe(name="mine").model_dump()
    assert restored(kept(draft)) == draft


def test_gradio_finds_no_file_in_what_the_browser_keeps():
    """It would copy the file at a model's path to where the page can fetch it."""
    found = []
    traverse(kept(Recipe(name="mine").model_dump()), found.append, is_file_obj)
    assert found == []
