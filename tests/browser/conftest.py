"""The browser tests' shared home: one running page, headless Chromium, and people who come to the page and may not meet an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.app_process import AppProcess
from tests.browser.person import Person, browser_program


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Headless Chromium. Not for the whole session: its event loop would be in the way of other tests in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The page that most tests share; other tests may have trained on it before."""
    app = AppProcess(tmp_path_factory.mktemp("browser") / "root")
    yield app
    app.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., AppProcess]]:
    """Starts a page of the test's own: `start()`, `start(root)`, `start(root, "--flag", environment={...})`."""
    started: list[AppProcess] = []

    def begin(root: Path | None = None, *flags: str, environment: dict[str, str] | None = None) -> AppProcess:
        started.append(AppProcess(root or tmp_path / "root", *flags, environment=environment))
        return started[-1]

    yield begin
    for app in started:
        app.close()


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Person]]:
    """Opens the page for a new person with a browser of their own: `visit("zh")`, `visit("en", width=768, dark=True)`. The browser speaks
    the other language, for the page's is chosen in the page.
    Afterwards nobody may have met a console error, a failed request or a request to another machine."""
    people: list[Person] = []

    def come(language: str = "en", *, to: AppProcess | None = None, width: int = 1280, height: int = 900, dark: bool = False) -> Person:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, locale={"en": "zh-CN"}.get(language, "en-GB"),
            color_scheme="dark" if dark else "light", permissions=["clipboard-read", "clipboard-write"],
        )
        people.append(Person(context.new_page(), to or request.getfixturevalue("app"), language))
        return people[-1].open()

    yield come
    complaints = [complaint for person in people for complaint in person.complaints]
    for person in people:
        person.page.context.close()
    assert not complaints, "\n".join(complaints)
