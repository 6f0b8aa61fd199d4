"""P10: from `python app.py` to an answered page and to a painted one, and what importing the recipe costs."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.bench.comparison import Row, Scale, comparison
from workbench.errors import RunError
from workbench.recipe import PROJECT

SECONDS_TO_ANSWER = 120.0


@comparison("P10", "from the command to the first page")
def startup(scale: Scale) -> list[Row]:
    """Wall seconds, warm file cache; each round is a fresh process, looked at by a browser that is open already."""
    rounds = 1 if scale.quick else max(3, scale.rounds)
    imports = statistics.median(_seconds_to_import() for _ in range(3))
    rows = [Row("P10", "import workbench.recipe", "a fresh process", round(imports, 3), 0.5, unit="s", at_most=True)]
    answered, painted = [], []
    with _browser() as page:
        for number in range(rounds):
            started = time.perf_counter()
            with served(scale.folder / f"runs-{number}") as address:
                answered.append(time.perf_counter() - started)
                if page:
                    page.goto(address)
                    page.get_by_role("tab").first.wait_for(timeout=60_000)
                    painted.append(time.perf_counter() - started)
                    page.goto("about:blank")
    rows.append(
        Row(
            "P10", f"python app.py to the first {'painted' if painted else 'answered'} page", "a fresh process",
            round(statistics.median(painted or answered), 2), 9.0, unit="s", at_most=True,
            figures={"answered_seconds": round(statistics.median(answered), 2), "rounds": rounds},
            note="" if painted else "Without playwright and Chromium the page was fetched, not painted.",
        )
    )  # fmt: skip
    return rows


@contextmanager
def served(root: Path, *flags: str) -> Iterator[str]:
    """A page of its own over `root`, in a process of its own; yields its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--no-browser", "--port", str(port), "--runs", str(root), "--lang", "en", *flags]
    server = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    address = f"http://127.0.0.1:{port}/en/"
    try:
        _wait_for(address, server)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=30):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise RunError("The page did not start.", fix="Run `python app.py` by hand to see why.")


def _seconds_to_import() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import workbench.recipe"], cwd=PROJECT, check=True)
    return time.perf_counter() - started


@contextmanager
def _browser() -> Iterator[Any]:
    """An empty page of headless Chromium; None without one, or without playwright."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        yield None
        return
    with sync_playwright() as play, play.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser:
        yield browser.new_page()
