"""The guided story as a presenter clicks through it, from an empty folder to a sentence of one's own: in both languages, on light and dark
paper, wide and narrow."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.browser.test_accessible import grave

OWN = {"en": "A wonderful film, moving and funny.", "zh": "质量很好，用着非常满意。"}
WIDTHS = (1280, 768)
# Text that is wider than its place, leaves the picture, or lies on other text.
CUT = """() => {
    const stage = document.getElementById("story"), found = [];
    const short = (element) => `${element.tagName} ${element.textContent.trim().slice(0, 50)}`;
    for (const element of [stage, ...stage.querySelectorAll("*:not(svg, svg *)")])
        if (element.checkVisibility() && getComputedStyle(element).display !== "inline" && element.scrollWidth > element.clientWidth + 1)
            found.push(`cut: ${short(element)}`);
    for (const picture of stage.querySelectorAll("svg.pw-story-picture")) {
        const {width, height} = picture.viewBox.baseVal, texts = [...picture.querySelectorAll("text")];
        const boxes = texts.map((text) => text.getBBox());
        texts.forEach((text, at) => {
            const box = boxes[at], place = text.previousElementSibling;
            if (box.x < 0 || box.x + box.width > width || box.y + box.height > height + 1) found.push(`outside: ${short(text)}`);
            if (place?.matches("rect[height='30.0']") && box.width > place.width.baseVal.value) found.push(`wide: ${short(text)}`);
            boxes.slice(0, at).forEach((other, before) => {
                const across = Math.min(box.x + box.width, other.x + other.width) - Math.max(box.x, other.x);
                const down = Math.min(box.y + box.height, other.y + other.height) - Math.max(box.y, other.y);
                if (across > 1 && down > 5) found.push(`over each other: ${short(text)}, ${short(texts[before])}`);
            });
        });
    }
    return found;
}"""


@pytest.mark.slow
@pytest.mark.parametrize("language", OWN)
def test_five_steps_from_an_untouched_page_to_a_sentence_of_ones_own(start, visit, language):
    person = visit(language, to=start())
    person.press("story-open")
    at(person, 1).waits_for("story-picture", "place => place.querySelector('svg')")
    expect(person.page.get_by_role("dialog")).to_be_visible()
    expect(person.find("story-title")).to_be_focused()
    looks_right(person)
    person.page.keyboard.press("ArrowRight")
    at(person, 2)
    says_what_a_word_means(person)
    looks_right(person)
    person.page.keyboard.press("PageDown")
    looks_right(at(person, 3))
    person.page.keyboard.press("ArrowRight")
    trains(at(person, 4))
    looks_right(person)
    assert grave(person.page) == []
    person.press("story-next")
    asks(at(person, 5))
    looks_right(person)
    assert grave(person.page) == []
    goes_back_and_ends(person)


def at(person: Person, step: int) -> Person:
    """Waits until this step is on the stage, with its picture."""
    person.sees("story-slide", person.t(f"story.title_{step}"))
    return person.waits_for("story", "stage => stage.querySelector('svg.pw-story-picture')") and person


def looks_right(person: Person) -> None:
    """Nothing is cut or covered, at both widths and on both papers."""
    for width in WIDTHS:
        person.page.set_viewport_size({"width": width, "height": 900})
        for dark in (False, True):
            person.page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
            assert person.page.evaluate(CUT) == [], f"{width} px, {'dark' if dark else 'light'}"
    person.page.set_viewport_size({"width": WIDTHS[0], "height": 900})


def says_what_a_word_means(person: Person) -> None:
    word = person.find("story-slide").locator("a.pw-term").first
    word.click()
    expect(person.find("story-word")).to_have_text(word.get_attribute("title"))


def trains(person: Person) -> None:
    """The line grows; impatience is answered; Esc and a reload lose nothing; in the end the model was measured."""
    person.press("story-next")
    expect(person.page.get_by_text(person.t("story.still"))).to_be_visible()
    person.waits_for("story-live", "place => place.querySelector('circle')")
    person.page.keyboard.press("Escape")
    expect(person.find("story-title")).to_be_hidden()
    person.press("story-open")
    expect(person.find("story-title")).to_be_focused()
    person.reload()
    at(person, 4).waits_for("story-live", "place => place.querySelector('circle') && !place.querySelector('[data-busy]')", seconds=600)
    expect(person.find("story-live").locator("text").last).to_have_text(re.compile(r"[\d.]+%.*[\d.]+%"))


def asks(person: Person) -> None:
    before = answers(person)
    assert person.value("story-text") == person.t("story.sentence")
    person.write("story-text", OWN[person.language]).press("story-ask")
    person.page.wait_for_function(f"before => ({ANSWERS})() !== before", arg=before)


ANSWERS = """() => document.querySelector("#story-picture svg")?.getAttribute("aria-label") ?? ''"""


def answers(person: Person) -> Any:
    return person.page.evaluate(ANSWERS)


def goes_back_and_ends(person: Person) -> None:
    """Back through all steps without a second training; after the last one the page is there, with the run in it."""
    for step in (4, 3):
        person.press("story-back")
        at(person, step)
    for step in (4, 5):
        person.press("story-next")
        at(person, step)
    assert person.value("story-text") == OWN[person.language], "the sentence is still there"
    person.press("story-next")
    expect(person.find("story-title")).to_be_hidden()
    person.tab("train").sees_status("finished")
    person.tab("runs").waits_for("runs-table", "table => table.querySelectorAll('.virtual-body [role=row]').length === 1")
