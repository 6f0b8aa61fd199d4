"""The web application: the page once per language under its own path, over one service, for this machine's browser only."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.middleware.base import BaseHTTPMiddleware

from workbench.ui import page
from workbench.ui.text import languages
from workbench.ui.theme import STYLE, theme

MOST_UPLOAD = "200mb"
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2c7a82"/>'
    '<path d="M8 10h7v4H8zM17 10h7v4h-7zM8 18h4v4H8zM20 18h4v4h-4z" fill="#fff" opacity=".75"/>'
    '<path d="M13 17h6v6h-6z" fill="#f0b35a"/></svg>'
)


def application(service: Any, *, language: str | None = None) -> FastAPI:
    """The page in every language, each under /CODE.

    Args:
        service: a RunService; it must outlive the application.
        language: where / leads; None follows the browser's languages.
    """
    app = FastAPI(title="Prompt Workbench", docs_url=None, redoc_url=None, openapi_url=None)
    codes = tuple(languages())

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
        blocks = page.build(service, code).queue(default_concurrency_limit=4)
        gr.mount_gradio_app(
            app, blocks, path=f"/{code}", server_name="127.0.0.1", footer_links=["api"], run_history=False, show_error=False,
            max_file_size=MOST_UPLOAD, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
            theme=theme(), css_paths=STYLE, head=page.head(code), blocked_paths=[str(Path(service.root) / "runs")],
        )
    app.add_middleware(BaseHTTPMiddleware, dispatch=only_this_machine)
    return app


async def only_this_machine(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuses requests under another host name (DNS rebinding) and from other sites' pages (cross-site requests)."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if not is_local(host):
        return PlainTextResponse("This page answers on this machine only. Open it as http://127.0.0.1.", status_code=403)
    if origin is not None and urlsplit(origin).netloc != host:
        return PlainTextResponse("Requests from other sites are refused.", status_code=403)
    return await call_next(request)


def is_local(host: str) -> bool:
    """Whether a Host header names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost":
            return True
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def preferred(header: str, codes: tuple[str, ...]) -> str:
    """The first of `codes` that an Accept-Language header asks for, by weight; else the first code."""
    wishes = []
    for order, part in enumerate(header.split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wishes.append((-float(weight or 1), order, tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((code for _, _, code in sorted(wishes) if code in codes), codes[0])
