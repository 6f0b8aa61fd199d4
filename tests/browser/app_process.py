"""The page as a person starts it: `python app.py` in a process of its own, on a free loopback port, with its own data root."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(r"https?://\S+")


class AppProcess:
    """A running page. Owned by the fixture that started it, which also closes it.

    Args:
        root: data root; used again, it shows what an earlier process left.
        flags: more flags of app.py.
        environment: variables on top of the test's own.
        process: of subprocess.Popen, where a test wants another.

    Every proxy variable points at a socket of ours that nobody answers, so an attempt of the server to reach another machine is seen.
    """

    def __init__(self, root: Path, *flags: str, environment: dict[str, str] | None = None, **process: Any) -> None:
        self.root = root
        self.log_file = root.parent / f"{root.name}.log"
        self._outside = socket.create_server(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{self._outside.getsockname()[1]}"
        proxies = {name: proxy for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")}
        inherited = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        local = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
        with open(self.log_file, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", "--port", "0", "--no-browser", "--runs", str(root), *flags], cwd=PROJECT, stdout=log, stderr=log,
                env={**inherited, **proxies, **local, **(environment or {})}, **{"stdin": subprocess.DEVNULL, **process},
            )
        self.address = self._wait_for_address(600)
        place = urlsplit(self.address)
        self.url = f"{place.scheme}://{place.netloc}"

    def _wait_for_address(self, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = ADDRESS.search(self.log())
            if found:
                return found.group()
            assert self.process.poll() is None, f"app.py ended with {self.process.returncode}:\n{self.log()}"
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"app.py did not open the page within {seconds} s:\n{self.log()}")

    def log(self) -> str:
        """What the process printed."""
        return self.log_file.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def close(self) -> None:
        """Ends the process as Ctrl-C would, and checks what it leaves behind: no traceback, no attempt to reach another machine."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("app.py did not end within 60 s of an interrupt.") from None
        attempts = self._attempts_to_leave()
        assert not attempts, f"The server tried to reach another machine: {attempts}"
        assert "Traceback" not in self.log(), self.log()
        bugs = self.root / "workbench.log"
        assert not bugs.exists(), bugs.read_text(encoding="utf-8")

    def _attempts_to_leave(self) -> list[str]:
        self._outside.setblocking(False)
        attempts = []
        try:
            while True:
                client, _ = self._outside.accept()
                client.settimeout(1)
                attempts.append(client.recv(200).decode("latin-1").splitlines()[0])
                client.close()
        except (BlockingIOError, TimeoutError, IndexError):
            pass
        finally:
            self._outside.close()
        return attempts
