"""Starts the page: python app.py [--host 127.0.0.1] [--port 7860] [--runs DIR] [--no-browser] [--lang en|zh]."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path

from workbench.errors import SettingsError, WorkbenchError
from workbench.settings import Settings, default_data_root

FIRST_PORT, PORTS_TRIED = 7860, 100


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line's flags; argparse exits with 2 for a wrong one."""
    parser = argparse.ArgumentParser(prog="app.py", description="Prompt Workbench: prompt tuning of language models, in the browser.")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, help=f"port to listen on (default: the first free one from {FIRST_PORT})")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder for runs and uploads (default: ~/.local/share/prompt-workbench)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    parser.add_argument("--lang", choices=("en", "zh"), help="language of the page (default: the browser's)")
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


def prepare(data_root: Path) -> None:
    """What gradio and the hub's library read while they are imported: no look-ups, and temporary files inside the data root."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(data_root / "temporary")


def import_eagerly() -> None:
    """transformers resolves its names lazily, and two threads that do so at once can meet a half-imported module: do it here, in one."""
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer  # noqa: F401
    from transformers.models.bert import BertForMaskedLM, BertTokenizerFast  # noqa: F401


def serve(settings: Settings, server: socket.socket, language: str | None) -> None:
    """Serves until interrupted; a run in progress is left with a checkpoint."""
    prepare(settings.data_root)
    import uvicorn

    from workbench.runs.service import RunService
    from workbench.ui.server import application

    import_eagerly()
    service = RunService(settings.data_root)
    try:
        app = application(service, language=language)
        address = f"http://{'[' + settings.host + ']' if ':' in settings.host else settings.host}:{server.getsockname()[1]}/"
        print(f"Prompt Workbench is open at {address}", file=sys.stderr, flush=True)
        if settings.open_browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[server])
    finally:
        service.close()


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 after a normal end, 2 for a mistake in the flags."""
    flags = parse(arguments)
    try:
        settings = Settings(
            host=flags.host, port=flags.port if flags.port is not None else FIRST_PORT, data_root=flags.runs or default_data_root(),
            language=flags.lang or "en", open_browser=not flags.no_browser,
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
