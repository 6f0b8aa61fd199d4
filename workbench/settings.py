"""Start-up settings: read once from the command line, frozen afterwards, so that no request can change them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from workbench.errors import SettingsError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def default_data_root() -> Path:
    """`$XDG_DATA_HOME/prompt-workbench`, else `~/.local/share/prompt-workbench`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "prompt-workbench"


@dataclass(frozen=True)
class Settings:
    """One server's settings; made by `app.py`, lives as long as the process.

    Args:
        host: address to listen on; only loopback addresses are accepted, because there is no log-in.
        port: 0 to 65535; 0 takes any free port.
        data_root: folder that holds every run.
        language: language in which the page opens.
        open_browser: open the page once the server listens.
        offline: make no connection to a model hub.

    Raises:
        SettingsError: for a host, port or language that cannot be honoured.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    data_root: Path = field(default_factory=default_data_root)
    language: Literal["en", "zh"] = "en"
    open_browser: bool = True
    offline: bool = False

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK:
            raise SettingsError(
                f"--host {self.host} would show this page, which has no log-in, to other machines.",
                fix="Use 127.0.0.1 and reach it from elsewhere through an SSH tunnel.",
            )
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port {self.port} is not a port.", fix="Give a number from 0 to 65535.")
        if self.language not in ("en", "zh"):
            raise SettingsError(f"--lang {self.language} is not a language of the page.", fix="Give en or zh.")
        object.__setattr__(self, "data_root", Path(self.data_root).expanduser().resolve())
