"""`python app.py` as it is started: what it refuses, and one process with few descriptors that is looked at from outside."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
import pytest

from tests.browser.app_process import AppProcess
from workbench.recipe import PROJECT

DESCRIPTORS, SILENT = 512, 560


def limited() -> None:
    """Run in the new process, before Python starts there."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    process = AppProcess(
        tmp_path_factory.mktemp("app") / "root", "--auth", "token", "--offline",
        stdin=subprocess.PIPE, preexec_fn=limited if os.name == "posix" else None,
    )  # fmt: skip
    yield process
    process.close()


@pytest.fixture(scope="module")
def owner(page):
    (token,) = parse_qs(urlsplit(page.address).query)["token"]
    with httpx.Client(base_url=page.url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=60) as client:
        yield client


@pytest.mark.parametrize("flags", [
    ["--host", "0.0.0.0"], ["--host", "::"], ["--host", "192.168.0.7"], ["--demo"], ["--host", "0.0.0.0", "--demo"],
], ids=" ".join)  # fmt: skip
def test_without_a_log_in_it_does_not_start_for_others(tmp_path, flags):
    command = [sys.executable, "app.py", "--no-browser", "--port", "0", "--runs", str(tmp_path / "root"), *flags]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == 2 and "--auth token" in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert ended.stdout == "" and not (tmp_path / "root").exists()


def test_nobody_can_be_asked_on_the_terminal_and_every_folder_lies_in_the_root(page, owner):
    process = psutil.Process(page.process.pid)
    assert Path(process.cwd()) == page.root / "empty" and stat.S_IMODE(page.root.stat().st_mode) == 0o700
    if Path("/proc").is_dir():
        assert os.readlink(f"/proc/{process.pid}/fd/0") == os.devnull
    (uploaded,) = owner.post("/en/gradio_api/upload", files={"files": ("rows.csv", b"text,label\n")}).json()
    assert Path(uploaded).is_relative_to(page.root / "temporary") and Path(uploaded).read_bytes() == b"text,label\n"


def test_whoever_asks_is_answered_while_others_hold_more_connections_than_the_process_may_open(page, owner):
    place = urlsplit(page.url)
    with contextlib.ExitStack() as silent:
        for _ in range(SILENT):
            one = silent.enter_context(socket.create_connection((place.hostname, place.port), 30))
            with contextlib.suppress(ConnectionError):
                one.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ")
        assert httpx.get(f"{page.url}/login", trust_env=False, timeout=8).status_code == 200
    assert "Traceback" not in page.log(), "it never ran out of descriptors"
    assert owner.get("/en/config").status_code == 200


def test_another_name_in_a_header_gives_no_more_tries(page):
    with httpx.Client(base_url=page.url, trust_env=False, timeout=60) as client:
        tries = [
            client.post("/login", data={"token": f"guess-{number}"}, headers={"x-forwarded-for": f"10.0.0.{number}"}).status_code
            for number in range(11)
        ]
    assert tries == [401] * 10 + [429]
