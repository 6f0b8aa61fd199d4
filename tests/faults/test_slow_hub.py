"""A hub that trickles, says nothing, or knows the model under another name, as a person meets it: on the command line and in the page a
sentence within twenty seconds (reliability row 63), with the patience that people get."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.models.hub_server import HubServer
from tests.models.tiny import save_model
from tests.ui.program import Program
from tests.ui.served import Served
from workbench.recipe import PROJECT, Recipe
from workbench.runs.service import RunService

LONGEST_SECONDS = 20
CONFIG = "resolve/main/config.json"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(save_model(tmp_path / "model", "bert")) as running:
        yield running


def ask(server: HubServer, home: Path, name: str) -> tuple[int, str, float]:
    """Exit code, what `inspect` printed, and the seconds from its first word with the hub to its end."""
    proxies = ("http_proxy", "https_proxy", "all_proxy", "hf_hub_offline")
    environment = {key: value for key, value in os.environ.items() if key.lower() not in proxies}
    command = [sys.executable, "-m", "workbench", "inspect", name, "--runs", str(home / "root")]
    asking = subprocess.Popen(
        command, cwd=PROJECT, env={**environment, "HF_ENDPOINT": server.address, "HF_HOME": str(home / "hub")}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    while not server.asked and asking.poll() is None:
        time.sleep(0.01)
    started = time.monotonic()
    said = asking.communicate(timeout=120)[0]
    return asking.returncode, said, time.monotonic() - started


@pytest.mark.slow
def test_the_command_line_says_so_in_time(tmp_path):
    """Three hubs at once: what is waited for is the patience that people get."""
    trickling = {"silent": "never", "head": f"HEAD owner/model/{CONFIG}", "file": f"GET owner/model/{CONFIG}"}
    model = save_model(tmp_path / "model", "bert")

    def asked(way: str) -> tuple[int, str, float]:
        with HubServer(model) as server:
            server.hangs, server.trickles = way == "silent", trickling[way]
            return ask(server, tmp_path / way, "owner/model")

    with ThreadPoolExecutor(len(trickling)) as threads:
        answers = dict(zip(trickling, threads.map(asked, trickling), strict=True))
    for way, (code, said, seconds) in answers.items():
        assert code == 2 and "The hub cannot be reached" in said and "Traceback" not in said, (way, said)
        assert len(said.strip().splitlines()) == 1 and seconds < LONGEST_SECONDS, (way, seconds)


@pytest.mark.slow
def test_the_command_line_follows_a_renamed_model(server, tmp_path):
    code, said, _ = ask(server, tmp_path, "old/name")
    assert code == 0 and '"family": "bert"' in said, said


@pytest.mark.slow
@pytest.mark.parametrize("way", ["trickling", "silent"])
def test_the_page_says_so_in_time_in_its_language(server, tmp_path, monkeypatch, way):
    from huggingface_hub import constants

    for name, value in (("ENDPOINT", server.address), ("HF_HUB_OFFLINE", False), ("HF_HUB_CACHE", str(tmp_path / "cache"))):
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}")
    server.trickles, server.hangs = f"GET owner/model/{CONFIG}", way == "silent"
    service = RunService(tmp_path / "root")
    with Served(service) as served:
        program = Program(served.url, language="zh")
        program.call(program.endpoint("recipe_apply"), [None, Recipe().replace({"model.path": "owner/model"}).to_yaml()])
        answer = program.call(program.endpoint("model_load"))
        program.close()
    service.close()
    assert "owner/model" in answer.warning and "本地缓存" in answer.warning, answer.text
    assert "Traceback" not in answer.text and answer.seconds < LONGEST_SECONDS
