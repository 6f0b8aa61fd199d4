"""axe-core on every tab, in both languages, light and dark: nothing serious or critical for those who read with a keyboard, a screen
reader or weak eyes."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

TABS = ("model", "data", "prompt", "method", "train", "try", "board", "runs")
GRAVE = ("serious", "critical")
LOOKS = 4
# While a part waits for the server, gradio shows it at a fifth of its strength.
ANSWERED = "() => !document.querySelector('#tabs .pending')"


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_tab_has_a_serious_finding(visit, language):
    person = visit(language)
    person.page.evaluate("document.documentElement.setAttribute('data-all', '')")
    person.sees("summary", f"tiny-{language}")
    found = []
    for name in TABS:
        person.tab(name)
        if name == "data":
            person.find("labels").get_by_role("button", name=person.t("labels.title")).click()
            person.sees("data-facts", ".csv")
        if name == "prompt":
            person.sees("preview", person.t("prompt.top")).sees("score", person.t("prompt.interval"))
        for dark in (False, True):
            person.page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
            # What a tab asks the server for on coming into view is asked a moment later, and colours change over a third of a second.
            person.page.wait_for_timeout(1500)
            found += [f"{name}, {'dark' if dark else 'light'}: {one}" for one in lasting(person.page)]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_story_has_no_serious_finding(visit, language):
    """Its first three steps; those after the training are looked at where it is trained (test_story.py)."""
    person = visit(language)
    person.press("story-open").waits_for("story-picture", "place => place.querySelector('svg')")
    found = []
    for step in (1, 2, 3):
        person.sees("story-slide", person.t(f"story.title_{step}"))
        for dark in (False, True):
            person.page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
            found += [f"{step}, {'dark' if dark else 'light'}: {one}" for one in grave(person.page)]
        person.page.keyboard.press("ArrowRight") if step < 3 else None
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_a_narrow_page_with_a_finished_run_has_no_serious_finding(visit):
    person = visit("en", width=768)
    person.tab("train").write("train-shots", "4").write("train-validation", "16").write("train-epochs", "1")
    person.press("train-start").sees_status("finished", 600)
    opened = {"train": "train.recipe", "try": "programs.title", "runs": "comparison.title"}
    found = []
    for name, title in opened.items():
        person.tab(name).page.get_by_text(person.t(title), exact=True).locator("visible=true").first.click()
        person.page.wait_for_timeout(1500)
        found += [f"{name}: {one}" for one in lasting(person.page)]
    assert not found, "\n".join(found)


# What turns for ever is left to turn; a colour on its way from one paper to the other is nobody's choice.
SETTLED = """() => Promise.allSettled(
    document.getAnimations().filter((one) => one.effect?.getComputedTiming().endTime !== Infinity).map((one) => one.finished)
)"""


def lasting(page: Any) -> list[str]:
    """What `grave` finds while nothing waits for the server. On a busy machine a part may begin to wait while axe looks, which takes a
    second; a finding that is one is found again."""
    for _ in range(LOOKS):
        page.wait_for_function(ANSWERED)
        found = grave(page)
        if not found:
            break
        page.wait_for_timeout(1500)
    return found


def grave(page: Any) -> list[str]:
    """The serious findings, each with its rule, place and reason, once every colour has settled."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate(SETTLED)
    violations = Axe().run(page).response["violations"]
    return [
        f"{one['id']} {node['target']} {node['html'][:160]} {' '.join(node.get('failureSummary', '').split())[:220]}"
        for one in violations
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]
