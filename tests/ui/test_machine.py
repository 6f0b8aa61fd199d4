"""The form of a search: every option is the job's own, a search takes only those it goes by, and the browser's memory is not trusted."""

import pytest

from workbench.errors import RecipeError
from workbench.runs.jobs import check_job
from workbench.runs.jobs.search import SearchOptions
from workbench.ui.tabs.prompt import machine
from workbench.ui.text import Words

T = Words("en")
DEFAULTS = dict(zip(machine.NAMES, machine.remembered(None), strict=True))


def test_every_option_of_a_search_is_in_the_form_but_what_the_buttons_say():
    assert set(machine.NAMES) | {"what"} == set(SearchOptions.model_fields)
    assert list(machine.fields()) == list(machine.NAMES)


@pytest.mark.parametrize("name", list(machine.SEARCHES))
def test_an_untouched_form_is_the_command_lines_search(tiny, name):
    recipe = tiny.replace({"data.split.shots": 4})
    plain = check_job(recipe.replace({"job": {"kind": "search", **machine.SEARCHES[name]}}))
    assert check_job(machine.asked(recipe, name, DEFAULTS)).model_copy(update={"how": plain.way}) == plain.model_copy(
        update={"how": plain.way}
    )


def test_only_what_applies_to_the_button_is_used(tiny):
    other = {"count": 3, "beam": 5, "tokens": 2, "how": "greedy", "ranking": "likely", "words": 2, "generator": "/models/t5", "steps": 7}
    given = {**DEFAULTS, **other}
    jobs = {name: machine.asked(tiny, name, given).job for name in machine.SEARCHES}
    assert jobs["generate"] == {
        "kind": "search", "what": "template", "how": "generate", "count": 3, "rows": 32, "beam": 5, "longest": 3, "generator": "/models/t5",
    }  # fmt: skip
    assert jobs["trigger"]["tokens"] == 2 and jobs["trigger"]["steps"] == 7 and jobs["trigger"]["how"] == "trigger"
    assert not {"generator", "beam", "ranking", "words"} & set(jobs["trigger"])
    assert (jobs["words"]["how"], jobs["words"]["ranking"], jobs["words"]["words"]) == ("greedy", "likely", 2)
    assert "words" not in machine.asked(tiny, "words", {**given, "how": "combinations"}).job
    with pytest.raises(RecipeError, match="50"):
        check_job(machine.asked(tiny, "words", {**DEFAULTS, "count": 51}))
    with pytest.raises(RecipeError, match="hold \\[T\\] once"):
        check_job(machine.asked(tiny, "trigger", {**DEFAULTS, "layout": "{text} [MASK]"}))


def test_settings_reach_the_search_and_what_it_finds(tiny, service):
    recipe = tiny.replace({"data.split.shots": 4})
    run = service.submit(machine.asked(recipe, "words", {**DEFAULTS, "how": "greedy", "count": 2, "rows": 4, "words": 2}))
    assert service.wait(run, 120).status == "finished"
    found = service.result(run)["cards"]
    assert len(found) <= 2 and all(len(words) <= 2 for card in found for words in card["verbalizer"]["words"].values())
    assert service.read(run).recipe.job["rows"] == 4


def test_what_the_browser_kept_is_shown_where_it_can_be():
    kept = {**DEFAULTS, "count": 4, "how": "greedy", "layout": "{text} [T] [MASK]"}
    assert dict(zip(machine.NAMES, machine.remembered(kept), strict=True)) == kept
    damaged = {"count": 4000, "how": "trigger", "beam": True, "steps": "many", "layout": ["x"], "ranking": {"path": "/etc/passwd"}}
    assert machine.remembered(damaged) == machine.remembered("x") == list(DEFAULTS.values())


def test_the_buttons_read_the_form(tiny, pages):
    blocks = pages("en")
    (pressed,) = [fn for fn in blocks.fns.values() if fn.api_name == "search_trigger"]
    assert [control.elem_id for control in pressed.inputs[2:]] == [f"search-option-{name}" for name in machine.NAMES]
    (keeps,) = [fn for fn in blocks.fns.values() if fn.api_name == "search_settings"]
    assert keeps.fn(None, *DEFAULTS.values()) == DEFAULTS
