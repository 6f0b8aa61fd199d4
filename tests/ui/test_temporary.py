"""The temporary folder of a server does not grow for ever, and nothing outside it is touched."""

import os
import time

from workbench.ui import temporary
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
