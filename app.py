"""Starts the page: python app.py [--host 127.0.0.1] [--port 7860] [--runs DIR] [--no-browser] [--lang en|zh].

On a machine of one's own that is all. To open it to others: [--auth token] [--users FILE] [--demo] [--model-root DIR]
[--allow-host NAME] [--tls]; README.md says how, under Security.
"""

from __future__ import annotations

import argparse
import inspect
import os
import shlex
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.access import Places
from workbench.errors import SettingsError, WorkbenchError
from workbench.recipe import PRESETS
from workbench.settings import LOOPBACK, Settings, default_data_root, make_data_root

if TYPE_CHECKING:
    from workbench.ui.guard.guard import Policy

FIRST_PORT, PORTS_TRIED = 7860, 100


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line's flags; argparse exits with 2 for a wrong one."""
    parser = argparse.ArgumentParser(prog="app.py", description="Prompt Workbench: prompt tuning of language models, in the browser.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, beyond loopback only with a log-in (%(default)s)")
    parser.add_argument("--port", type=int, help=f"port to listen on (default: the first free one from {FIRST_PORT})")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder for runs and uploads (default: ~/.local/share/prompt-workbench)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    parser.add_argument("--lang", choices=("en", "zh"), help="language of the page (default: the browser's)")
    parser.add_argument("--offline", action="store_true", help="never ask a model hub")
    shared = parser.add_argument_group("shared servers")
    shared.add_argument("--auth", choices=("none", "token"), default="none", help="token: the printed address lets the owner in")
    shared.add_argument("--users", type=Path, metavar="FILE", help="names and passwords; python -m workbench user writes them")
    shared.add_argument("--demo", action="store_true", help="who does not log in may look, try and train presets, one run at a time")
    shared.add_argument("--model-root", type=Path, action="append", default=[], metavar="DIR", help="where clients may load models from")
    shared.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name under which a proxy leads here")
    shared.add_argument("--isolate", action="store_true", help="each run in its own process: it may run out of memory, or hang, alone")
    shared.add_argument("--launch", default="", metavar="COMMAND", help="each run under this launcher: 'torchrun --nproc-per-node 2'")
    shared.add_argument("--tls", action="store_true", help="a proxy in front speaks TLS and says who asks: cookies are for TLS only")
    return parser.parse_args(arguments)


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on the port asked for, or on the first free one.

    Raises:
        SettingsError: the port is taken, or none is free.
    """
    candidates = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else (port,)
    for candidate in candidates:
        server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, candidate))
            server.listen(2048)
            return server
        except OSError:
            server.close()
    if port is None:
        raise SettingsError(f"No port from {FIRST_PORT} to {candidates[-1]} is free on {host}.", fix="Give a free one with --port.")
    raise SettingsError(
        f"Port {port} on {host} is taken.", fix="Give another with --port, or leave the flag out to take the first free one."
    )


def prepare(data_root: Path, *, offline: bool = False) -> None:
    """What gradio and the hub's library read while they are imported: no look-ups, temporary files inside the data root.

    gradio serves any file below the working folder and the temporary folder once a handler names it, so the first becomes an empty
    folder and the second one of ours. Libraries that would ask a question on the terminal find nobody there.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    make_data_root(data_root, "temporary", "empty")
    os.environ.update(dict.fromkeys(("GRADIO_TEMP_DIR", "TMPDIR"), str(data_root / "temporary")))
    tempfile.tempdir = None
    os.chdir(data_root / "empty")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)


@contextmanager
def without_stubs() -> Iterator[None]:
    """gradio, imported inside, leaves out the .pyi files that it writes beside its own source for editors, each time anew: a third of the
    seconds that it takes, and nothing for a folder that may not be written. It writes none for a component whose source it cannot find."""
    find = inspect.getfile

    def getfile(thing: Any) -> str:
        if getattr(thing, "__module__", "").startswith("gradio."):
            raise OSError
        return find(thing)

    inspect.getfile = getfile
    try:
        yield
    finally:
        inspect.getfile = find


def policy_of(settings: Settings) -> Policy:
    """What the guard in front of the server asks of its clients."""
    from workbench.ui.guard.guard import Policy, fresh_token
    from workbench.ui.guard.limits import DEMO
    from workbench.ui.guard.users import read_users

    data = (PRESETS / "data", settings.data_root / "uploads")
    places = None
    if settings.asks:
        places = Places(data=data, models=settings.model_roots, hub=not settings.offline)
    elif settings.model_roots:
        places = Places(data=(Path(settings.data_root.anchor),), models=settings.model_roots)
    return Policy(
        hosts=settings.hosts, token=fresh_token() if settings.token else None,
        users=read_users(settings.users_file) if settings.users_file else None, demo=settings.demo, places=places,
        visitor_places=Places(data=data, hub=False), visitor_limits=DEMO, secure=settings.tls,
    )


def serve(settings: Settings, server: socket.socket, language: str | None) -> None:
    """Serves until interrupted; a run in progress is left with a checkpoint."""
    prepare(settings.data_root, offline=settings.offline)
    import uvicorn

    from workbench.models.imports import import_transformers
    from workbench.runs.isolation import Isolation
    from workbench.runs.service import RunService

    with without_stubs():
        from workbench.ui.server import application
    from workbench.ui.guard.connections import Bounds, Connections
    from workbench.ui.temporary import swept

    policy = policy_of(settings)
    isolation = Isolation.under(settings.launch) if settings.launch else Isolation() if settings.isolate else None
    service = RunService(settings.data_root, isolation=isolation)
    try:
        app = application(service, language=language, policy=policy)
        address = f"http://{'[' + settings.host + ']' if ':' in settings.host else settings.host}:{server.getsockname()[1]}/"
        address += f"?token={policy.token}" if policy.token else ""
        print(f"Prompt Workbench is open at {address}", file=sys.stderr, flush=True)
        if settings.host not in LOOPBACK:
            print("Other machines can reach this page; put a proxy with TLS in front of it.", file=sys.stderr, flush=True)
        if settings.open_browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        # Every handler waits for it; meanwhile the browser fetches and paints the page.
        threading.Thread(target=import_transformers, daemon=True).start()
        bounds = Bounds.of_process()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False, backlog=bounds.at_once,
            # Whom X-Forwarded-For names may guess passwords anew: it is believed only where a proxy is said to write it.
            proxy_headers=settings.tls,
            # Not what else happens to be installed: the guard was tried on these.
            loop="asyncio", http=Connections(bounds).protocol, ws="none",  # type: ignore[arg-type]  # uvicorn only calls it
        )  # fmt: skip
        # Only now, with the runs held, is it sure that no other server uses the folder.
        with swept(settings.data_root / "temporary"):
            uvicorn.Server(config).run(sockets=[server])
    finally:
        service.close()


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 after a normal end, 2 for a mistake in the flags."""
    flags = parse(arguments)
    try:
        settings = Settings(
            host=flags.host, port=flags.port if flags.port is not None else FIRST_PORT, data_root=flags.runs or default_data_root(),
            language=flags.lang or "en", open_browser=not flags.no_browser, offline=flags.offline, token=flags.auth == "token",
            users_file=flags.users, demo=flags.demo, model_roots=tuple(flags.model_root),
            allowed_hosts=tuple(flags.allow_host), tls=flags.tls, isolate=flags.isolate,
            launch=tuple(shlex.split(flags.launch)),
        )
        with listen(settings.host, flags.port) as server:
            serve(settings, server, flags.lang)
    except WorkbenchError as error:
        print(f"{error.message} {error.fix}".strip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
