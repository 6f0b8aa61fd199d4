"""The steps above the tabs, by recipes and runs of every state."""

import pytest

from workbench.recipe import Recipe
from workbench.ui.steps import recipe_steps, run_steps, steps_html
from workbench.ui.text import Words

T = Words("en")


def states(recipe: Recipe) -> dict[str, str]:
    return {step.tab: step.state for step in recipe_steps(recipe, T)}


def test_a_recipe_that_can_be_trained_is_ready_at_every_step():
    assert states(Recipe()) == dict.fromkeys(("model", "data", "prompt", "method"), "done")


@pytest.mark.parametrize(
    ("change", "tab", "said"),
    [
        ({"model.path": "/no/such/folder"}, "model", "no folder"),
        ({"data.train": "nothing.csv"}, "data", "nothing.csv"),
        ({"data.columns": {"text": "wordz", "label": "label"}}, "data", "wordz"),
        ({"prompt.templates": ["{text} It was."]}, "prompt", "MASK"),
        ({"prompt.verbalizer": {"kind": "manuel"}}, "prompt", "manual"),
        ({"method": {"name": "lora", "r": -1}}, "method", "r"),
    ],
)
def test_a_mistake_is_told_at_its_own_step(change, tab, said):
    steps = {step.tab: step for step in recipe_steps(Recipe().replace(change), T)}
    assert [name for name, step in steps.items() if step.state == "wrong"] == [tab] and said in steps[tab].problem


@pytest.mark.parametrize(
    ("status", "train", "try_it"), [(None, "open", "open"), ("running", "busy", "open"), ("failed", "wrong", "open"),
                                    ("stopped", "open", "open"), ("finished", "done", "done")],
)  # fmt: skip
def test_training_and_trying_follow_the_run(status, train, try_it):
    steps = run_steps("mine", status, {"accuracy": 0.875}, T)
    assert [step.state for step in steps] == [train, try_it]
    assert ("87.5%" in steps[0].value) == (status is not None)


def test_steps_are_buttons_that_say_their_state_and_no_name_is_read_as_code():
    html = steps_html(recipe_steps(Recipe().replace({"model.path": "./<b>{x}"}), T), T)
    assert html.count("<button") == 4 and html.count('data-step="') == 4 and "needs a look" in html and "<b>" not in html
