"""Rows 5 to 9: what is on the disk after a power cut, calls that fail, a full disk, a folder that may not be written."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.calls import failing_at, watched
from tests.faults.conftest import Whole, train
from workbench.errors import DiskFull, TrainingError, WorkbenchError
from workbench.runs import child, full_disk
from workbench.runs.record import ended_by_mistake
from workbench.runs.service import RunService
from workbench.training import faults
from workbench.training.folder import MANIFEST, damage

TECHNICAL = re.compile(r"Traceback|File \"|Errno|OSError|[A-Za-z]+Error\b")
EVERY = 23


def technical(text: str, root: Path) -> bool:
    """Whether a sentence shows what only the log may: a traceback, a class name, a path of the server."""
    return bool(TECHNICAL.search(text)) or str(root) in text


def test_files_are_flushed_before_they_are_renamed_and_folders_after(whole: Whole, tmp_path: Path) -> None:
    service = RunService(tmp_path / "root")
    with watched(service.root) as calls:
        assert service.wait(service.submit(whole.recipe), 60).status == "finished"
    service.close()
    renames = [(place, path) for place, (event, path) in enumerate(calls) if event == "os.rename"]
    names = {Path(path).name for _, path in renames}
    assert {"step-2", "step-8", "final", "best", "result.json", "recipe.yaml", "state.json", "events.jsonl"} <= names
    for place, path in renames:
        parent = str(Path(path).parent)
        if re.search(r"/\.(old|staging|deleted)", "/" + path):
            continue
        assert ("fsync", parent) in calls[place:], f"the folder of {path} was not flushed after the rename"
        staged = [e for e in calls[:place] if e[0] == "fsync" and Path(e[1]).name.startswith((".", MANIFEST)) or "/.staging" in e[1]]
        assert staged, f"nothing was flushed before {path} was renamed"


def rested(service: RunService, run_id: str) -> str:
    """The run's status once nothing works on it: it has ended, or is paused."""
    deadline = time.monotonic() + 60
    while (status := service.wait(run_id, 0.1).status) in ("queued", "running", "stopping"):
        assert time.monotonic() < deadline
    return status


def every_failure(whole: Whole, folder: Path, code: int, every: int) -> dict[str, int]:
    """Lets the n-th call fail, n = 1, 1 + every ... until a run gets through without one, and each time goes on with the run after."""
    figures = {"failures": 0, "ended_failed": 0, "paused": 0, "refused": 0, "technical": 0, "lost": 0}
    number = 1
    while True:
        root = folder / f"{code}-{number}"
        service = RunService(root)
        run_id, reached = None, False
        with watched(service.root, failing_at(number, code)) as calls:
            try:
                run_id = service.submit(whole.recipe, key="the run")
                rested(service, run_id)
            except WorkbenchError as error:
                figures["refused"] += 1
                figures["technical"] += technical(f"{error.message} {error.fix}", root)
            reached = len(calls) >= number
        if not reached:
            service.close()
            return figures
        figures["failures"] += 1
        if run_id is not None:
            error = service.read(run_id).error or {}
            figures["ended_failed"] += service.read(run_id).status == "failed"
            figures["paused"] += service.read(run_id).status == "paused"
            figures["technical"] += technical(json.dumps(error), root)
        again = service.submit(whole.recipe, key="the run")
        service.resume(again)
        summary = service.wait(again, 60)
        figures["lost"] += summary.status != "finished" or not whole.equals(service.store.folder(again)) or len(service.runs()) > 1
        service.close()
        shutil.rmtree(root)
        number += every


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_any_call_may_fail_and_nothing_is_lost(whole: Whole, tmp_path: Path, code: int) -> None:
    figures = every_failure(whole, tmp_path, code, EVERY if code == errno.ENOSPC else 2 * EVERY)
    assert figures["failures"] >= 5 and figures["paused" if code == errno.ENOSPC else "ended_failed"] > 0
    assert figures["technical"] == 0 and figures["lost"] == 0


def full_inside_a_checkpoint(place: int, call: tuple[str, str]) -> None:
    if "/checkpoints" in call[1] and call[0] in ("fsync", "write"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_up_pauses_the_run_which_goes_on_as_soon_as_there_is_room(whole: Whole, tmp_path: Path, monkeypatch) -> None:
    free = [10**9]
    monkeypatch.setattr(full_disk.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**12, 0, free[0]))
    service = RunService(tmp_path / "root")
    with watched(service.root, full_inside_a_checkpoint):
        run_id = service.submit(whole.recipe)
        assert rested(service, run_id) == "paused"
    error = service.read(run_id).error
    assert "No space left" in error["message"] and "Free disk space" in error["fix"] and not technical(json.dumps(error), tmp_path)
    assert not list(service.store.folder(run_id).glob("checkpoints/.*")), "nothing half written is left"
    with pytest.raises(WorkbenchError, match="is running"):
        service.delete(run_id)
    free[0] += full_disk.MORE_ROOM_BYTES
    assert service.wait(run_id, 60).status == "finished" and whole.equals(service.store.folder(run_id))
    assert service.read(run_id).error is None
    service.close()


@pytest.mark.parametrize(("end", "status"), [("resume", "finished"), ("stop", "stopped"), ("close", "interrupted")])
def test_a_run_that_waits_for_room_is_resumed_stopped_and_left_as_any_paused_one(
    whole: Whole, tmp_path: Path, end: str, status: str
) -> None:
    service = RunService(tmp_path / "root")
    with watched(service.root, full_inside_a_checkpoint):
        run_id = service.submit(whole.recipe)
        assert rested(service, run_id) == "paused"
    getattr(service, end)(*[run_id] if end != "close" else [])
    if end != "close":
        assert service.wait(run_id, 60).status == status
        service.close()
    service = RunService(tmp_path / "root")
    assert service.read(run_id).status == status
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished" and whole.equals(service.store.folder(run_id))
    service.close()


def test_a_run_of_the_command_line_has_failed_where_the_disk_is_full(whole: Whole, tmp_path: Path) -> None:
    service = RunService(tmp_path / "root", adopt_queue=False)
    with watched(service.root, full_inside_a_checkpoint):
        assert service.wait(service.submit(whole.recipe), 60).status == "failed"
    service.close()


def test_a_run_in_a_process_of_its_own_says_that_the_disk_is_full(whole: Whole, monkeypatch) -> None:
    def full(*arguments: object, **named: object) -> None:
        with faults.plain_disk_errors():
            refuse(errno.EDQUOT)

    monkeypatch.setattr("workbench.runs.jobs.run_job", full)
    monkeypatch.setattr(child, "_obey", lambda commands, control: None)
    kind, said = child._work(whole.folder, lambda *line: None)
    error = child.ENDINGS[kind](said["message"], fix=said["fix"])
    assert isinstance(error, DiskFull) and ended_by_mistake(error)["status"] == "paused"


def test_a_run_that_goes_on_without_room_waits_for_it_and_a_new_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="are free"):
        faults.refuse_full_disk(tmp_path, 1 << 60, goes_on=True)
    with pytest.raises(TrainingError, match="are free") as refused:
        faults.refuse_full_disk(tmp_path, 1 << 60)
    assert not isinstance(refused.value, DiskFull)


def limited(work: Callable[[], None], most_bytes: int) -> None:
    """Runs `work` in a process in which the kernel refuses to let any file grow beyond `most_bytes`."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_a_disk_that_fills_up_inside_a_file_leaves_nothing_torn(whole: Whole, tmp_path: Path) -> None:
    """The kernel itself refuses the bytes, at ten sizes between nothing and the largest file of a checkpoint."""
    largest = max(f.stat().st_size for f in whole.folder.rglob("*") if f.suffix == ".safetensors")
    from workbench.training.checkpoint import CheckpointFolder
    from workbench.training.folder import write_folder

    for share in range(10):
        target = tmp_path / f"folder-{share}"
        write_folder(target, lambda staging: (staging / "kept").write_bytes(b"old"))

        def fill(staging: Path) -> None:
            shutil.copyfile(whole.folder / "final" / "adapter_model.safetensors", staging / "adapter_model.safetensors")
            (staging / "large").write_bytes(b"x" * (largest + 1))

        def work(target: Path = target) -> None:
            write_folder(target, fill)

        limited(work, largest * share // 10)
        assert damage(target) is None and (target / "kept").read_bytes() == b"old"
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert CheckpointFolder(tmp_path).newest() == (None, [])


def test_too_little_room_is_refused_before_the_start_with_both_figures(whole: Whole, tmp_path: Path, monkeypatch) -> None:
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(faults.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(TrainingError, match="MB on the disk .* MB are free"):
        train(whole.recipe, tmp_path / "run")


def test_the_room_asked_for_is_that_of_a_checkpoint(tmp_path: Path) -> None:
    """Row 8: within 10 % of what a checkpoint of real size takes; a tiny adapter is mostly file headers."""
    from tests.training.small_run import make_recipe

    recipe = make_recipe(tmp_path, {"method": {"name": "full"}, "training.epochs": 0.5, "training.checkpoint_every": 1})
    sizes: list[int] = []
    asked: list[int] = []
    real = faults.refuse_full_disk

    def note(event: dict) -> None:
        if event["kind"] == "checkpoint" and not sizes:
            folder = next((tmp_path / "run" / "checkpoints").glob("step-*"))
            sizes.append(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()))

    def note_room(folder: Path, needed: int, **more: bool) -> None:
        asked.append(needed)
        real(folder, needed, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.training.run_files.refuse_full_disk", note_room)
        train(recipe, tmp_path / "run", note)
    assert asked[0] / 2 == pytest.approx(sizes[0], rel=0.1)


def test_a_folder_that_may_not_be_written_is_named_by_its_role(tmp_path: Path) -> None:
    read_only = watched(tmp_path / "root", lambda place, call: refuse(errno.EROFS) if call[0] in ("os.mkdir", "open") else None)
    with read_only, pytest.raises(WorkbenchError) as caught:
        RunService(tmp_path / "root")
    assert "folder for runs" in caught.value.message and "--runs" in caught.value.fix and str(tmp_path) not in caught.value.message


def refuse(code: int) -> None:
    raise OSError(code, os.strerror(code))


def test_a_run_folder_that_turns_read_only_fails_the_run_and_not_the_page(whole: Whole, tmp_path: Path) -> None:
    service = RunService(tmp_path / "root")

    def read_only(place: int, call: tuple[str, str]) -> None:
        if "/checkpoints" in call[1] and call[0] != "open":
            refuse(errno.EROFS)

    with watched(service.root, read_only):
        run_id = service.submit(whole.recipe)
        assert service.wait(run_id, 60).status == "failed"
    error = service.read(run_id).error
    assert "Read-only" in error["message"] and not technical(json.dumps(error), tmp_path)
    service.resume(run_id)
    assert service.wait(run_id, 60).status == "finished" and whole.equals(service.store.folder(run_id))
    service.close()
