"""The temporary folder of a server does not grow for ever, and nothing outside it is touched."""

import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from gradio.utils import get_upload_folder

from workbench.ui import temporary
from workbench.ui.guard.guard import Policy
from workbench.ui.guard.limits import Limits
from workbench.ui.temporary import sweep, swept


def old(path, seconds=7200):
    os.utime(path, (time.time() - seconds, time.time() - seconds), follow_symlinks=False)


def test_what_is_old_goes_and_what_is_new_stays(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    folder = tmp_path / "temporary"
    (folder / "taken-1").mkdir(parents=True)
    (folder / "taken-1" / "model.zip").write_bytes(b"x" * 1000)
    (folder / "upload.csv").write_text("text")
    (folder / "link").symlink_to(outside)
    (folder / "ray" / "session" / "logs").mkdir(parents=True)
    (folder / "ray" / "session" / "logs" / "raylet.out").write_text("still at work")
    for name in ("taken-1/model.zip", "taken-1", "upload.csv", "link", "ray/session/logs", "ray/session", "ray"):
        old(folder / name)
    (folder / "answers-2").mkdir()
    sweep(folder, time.time() - 3600)
    assert {entry.name for entry in folder.iterdir()} == {"answers-2", "ray"} and (outside / "kept.txt").read_text() == "kept"
    assert (folder / "ray" / "session" / "logs" / "raylet.out").is_file()
    sweep(tmp_path / "nowhere", time.time())


def test_a_server_empties_it_at_its_start_and_looks_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(temporary, "KEPT_SECONDS", 3600)
    (tmp_path / "left-by-another").mkdir()
    old(tmp_path / "left-by-another", 5)
    with swept(tmp_path):
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "new").mkdir()
        (tmp_path / "forgotten").mkdir()
        old(tmp_path / "forgotten")
        deadline = time.monotonic() + 20
        while (tmp_path / "forgotten").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [entry.name for entry in tmp_path.iterdir()] == ["new"]


FORM = {"content-type": "multipart/form-data; boundary=cut"}
BEGUN = b'--cut\r\ncontent-disposition: form-data; name="files"; filename="rows.csv"\r\n\r\n' + b"a film,pos\n" * 1000


def arriving() -> set[str]:
    """What lies in gradio's folder under no name of its own yet."""
    folder = Path(get_upload_folder())
    return {entry.name for entry in folder.iterdir() if entry.is_file()} if folder.is_dir() else set()


def test_an_upload_whose_client_goes_away_leaves_nothing(served):
    before, address = arriving(), urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"POST /en/gradio_api/upload HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-length: 1000000\r\n"
        client.sendall(head.encode() + b"content-type: " + FORM["content-type"].encode() + b"\r\n\r\n" + BEGUN)
        deadline = time.monotonic() + 20
        while not arriving() - before:
            assert time.monotonic() < deadline, "nothing has arrived"
            time.sleep(0.01)
    while arriving() - before:
        assert time.monotonic() < deadline, "what has arrived lies there still"
        time.sleep(0.01)


def test_an_upload_that_is_refused_while_it_arrives_leaves_nothing(served):
    before = arriving()

    def endless():
        yield BEGUN
        deadline = time.monotonic() + 20
        while not arriving() - before and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(100):
            yield b"a film,pos\n" * 100

    with served.under(Policy(limits=Limits(upload_bytes=50_000))):
        answer = httpx.post(f"{served.url}/en/gradio_api/upload", headers=FORM, content=endless(), timeout=20)
    assert answer.status_code == 413 and arriving() == before


def test_an_upload_that_arrives_whole_is_there(served):
    answer = httpx.post(f"{served.url}/en/gradio_api/upload", files={"files": ("rows.csv", b"a film,pos\n")}, timeout=20)
    assert Path(answer.json()[0]).read_bytes() == b"a film,pos\n"
