"""The web application: the page once per language under its own path, over one service, behind the guard."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from gradio import routes
from gradio.blocks import Block

from workbench.runs.faults import log_bug
from workbench.ui import page, programs
from workbench.ui.guard.guard import Guard, Policy
from workbench.ui.queueing import adapt, waiting
from workbench.ui.temporary import remove_what_was_cut_off
from workbench.ui.text import languages, preferred
from workbench.ui.theme import STYLE, theme

DOCUMENT = "frontend/index.html"
HEAD_PLACES = {
    '<meta charset="utf-8" />': '<meta charset="utf-8" />{{ (config.get("head") or "") | safe }}',
    "window.gradio_config = {{ config | toorjson }}": "window.gradio_config = {{ dict(config, head=None) | toorjson }}",
}
MOST_UPLOAD = "200mb"
STATUS_SECONDS = 2.0
MOST_OPEN_PAGES = 300
"""Of one language. gradio keeps 1.15 MB for every page that was ever opened, up to 10,000 of them: as many would take 11 GB. Those that
were not heard of for longest go; an open page is heard of every few seconds, and what a browser keeps fills a page that is loaded anew."""
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2c7a82"/>'
    '<path d="M8 10h7v4H8zM17 10h7v4h-7zM8 18h4v4H8zM20 18h4v4h-4z" fill="#fff" opacity=".75"/>'
    '<path d="M13 17h6v6h-6z" fill="#f0b35a"/></svg>'
)


def application(service: Any, *, language: str | None = None, policy: Policy | None = None) -> Guard:
    """The page in every language, each under /CODE.

    Args:
        service: a RunService; it must outlive the application.
        language: where / leads; None follows the browser's languages.
        policy: who may ask for what; left out, whoever reaches this machine's loopback address may ask for everything.

    Returns:
        The ASGI application with the guard in front; nothing answers beside it.
    """
    _head_before_gradio()
    _remember_signatures()
    remove_what_was_cut_off()
    app = FastAPI(title="Prompt Workbench", docs_url=None, redoc_url=None, openapi_url=None)
    codes = tuple(languages())
    pages: list[gr.Blocks] = []

    @app.get("/")
    def root(request: Request) -> RedirectResponse:
        return RedirectResponse(f"/{language or preferred(request.headers.get('accept-language', ''), codes)}/")

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(ICON, media_type="image/svg+xml")

    # Browsers ask for it at the root whatever the page's path.
    @app.get("/manifest.json")
    def manifest() -> JSONResponse:
        return JSONResponse({"name": "Prompt Workbench", "start_url": "/", "display": "browser", "icons": []})

    for code in codes:
        # With "auto" everybody who waits would be told of every answer to anybody.
        blocks = page.build(service, code).queue(default_concurrency_limit=4, status_update_rate=STATUS_SECONDS)
        blocks.state_session_capacity = MOST_OPEN_PAGES
        pages.append(blocks)
        gr.mount_gradio_app(
            app, blocks, path=f"/{code}", server_name="127.0.0.1", footer_links=[], run_history=False, show_error=False,
            max_file_size=MOST_UPLOAD, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
            theme=theme(), css_paths=STYLE, head=page.head(code), blocked_paths=[str(Path(service.root) / "runs")],
        )

    def report(error: BaseException, doing: str) -> str:
        return log_bug(service.root, error, doing)

    pages.append(programs.mount(app, service))
    for blocks in pages:
        adapt(blocks)
        blocks.has_launched = True  # as `launch` does; until then gradio takes a file that a client names from wherever it lies
    return Guard(app, policy or Policy(), waiting=lambda key, value: waiting(pages, key, value), report=report)


@functools.cache
def _head_before_gradio() -> None:
    """Puts what a page has for the document's head where it belongs. gradio sends it in the page's configuration and adds it once its own
    scripts have run, which is too late for its choice of a language and for its first call.

    Raises:
        RuntimeError: gradio's document is not the one that is known here.
    """
    loader = routes.templates.env.loader
    original: Any = loader.get_source  # type: ignore[union-attr]

    def get_source(environment: Any, name: str) -> Any:
        source, *rest = original(environment, name)
        if name == DOCUMENT:
            if not all(source.count(place) == 1 for place in HEAD_PLACES):
                raise RuntimeError("gradio's document has another form than that of the pinned version.")
            for place, wanted in HEAD_PLACES.items():
                source = source.replace(place, wanted)
        return source, *rest

    loader.get_source = get_source  # type: ignore[method-assign, union-attr]


@functools.cache
def _remember_signatures() -> None:
    """gradio works out the signature of a component's constructor each time it writes the component down or changes it, hundreds of them
    for every page that is opened; a function that keeps its own is asked for it."""
    kinds = [Block]
    for kind in kinds:  # which grows
        kinds += kind.__subclasses__()
        for function in (kind.__init__, inspect.unwrap(kind.__init__)):
            function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
