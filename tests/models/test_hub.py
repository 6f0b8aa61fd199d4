"""The hub's real client against a server on loopback: downloads, progress, cancelling, and every way to fail."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.models.hub_server import COMMIT, HubServer
from tests.models.tiny import save_model
from tests.training.small_run import make_recipe
from workbench.cli import main
from workbench.errors import ModelError
from workbench.models import hub
from workbench.models.card import model_card
from workbench.models.convert import convert_model
from workbench.models.hub import fetch
from workbench.models.loading import load_model, locate
from workbench.models.pool import ModelPool
from workbench.models.transfer import CancelledError, Stage
from workbench.recipe import ModelPart
from workbench.training.trainer import Control, train_run
from workbench.ui.text import Words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = save_model(tmp_path_factory.mktemp("hub") / "model", "qwen2")
    (made / "pytorch_model.bin").write_bytes(b"never fetched")
    (made / "modeling_own.py").write_text("raise SystemExit")
    return made


@pytest.fixture()
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    with HubServer(folder) as running:
        for name, value in (("ENDPOINT", running.address), ("HF_HUB_OFFLINE", False), ("HF_HUB_CACHE", str(tmp_path / "cache"))):
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.address + "/{repo_id}/resolve/{revision}/{filename}")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield running


def test_a_model_arrives_loads_and_answers_offline(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    told: list[tuple[str, float | None]] = []
    loaded = load_model(ModelPart(path="owner/model", device="cpu"), progress=lambda stage, share: told.append((stage, share)))
    assert loaded.family.name == "qwen2" and loaded.name == "owner/model"
    downloads = [(stage, share) for stage, share in told if isinstance(stage, Stage)]
    assert downloads[-1][1] == 1.0 and downloads[-1][0].done == downloads[-1][0].total > 90_000
    assert not any("pytorch_model.bin" in line or ".py" in line for line in server.asked)
    before = len(server.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model(ModelPart(path="owner/model", device="cpu")).fingerprint == loaded.fingerprint
    assert len(server.asked) == before


def test_a_revision_and_only_the_configuration(server: HubServer) -> None:
    found = locate("owner/model", "v1", config_only=True)
    assert found.name == COMMIT and [file.name for file in found.iterdir()] == ["config.json"]


def test_cancelling_keeps_what_has_arrived(server: HubServer, folder: Path) -> None:
    def cancel(stage: str, share: float | None) -> None:
        if isinstance(stage, Stage) and stage.done:
            raise CancelledError("owner/model")

    with pytest.raises(CancelledError, match="cancelled"):
        fetch("owner/model", None, cancel)
    sent = server.sent
    fetch("owner/model", None)
    whole = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in (".json", ".safetensors"))
    assert (fetch("owner/model", None) / "model.safetensors").is_file() and server.sent <= sent + whole + 5000  # and the list of files


def test_a_run_tells_of_its_download_and_stops_in_the_midst_of_it(server: HubServer, tmp_path: Path) -> None:
    server.folder = save_model(tmp_path / "bert")
    recipe = make_recipe(tmp_path, {"model": {"path": "owner/model"}})
    control, events = Control(), []
    control.request_stop()
    assert train_run(recipe, tmp_path / "run", control, ModelPool(), on_event=events.append)["status"] == "stopped"
    assert events[-1]["status"] == "stopped" and not any(".safetensors" in line for line in server.asked)
    assert train_run(recipe, tmp_path / "run", Control(), ModelPool(), on_event=events.append)["status"] == "finished"
    told = next(event for event in events if event["kind"] == "loading")
    assert told["text"] == "Download: 0.00 of 0.00 GB." and 0 < told["share"] <= 1
    assert Words("zh").said(told["text"]) == "正在下载：0.00 / 0.00 GB。"


def test_a_model_of_pickles_alone_is_named_before_anything_is_downloaded(server: HubServer, folder: Path, tmp_path: Path) -> None:
    server.folder = shutil.copytree(folder, tmp_path / "pickles", ignore=shutil.ignore_patterns("*.safetensors*"))
    with pytest.raises(ModelError, match=r"'owner/model' on the hub has its weights as pickles") as caught:
        load_model(ModelPart(path="owner/model"))
    assert "refs/pr/1" in caught.value.fix and not any("tokenizer" in line for line in server.asked)


@pytest.mark.parametrize(
    ("name", "revision", "sentence"),
    [("owner/nothing", None, "has no model"), ("owner/model", "v9", "no revision 'v9'")],
)
def test_not_found(server: HubServer, name: str, revision: str | None, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        fetch(name, revision)


def test_gated(server: HubServer) -> None:
    server.gated = True
    with pytest.raises(ModelError, match="accepted its terms"):
        fetch("owner/model", None)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_hub_that_refuses_or_is_broken_is_a_sentence_in_time(server: HubServer, status: int) -> None:
    server.broken = status
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        fetch("owner/model", None)
    assert caught.value.message.endswith(".") and caught.value.fix and time.monotonic() - started < 20


def test_a_hub_that_says_nothing_about_a_file_is_a_sentence_in_time(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers at its door, and then never again; with a tenth of the patience, so that the test is as quick."""
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 1)
    server.hangs = True
    started = time.monotonic()
    with pytest.raises(ModelError, match="cannot be reached"):
        fetch("owner/model", None)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("request_line", [
    "HEAD owner/model/resolve/main/config.json", "GET owner/model/resolve", "GET api/models/owner/model",
    "GET owner/model/resolve/main/model",
])  # fmt: skip
def test_a_hub_that_trickles_is_a_sentence_in_time(server: HubServer, monkeypatch: pytest.MonkeyPatch, request_line: str) -> None:
    """A byte now and then, in any part of the conversation: no time limit between bytes ever ends that. A tenth of the patience again."""
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 1)
    server.trickles, server.pace = request_line, 0.6  # the shortest answer, a head, takes 23 s
    started = time.monotonic()
    with pytest.raises(ModelError, match="cannot be reached"):
        fetch("owner/model", None)
    assert time.monotonic() - started < 15
    server.trickles = "never"
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 10)
    assert (fetch("owner/model", None) / "model.safetensors").is_file(), "what was left behind is in the way"


def test_a_slow_hub_that_goes_on_sending_is_waited_for(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 1.5)
    server.nap, started = 0.3, time.monotonic()
    assert (fetch("owner/model", None) / "model.safetensors").is_file()
    assert time.monotonic() - started > 1.5, "longer than a hub may say nothing"


def test_a_renamed_model_is_found_under_its_old_name(server: HubServer) -> None:
    assert (fetch("old/name", None) / "model.safetensors").is_file()


def test_no_configuration(server: HubServer, tmp_path: Path) -> None:
    server.folder = tmp_path
    with pytest.raises(ModelError, match="holds no config.json"):
        fetch("owner/model", None)


def test_no_room_on_the_disk(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ModelError, match="the disk of the cache has less"):
        fetch("owner/model", None)
    monkeypatch.undo()


def test_the_disk_fills_up_on_the_way(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*values: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub, "_download", full)
    with pytest.raises(ModelError, match="cache is full"):
        fetch("owner/model", None)


def test_modelscope_gives_a_card_the_configuration_alone_and_a_conversion_what_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the client's one function, which keeps what it was asked for."""
    asked: list[list[str]] = []

    def snapshot_download(name: str, *, revision: str | None, allow_file_pattern: list[str], ignore_file_pattern: list[str]) -> str:
        assert name == "owner/model" and not set(allow_file_pattern) & set(ignore_file_pattern)
        asked.append(allow_file_pattern)
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "modelscope", SimpleNamespace(snapshot_download=snapshot_download))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertForMaskedLM"]}')
    assert model_card("modelscope:owner/model").family == "bert" and asked == [["config.json"]]
    with pytest.raises(ModelError, match="not a Baichuan"):
        convert_model("modelscope:owner/model", tmp_path / "new")
    assert len(asked) == 3 and "*.bin" not in asked[1] and "*.bin" in asked[2]
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="not a Baichuan"):
        convert_model("modelscope:owner/model", tmp_path / "new")
    assert len(asked) == 4


@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_the_command_line_says_how_a_model_comes_from_modelscope(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "modelscope:OWNER/NAME" in capsys.readouterr().out


def test_modelscope_without_its_client() -> None:
    with pytest.raises(ModelError, match="package modelscope"):
        locate("modelscope:owner/model")
