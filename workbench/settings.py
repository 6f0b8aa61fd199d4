"""Start-up settings: read once from the command line, frozen afterwards, so that no request can change them."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from workbench.errors import SettingsError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")
DISK_FLOOR_BYTES = 500_000_000
"""What an upload or a parcel leaves free on the disk of the data root, for the runs."""


def default_data_root() -> Path:
    """`$XDG_DATA_HOME/prompt-workbench`, else `~/.local/share/prompt-workbench`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "prompt-workbench"


def make_data_root(root: Path, *folders: str) -> None:
    """Makes the data root where there is none, closed to the other people of this machine, and folders in it: it holds data, models and
    what was typed. One that is there already stays as open as its person set it."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in folders:
        (root / folder).mkdir(exist_ok=True)


def launched() -> bool:
    """Whether a launcher (torchrun, accelerate) has started this process as one of several; known before torch is imported."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@dataclass(frozen=True)
class Settings:
    """One server's settings; made by `app.py`, lives as long as the process.

    Args:
        host: address to listen on; beyond loopback only with a log-in.
        port: 0 to 65535; 0 takes any free port.
        data_root: folder that holds every run.
        language: language in which the page opens.
        open_browser: open the page once the server listens.
        offline: make no connection to a model hub.
        token: the owner logs in with a word in the address that is printed.
        users_file: the users that may log in, or None.
        demo: whoever does not log in is a visitor with few rights.
        model_roots: folders that clients may load local models from.
        allowed_hosts: names besides `host` under which a proxy or a name server leads here.
        tls: a proxy in front speaks TLS, so cookies are for TLS only, and its X-Forwarded-For says who asks.
        isolate: every run works in a process of its own, which the kernel may kill or we may end when it hangs.
        launch: the words of a launcher (torchrun, accelerate launch) in whose processes every run works; none without one.

    Raises:
        SettingsError: for a flag that cannot be honoured.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    data_root: Path = field(default_factory=default_data_root)
    language: Literal["en", "zh"] = "en"
    open_browser: bool = True
    offline: bool = False
    token: bool = False
    users_file: Path | None = None
    demo: bool = False
    model_roots: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    tls: bool = False
    isolate: bool = False
    launch: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK and not self.asks:
            raise SettingsError(
                f"--host {self.host} would open this page to other machines without a log-in.",
                fix="Add --auth token or --users FILE, or use 127.0.0.1 and an SSH tunnel.",
            )
        if self.demo and not self.asks:
            raise SettingsError("--demo needs a way for the owner to log in.", fix="Add --auth token or --users FILE.")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port {self.port} is not a port.", fix="Give a number from 0 to 65535.")
        if self.language not in ("en", "zh"):
            raise SettingsError(f"--lang {self.language} is not a language of the page.", fix="Give en or zh.")
        if self.launch and shutil.which(self.launch[0]) is None:
            raise SettingsError(
                f"--launch {self.launch[0]} is not a program of this machine.",
                fix="Give a launcher, such as 'torchrun --nproc-per-node 2'.",
            )
        roots = tuple(Path(root).expanduser().resolve() for root in self.model_roots)
        for root in roots:
            if not root.is_dir():
                raise SettingsError(f"--model-root {root.name} is not a folder.", fix="Name an existing folder that holds model folders.")
        object.__setattr__(self, "model_roots", roots)
        object.__setattr__(self, "data_root", Path(self.data_root).expanduser().resolve())

    @property
    def asks(self) -> bool:
        """Whether there is a log-in."""
        return self.token or self.users_file is not None

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a Host header may have: loopback's, the address listened on, this machine's own when that is every address."""
        names = {*LOOPBACK, *(name.lower() for name in self.allowed_hosts)}
        if self.host in EVERY_ADDRESS:
            names |= machine_names()
        else:
            names.add(self.host.lower())
        return frozenset(names)


def machine_names() -> set[str]:
    """Host names and addresses by which other machines may know this one."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    addresses = {a.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for a in entries if a.family in families}
    return addresses | {socket.gethostname().lower(), socket.getfqdn().lower()}
