"""A person at the page: the few things one does with it, by the names and ids that stand there, never by position."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, expect

from tests.browser.app_process import AppProcess
from workbench.ui.text import Words

# A person waits a second or two; a machine that runs everything else at the same time may need this long.
SECONDS = 120
expect.set_options(timeout=SECONDS * 1000)  # not playwright's five: other work may keep both cores
THIS_MACHINE = ("127.0.0.1", "localhost")
# What a browser and gradio's client say when a page with an open stream is left or reloaded.
ENDINGS = ("net::ERR_ABORTED", "net::ERR_NETWORK_CHANGED")
CUT_STREAMS = ("BodyStreamBuffer was aborted", "AbortError: signal is aborted without reason")


def browser_program() -> str:
    """Where Chromium is."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "The browser tests need Chromium: `bash tests/run` installs it, or set CHROMIUM to its path."
    return program


class Person:
    """One browser tab, opened in one language. `complaints` collects what no person should meet: console errors, failed requests,
    and requests to another machine; the fixture that made it fails the test for any."""

    def __init__(self, page: Page, app: AppProcess, language: str) -> None:
        self.page, self.app, self.language = page, app, language
        self.t = Words(language)
        self.complaints: list[str] = []
        self._leaving = False
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: self._complain("console", message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._complain("script", str(error)))
        page.on("request", lambda request: self._refuse_elsewhere(request.url))
        page.on("requestfailed", self._failed)
        page.on("response", lambda answer: self._complain("answer", f"{answer.status} {answer.url}") if answer.status >= 400 else None)

    def open(self) -> Person:
        """Goes to the address that app.py printed, then to the page in this person's language."""
        if urlsplit(self.app.address).query:
            self.page.goto(self.app.address)
        self.page.goto(f"{self.app.url}/{self.language}/")
        return self.ready()

    def reload(self) -> Person:
        self._leaving = True
        self.page.reload()
        return self.ready()

    def switch(self, language: str) -> Person:
        """Chooses the other language by the link in the page's head."""
        self._leaving = True
        self.page.locator(f'.pw-languages a[lang="{language}"]').click()
        self.language, self.t = language, Words(language)
        return self.ready()

    def ready(self) -> Person:
        """Waits until the page is drawn and its first load has filled it."""
        expect(self.page.locator(".pw-brand h1")).to_have_text(self.t("title"))  # also below the story, which may lie over it at once
        self.page.wait_for_selector("body[data-filled]")
        self._leaving = False
        return self

    def find(self, elem_id: str) -> Locator:
        """The component with this elem_id."""
        return self.page.locator(f"#{elem_id}")

    def tab(self, name: str) -> Person:
        """Opens a tab by its name in the recipe of the page: model, data, prompt, method, train, try, runs ..."""
        tab = self.page.get_by_role("tab", name=self.t(f"{name}.tab"), exact=True)
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        return self

    def choose(self, elem_id: str, option: str | re.Pattern[str]) -> Person:
        """Chooses an option of a dropdown by the words it shows."""
        self.find(elem_id).get_by_role("listbox").or_(self.find(elem_id).locator("input")).first.click()
        self.page.get_by_role("option", name=option).first.click()
        return self

    def tick(self, elem_id: str, option: str) -> Person:
        """Chooses one of a group of radio buttons or check boxes."""
        self.find(elem_id).get_by_label(option, exact=True).check()
        return self

    def write(self, elem_id: str, text: str) -> Person:
        """Types `text` into a box in place of what was there, and leaves the box."""
        box = self.find(elem_id).locator("textarea, input").first
        box.fill("")
        box.press_sequentially(text)
        box.blur()
        return self

    def paste(self, elem_id: str, text: str) -> Person:
        """Puts `text` into a box at once, in place of what was there, without leaving it."""
        self.find(elem_id).locator("textarea, input").first.select_text()
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        self.page.keyboard.press("ControlOrMeta+V")
        return self

    def press(self, elem_id: str) -> Person:
        """Presses a button as soon as it can be pressed."""
        button = self.page.locator(f"button#{elem_id}, #{elem_id} button").first
        expect(button).to_be_enabled()
        button.click()
        return self

    def text(self, elem_id: str) -> str:
        """What a component shows now."""
        return self.find(elem_id).inner_text()

    def value(self, elem_id: str) -> str:
        """What stands in a box or a dropdown now."""
        return self.find(elem_id).locator("textarea, input").first.input_value()

    def sees(self, elem_id: str, words: str | re.Pattern[str], seconds: float = SECONDS) -> Person:
        """Waits until a component shows `words`."""
        expect(self.find(elem_id)).to_contain_text(words, timeout=seconds * 1000)
        return self

    def sees_no(self, elem_id: str, words: str | re.Pattern[str], seconds: float = SECONDS) -> Person:
        """Waits until a component no longer shows `words`."""
        expect(self.find(elem_id)).not_to_contain_text(words, timeout=seconds * 1000)
        return self

    def sees_status(self, status: str, seconds: float = SECONDS) -> Person:
        """Waits until the run in the tab Train has this status."""
        expect(self.find("train-status").locator(f".pw-status-{status}")).to_be_visible(timeout=seconds * 1000)
        return self

    def points(self, elem_id: str) -> list[int]:
        """How many points each line of a chart has now."""
        return self.page.evaluate(
            # `data` holds arrays as they were sent, packed; `_fullData` as they are drawn.
            "id => [...document.querySelectorAll(`#${id} .js-plotly-plot`)].flatMap(plot => plot._fullData.map(line => line.x.length))",
            elem_id,
        )

    def waits_for(self, elem_id: str, condition: str, seconds: float = SECONDS) -> Any:
        """Waits until the component is there and a JavaScript function of its element gives something true; returns it."""
        asked = f"id => {{ const place = document.getElementById(id); return place && ({condition})(place); }}"
        found = self.page.wait_for_function(asked, arg=elem_id, timeout=seconds * 1000)
        return found.json_value()

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """A screenshot for looking at."""
        self.page.screenshot(path=file, full_page=whole, animations="disabled")

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """What the page complains of in here is expected: the server is killed, say."""
        before = list(self.complaints)
        yield
        self.complaints[:] = before

    def _refuse_elsewhere(self, url: str) -> None:
        place = urlsplit(url)
        if place.scheme in ("http", "https", "ws", "wss") and place.hostname not in THIS_MACHINE:
            self._complain("leaves this machine", url)

    def _failed(self, request: Any) -> None:
        if request.failure not in ENDINGS:
            self._complain("request", f"{request.failure} {request.url}")

    def _complain(self, kind: str, what: str) -> None:
        ended = any(words in what for words in CUT_STREAMS) or (self._leaving and "Connection errored out" in what)
        if not ended:
            self.complaints.append(f"{kind}: {what}")
