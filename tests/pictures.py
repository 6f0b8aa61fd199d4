"""README's pictures, taken from the page as it runs: `python -m tests.pictures` makes all of them anew.

From an empty data folder, with one training in each language; a browser is found as the browser tests find it. A minute or two.
"""

from __future__ import annotations

import io
import itertools
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.browser.app_process import PROJECT, AppProcess
from tests.browser.person import Person, browser_program

PLACE = PROJECT / "presets" / "screenshots"
STORY_SIZE, TAB_SIZE = (960, 780), (1280, 1000)
COLOURS = 256
# Far enough for a line, and still under way.
STORY_STEP, TAB_STEP = 14, 10
LABEL = "place.querySelector('svg')?.getAttribute('aria-label')"
STEPS = ("blank", "prompt", "words", "training", "sentence")


def main() -> None:
    """Starts the page, and takes the pictures of the story and of two tabs."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = AppProcess(Path(folder) / "root")
        browser = playwright.chromium.launch(executable_path=browser_program(), args=["--no-sandbox"])
        take_prompt(come(browser, app, "en", TAB_SIZE))
        take_story(come(browser, app, "en", STORY_SIZE))
        take_training(come(browser, app, "zh", TAB_SIZE, dark=True))
        browser.close()
        app.close()


def take_story(person: Person) -> None:
    """Its five steps; the fourth while the model learns."""
    person.press("story-open")
    for step, name in enumerate(STEPS, start=1):
        person.sees("story-slide", person.t(f"story.title_{step}")).waits_for("story", "stage => stage.querySelector('svg')")
        if name == "training":
            person.waits_for("story-live", f"place => {LABEL} && {LABEL}.match(/[0-9]+/)[0] >= {STORY_STEP}", 600)
        keep(person, f"story-{step}-{name}.png")
        if name == "training":
            person.waits_for("story-live", "place => !place.querySelector('[data-busy]')", 600)
        if name != STEPS[-1]:
            person.press("story-next")


def take_prompt(person: Person) -> None:
    """The tab Prompt with its preview."""
    person.tab("prompt").sees("preview", person.t("prompt.top")).sees("score", person.t("prompt.interval"))
    keep(person, f"prompt-{person.language}.png")


def take_training(person: Person) -> None:
    """The tab Train while the model learns."""
    person.tab("train").press("train-start").sees_status("running")
    drawn = "plot => plot.querySelector('.js-plotly-plot')?._fullData?.some(line => line.x.length >= {points})"
    person.waits_for("train-accuracy", drawn.format(points=TAB_STEP // 2))
    keep(person, f"train-{person.language}.png")
    person.press("train-stop").sees_status("stopped")


def come(browser: Browser, app: AppProcess, language: str, size: tuple[int, int], *, dark: bool = False) -> Person:
    """A person whose browser has this size and speaks this language."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, locale={"zh": "zh-CN"}.get(language, "en-GB"),
        color_scheme="dark" if dark else "light",
    )  # fmt: skip
    return Person(context.new_page(), app, language).open()


def keep(person: Person, name: str) -> None:
    """Writes what the person sees, in few enough colours to be small and enough to look the same."""
    person.page.wait_for_timeout(500)  # colours change over a third of a second
    image = Image.open(io.BytesIO(person.page.screenshot(animations="disabled"))).convert("RGB")
    # The commonest colours as they are, or two papers that differ by little would be one; of the rest those of thin lines, too.
    common = [colour for _, colour in sorted(image.getcolors(image.width * image.height), reverse=True)[: COLOURS // 2]]
    rest = image.quantize(COLOURS // 2, Image.Quantize.FASTOCTREE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*itertools.chain(*common), *rest[: COLOURS // 2 * 3]])
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(PLACE / name, optimize=True)


if __name__ == "__main__":
    main()
