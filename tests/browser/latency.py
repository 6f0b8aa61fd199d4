"""How long the Prompt tab takes from a key to what it shows (P7): `python -m tests.browser.latency`, with nothing else running.

In each language words are typed at the end of the template, a letter every two seconds. Timed in the page, from the keystroke's input event
to the change of the preview's tokens and predictions, and to that of the score on the sample.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.app_process import AppProcess
from tests.browser.person import Person, browser_program

PAUSE_MS = 2000
WORDS = ("and", "in", "the", "end", "one", "would", "say", "that", "all", "of", "it", "was", "rather", "well", "made", "for", "what")
KEYS = sum(map(len, WORDS))
SAMPLE = 200
# What counts as an answer: the rows' tokens and predictions; the score once all rows of the sample are in it.
PARTS = {"preview": ".pw-card", "score": f".pw-score[data-rows='{SAMPLE}']"}
WATCH = """parts => {
    window.typed = [];
    document.querySelector("#template-0 textarea").addEventListener("input", () => {
        window.typed.push({at: performance.now(), preview: null, score: null});
    });
    for (const [place, part] of Object.entries(parts)) {
        const root = document.getElementById(place);
        const read = () => [...root.querySelectorAll(part)].map((shown) => shown.innerText).join();
        let before = read();
        new MutationObserver(() => {
            const now = read(), last = window.typed.at(-1);
            if (!now || now === before) return;
            before = now;
            if (last && last[place] === null) { last[place] = performance.now() - last.at; }
        }).observe(root, {subtree: true, childList: true, characterData: true});
    }
}"""


def main() -> None:
    """Prints for both languages the median and the 95th percentile in milliseconds, and how many keystrokes were answered."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = AppProcess(Path(folder) / "root")
        browser = playwright.chromium.launch(executable_path=browser_program(), args=["--no-sandbox"])
        for language in ("en", "zh"):
            for place, milliseconds in measured(browser, app, language).items():
                told = f"{language} {place}: {len(milliseconds)} of {KEYS} keys"
                if milliseconds:
                    late = sorted(milliseconds)[int(0.95 * len(milliseconds))]
                    told += f", median {statistics.median(milliseconds):.0f} ms, 95 % {late:.0f} ms"
                print(told, flush=True)
        browser.close()
        app.close()


def measured(browser: Browser, app: AppProcess, language: str) -> dict[str, list[float]]:
    """Milliseconds of every keystroke that changed the preview, and of every one that changed the score."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    person = Person(page, app, language).open()
    person.tab("prompt").sees("preview", person.t("prompt.top")).sees("score", person.t("prompt.interval"))
    box = person.find("template-0").locator("textarea")
    box.click()
    page.keyboard.press("End")
    page.evaluate(WATCH, PARTS)
    for word in WORDS:
        # A space alone changes no token: it is typed together with the letter that follows.
        page.keyboard.type(" ")
        for letter in word:
            page.keyboard.type(letter)
            page.wait_for_timeout(PAUSE_MS)
    typed = page.evaluate("() => window.typed")
    page.close()
    return {place: [key[place] for key in typed if key[place] is not None] for place in ("preview", "score")}


if __name__ == "__main__":
    main()
