"""Rows 10 to 12: bits that flip, files that are cut, JSON that is no longer what was written."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.conftest import Whole, train
from tests.faults.damage import cut, fall_backs, files_of, flipped, found_cuts, found_flips, mutated
from workbench.errors import RunError, WorkbenchError
from workbench.runs.service import RunService
from workbench.training.control import Control


@pytest.fixture(scope="module")
def stopped(whole: Whole, tmp_path_factory) -> Path:
    """A run folder with two checkpoints, of steps 4 and 6."""
    folder, control = tmp_path_factory.mktemp("stopped") / "run", Control()
    train(whole.recipe, folder, lambda event: control.request_stop() if event.get("step") == 6 else None, control)
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["step-4", "step-6"]
    return folder


def test_every_flipped_bit_is_found(whole: Whole, stopped: Path) -> None:
    assert found_flips(whole.folder / "final", 300) == 300
    assert found_flips(stopped / "checkpoints" / "step-6", 700) == 700


def test_every_cut_is_found(whole: Whole, stopped: Path) -> None:
    for folder in (whole.folder / "final", stopped / "checkpoints" / "step-6"):
        found, cuts = found_cuts(folder, 100)
        assert found == cuts == 100 * len(files_of(folder))


def test_changed_json_falls_back_one_checkpoint_and_says_so(stopped: Path) -> None:
    assert fall_backs(stopped, 200) == {"mutations": 200, "fell_back_and_said_so": 200}


def test_a_run_whose_newest_checkpoint_is_damaged_ends_like_any_other(whole: Whole, stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    next(flipped(folder / "checkpoints" / "step-6", 1))
    said: list[dict] = []
    train(whole.recipe, folder, said.append)
    assert whole.equals(folder) and [e["text"] for e in said if e["kind"] == "note"][0].startswith("The checkpoint of step 6 was skipped")


@pytest.fixture(scope="module")
def finished(whole: Whole, tmp_path_factory):
    """A service with one finished run."""
    service = RunService(tmp_path_factory.mktemp("finished"))
    run_id = service.submit(whole.recipe)
    service.wait(run_id, 60)
    yield service, run_id
    service.close()


def test_damaged_weights_answer_nobody(finished) -> None:
    service, run_id = finished
    final = service.store.folder(run_id) / "final"
    spoilt = [*flipped(final, 40), *cut(final, 5)]
    assert len(spoilt) == 40 + 5 * len(files_of(final))
    for damages in (flipped(final, 40), cut(final, 5)):
        for _ in damages:
            service._answers.forget(run_id)
            with pytest.raises(RunError, match="damaged: .* (missing|unreadable|does not match)"):
                service.predictor(run_id)
    assert service.predictor(run_id).predict([{"text": "w10"}])[0].label in ("positive", "negative")


@pytest.mark.parametrize(
    "name", ["runs/{id}/state.json", "runs/{id}/recipe.yaml", "runs/{id}/events.jsonl", "runs/{id}/result.json", "index.sqlite3"]
)
def test_a_damaged_file_of_the_data_root_takes_nothing_else_along(finished, tmp_path: Path, name: str) -> None:
    """The root opens, lists its runs and reads or refuses in a sentence, whatever bytes stand in one of its files."""
    service, run_id = finished
    chance = random.Random(name)
    for number in range(12):
        root = tmp_path / str(number)
        shutil.copytree(service.root, root, ignore=shutil.ignore_patterns("writer.lock", "*-wal", "*-shm"))
        file = root / name.format(id=run_id)
        if name != "index.sqlite3" and number % 2:
            (root / "index.sqlite3").unlink(missing_ok=True)
        file.write_bytes(mutated(file.read_bytes() if file.exists() else b"x" * 4096, chance))
        other = RunService(root)
        try:
            for summary in other.runs():
                other.read(summary.id)
                other.result(summary.id)
        except WorkbenchError as error:
            assert error.fix and str(root) not in error.message
        finally:
            other.close()


def test_a_lost_index_is_rebuilt_from_the_folders(finished, tmp_path: Path) -> None:
    service, run_id = finished
    shutil.copytree(service.root / "runs", tmp_path / "root" / "runs")
    other = RunService(tmp_path / "root")
    assert other.runs() == service.runs() and other.read(run_id) == service.read(run_id)
    other.close()
