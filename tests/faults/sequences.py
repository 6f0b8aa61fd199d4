"""Any sequence of what people do to runs, against a plain account of what must be true afterwards (reliability row 60).

The service, its queue, the worker thread, the store, the event log, uploads and exports are the real ones. The work itself is a job
of cells that wait at a gate, so that an action costs milliseconds and the machine says when a run gets on. A kill is a worker that
never comes back, half a line at the end of its log, and a new service over the same folder; `kills.py` does it with a real SIGKILL.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.tiny_runs import STATUSES
from workbench.errors import RunError
from workbench.recipe import Recipe, recipe_from
from workbench.runs import export, jobs
from workbench.runs.export import export_run
from workbench.runs.jobs import JobOptions, register_job
from workbench.runs.record import ACTIVE
from workbench.runs.service import RunService
from workbench.runs.store import RunStore
from workbench.training import control
from workbench.training.folder import write_folder
from workbench.ui.session import Watch
from workbench.ui.tabs.train import draw, view
from workbench.ui.uploads import keep_upload

LONGEST_SECONDS = 60.0
KIND = "gated"


class Killed(BaseException):
    """Ends a worker as a power cut would: nothing of the workbench catches it, and nothing is written after it."""


class Gate:
    """Lets the cells of one service's runs through, a few at a time. `at_gate` is how many workers wait for that."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.allowed, self.at_gate, self.paused, self.dead = 0, 0, 0, False

    def allow(self, cells: int) -> None:
        with self.changed:
            self.allowed = cells
            self.changed.notify_all()

    def kill(self) -> None:
        with self.changed:
            self.dead = True
            self.changed.notify_all()

    def pass_through(self) -> None:
        with self.changed:
            self.at_gate += 1
            while not self.dead and self.allowed == 0:
                self.changed.wait(5)
            self.at_gate -= 1
            if self.dead:
                raise Killed
            self.allowed -= 1


class Options(JobOptions):
    cells: int = 2


@contextmanager
def gated_work(gate: Callable[[], Gate]) -> Iterator[None]:
    """Registers the job, and lets a paused worker be killed as well; the export's proof, which starts a process, is left out."""

    class Mortal(control.Control):
        def wait_while_paused(self, alive: Callable[[], None] | None = None) -> None:
            mine = gate()

            def look() -> None:
                if mine.dead:
                    raise Killed

            mine.paused += 1
            try:
                with self._changed:
                    while self.pause_requested:
                        self._changed.wait(0.01)
                        look()
            finally:
                mine.paused -= 1

    @register_job(KIND, Options)
    def work(job: Any) -> dict[str, Any]:
        job.plan(job.options.cells)
        mine = gate()

        def make(number: int) -> dict[str, Any]:
            mine.pass_through()
            return {"figure": cell_figure(job.recipe, number)}

        found = [job.cell(f"cell-{n}", lambda folder, n=n: make(n))["figure"] for n in range(job.options.cells)]
        write_folder(job.folder / "final", lambda staging: (staging / "weights").write_bytes(weights_of(job.recipe)) and None)
        return {"metrics": {"accuracy": sum(found) / len(found)}, "answer": found}

    def answers(folder: Path, proof: Any) -> list[dict[str, Any]]:
        return [{"probabilities": dict.fromkeys(proof.labels, 0.5)} for _ in proof.rows]

    with mock.patch.object(control, "Control", Mortal), mock.patch.object(export, "_answers", answers):
        try:
            yield
        finally:
            jobs._KINDS.pop(KIND)


def cell_figure(recipe: Recipe, number: int) -> float:
    """What a cell of this recipe comes to, whenever and however often it is made."""
    return int.from_bytes(hashlib.sha256(f"{recipe.training.seed}/{recipe.data.train}/{number}".encode()).digest()[:2], "big") / 65536


def weights_of(recipe: Recipe) -> bytes:
    return hashlib.sha256(f"{recipe.training.seed}/{recipe.data.train}/{recipe.job}".encode()).digest() * 8


@dataclass
class Known:
    """What the machine knows of a run that was acknowledged."""

    recipe: Recipe
    may_be: set[str]
    finished: dict[str, Any] | None = None
    exported: list[Path] = field(default_factory=list)


def try_sequences(count: int, actions: int, *, fresh: bool = False) -> dict[str, Any]:
    """Tries `count` sequences of `actions` actions at most, the same each time unless `fresh`, and raises what goes wrong.

    Returns:
        How many sequences and actions there were, and how often each action.
    """
    Sequences.tried.clear()
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    options = settings(
        max_examples=count, stateful_step_count=actions, deadline=None, database=None, derandomize=not fresh, suppress_health_check=checks
    )
    loud, threading.excepthook = threading.excepthook, _quiet_deaths
    try:
        run_state_machine_as_test(Sequences, settings=options)
    finally:
        threading.excepthook = loud
    by_action = dict(sorted(Sequences.tried.items()))
    sequences = by_action.pop("sequences")
    return {"sequences": sequences, "actions": sum(by_action.values()), "by_action": by_action}


def _quiet_deaths(what: Any) -> None:
    """A worker that is killed ends with an exception that nobody catches, which is the point."""
    if what.exc_type is not Killed:
        threading.__excepthook__(what)


class Sequences(RuleBasedStateMachine):
    """Hypothesis runs one instance per sequence; every rule leaves the worker at rest: at its gate, paused, or without work."""

    tried: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.tried["sequences"] += 1
        self.place = Path(tempfile.mkdtemp(prefix="sequence-"))
        self.root, self.gate, self.runs, self.deleted = self.place / "root", Gate(), dict[str, Known](), set[str]()
        self.keys: dict[str, str] = {}
        self.work = gated_work(lambda: self.gate)
        self.work.__enter__()
        (self.place / "model").mkdir()
        (self.place / "model" / "config.json").write_text("{}")
        self.service = RunService(self.root)
        self.draft = self.uploaded(0)

    def uploaded(self, number: int) -> Recipe:
        rows = "".join(f"text {number} {row},{'ab'[row % 2]}\n" for row in range(8))
        file = self.place / f"mine-{number}.csv"
        file.write_text(f"text,label\n{rows}", encoding="utf-8")
        kept = keep_upload(str(file), self.root)
        assert not file.exists() and Path(kept).is_relative_to(self.root / "uploads")
        return recipe_from({
            "name": f"run over {number}", "model": {"path": str(self.place / "model")}, "method": {"name": "head"},
            "data": {"train": kept, "split": {"validation": 2}},
            "prompt": {"verbalizer": {"kind": "manual", "words": {"a": ["good"], "b": ["bad"]}}}, "job": {"kind": KIND, "cells": 2},
        }, source="test")  # fmt: skip

    # -- what people do

    @rule(number=st.integers(0, 2))
    def upload(self, number: int) -> None:
        self.tried["upload"] += 1
        self.draft = self.uploaded(number)

    @rule(seed=st.integers(0, 3), cells=st.integers(1, 3))
    def edit(self, seed: int, cells: int) -> None:
        self.tried["edit"] += 1
        self.draft = self.draft.replace({"training.seed": seed, "job.cells": cells})

    @precondition(lambda self: len(self.runs) < 8)
    @rule(key=st.sampled_from([None, "a", "b"]))
    def start(self, key: str | None) -> None:
        self.tried["start"] += 1
        run = self.service.submit(self.draft, key=key)
        known = self.keys.get(key or "")
        if key and known in self.runs:
            assert run == known, "a key gave a second run"
        else:
            assert run not in self.runs and run not in self.deleted
            self.runs[run] = Known(self.draft, {"queued", "running"})
            self.keys[key or ""] = run

    @rule(cells=st.integers(1, 4))
    def get_on(self, cells: int) -> None:
        self.tried["get_on"] += 1
        self.gate.allow(cells)
        self.settle()
        self.gate.allow(0)
        for known in self.runs.values():
            if known.may_be & {"queued", "running"}:
                known.may_be |= {"running", "finished"}
            elif known.may_be & {"paused", "stopping"}:  # its last cell may be through before it looks
                known.may_be |= {"finished"}

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        self.tried["pause"] += 1
        run = self.some(data)
        before = self.status(run)
        self.service.pause(run)
        self.changed(run, "paused" if before == "running" else before, before)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        self.tried["resume"] += 1
        run = self.some(data)
        before = self.status(run)
        self.service.resume(run)
        after = {"paused": "running", "finished": "finished", "stopping": "stopping", "running": "running"}.get(before, "queued")
        self.changed(run, after, before)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), times=st.integers(1, 3))
    def stop(self, data: st.DataObject, times: int) -> None:
        self.tried["stop"] += 1
        run = self.some(data)
        before = self.status(run)
        for _ in range(times):
            self.service.stop(run)
        self.changed(run, {"queued": "stopped", "running": "stopping", "paused": "stopping"}.get(before, before), before)

    @rule()
    def reload(self) -> None:
        """A fresh page shows the newest run, or the one at work, as the service has it; one that has drawn it is told nothing new."""
        self.tried["reload"] += 1
        shown = view(self.service, Watch())
        if not self.runs:
            assert shown is None
            return
        assert shown is not None and shown.id in self.runs and shown.status == self.status(shown.id)
        active = [run for run in self.runs if self.status(run) in ("running", "paused", "stopping")]
        assert not active or shown.id == active[0]
        assert view(self.service, shown.watch) is None
        assert draw(self.service, shown.id).step == shown.step

    @rule(torn=st.booleans())
    def kill(self, torn: bool) -> None:
        self.tried["kill"] += 1
        active = [run for run in self.runs if self.status(run) in ACTIVE]
        self.gate.kill()
        self.end_worker()
        self.service.store.close()
        for run in active:
            if torn:
                with open(self.root / "runs" / run / "events.jsonl", "ab") as log:
                    log.write(b'{"seq": 99, "kind": "tra')
            self.runs[run].may_be = {"interrupted"}
        self.gate = Gate()
        self.service = RunService(self.root)
        assert all(self.status(run) == "interrupted" for run in active)

    @rule()
    def close_and_open(self) -> None:
        """Ctrl-C and a new start."""
        self.tried["close_and_open"] += 1
        active = [run for run in self.runs if self.status(run) in ACTIVE]
        for run in active:
            self.runs[run].may_be = {"interrupted", "finished"}
        closing = threading.Thread(target=self.service.close)
        closing.start()
        while closing.is_alive():
            self.gate.allow(1)
            closing.join(0.002)
        self.gate = Gate()
        self.service = RunService(self.root)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.tried["delete"] += 1
        run = self.some(data)
        if self.status(run) in ACTIVE:
            try:
                self.service.delete(run)
            except RunError:
                return
            raise AssertionError("a run at work was deleted")
        self.service.delete(run)
        del self.runs[run]
        self.deleted.add(run)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        self.tried["export"] += 1
        run = self.some(data)
        target = self.place / "exports" / f"{run}-{len(self.runs[run].exported)}"
        answering = SimpleNamespace(labels=("a", "b"), probabilities=lambda rows: [[0.5, 0.5]] * len(rows))
        try:
            with mock.patch.object(self.service, "predictor", lambda run: answering), mock.patch.object(export, "PACKAGE_PARTS", ()):
                export_run(self.service, run, target)
        except RunError:
            assert not (self.root / "runs" / run / "final").exists() and not target.exists()
            return
        final = self.root / "runs" / run / "final"
        assert {file.name: file.read_bytes() for file in (target / "tuned").iterdir()} == {
            file.name: file.read_bytes() for file in final.iterdir()
        }
        assert (target / "tuned" / "weights").read_bytes() == weights_of(self.runs[run].recipe)
        assert json.loads((target / "export.json").read_text(encoding="utf-8"))["run"] == run
        self.runs[run].exported.append(target)

    # -- what is true after each

    @invariant()
    def nothing_is_lost_and_nothing_comes_back(self) -> None:
        self.settle()
        assert {summary.id for summary in self.service.runs()} == set(self.runs)
        for run in self.deleted:
            try:
                self.service.read(run)
            except RunError:
                continue
            raise AssertionError(f"{run} was deleted and is read")

    @invariant()
    def every_state_is_one_that_its_actions_lead_to(self) -> None:
        self.settle()
        active = [run for run in self.runs if self.status(run) in ("running", "paused", "stopping")]
        assert len(active) <= 1
        for run, known in self.runs.items():
            status = self.status(run)
            assert status in STATUSES and status in known.may_be, (run, status, known.may_be)
            if status == "running":
                known.may_be |= {"finished"}

    @invariant()
    def files_and_index_agree_and_tell_what_was_asked(self) -> None:
        self.settle()
        base = self.root / "runs"
        assert {place.name for place in base.iterdir()} == set(self.runs)
        reader = RunStore(self.root, writable=False)
        read, known_here = {record.id: record.status for record in reader.records()}, {run: self.status(run) for run in self.runs}
        reader.close()
        assert read == known_here, (read, known_here)
        for run, known in self.runs.items():
            assert self.service.read(run, 1 << 60).recipe == known.recipe
            assert json.loads((base / run / "state.json").read_text(encoding="utf-8"))["status"] == self.status(run)
            assert not [file for file in (base / run).rglob("*") if file.name.startswith((".staging-", ".old-", ".state", ".result"))]
            if self.status(run) == "finished":
                self.check_finished(run, known)

    def check_finished(self, run: str, known: Known) -> None:
        """Its figures are those of its recipe, and no later action changes them."""
        result = self.service.result(run)
        assert result["answer"] == [cell_figure(known.recipe, n) for n in range(known.recipe.job["cells"])]
        assert known.finished in (None, result)
        known.finished, known.may_be = result, {"finished"}

    # -- inside

    def some(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(list(self.runs)))

    def status(self, run: str) -> str:
        return self.service.store.record(run).status

    def changed(self, run: str, expected: str, before: str) -> None:
        """After an action the run is in the state that the picture of the service says, or, when it was at work, has gone on from there."""
        known = self.runs[run]
        known.may_be = {expected}
        if expected == "queued":
            known.may_be |= {"running"}
        if expected == "stopping":
            known.may_be |= {"stopped", "finished"}
        self.settle()
        assert self.status(run) in known.may_be, (before, expected, self.status(run))

    def settle(self) -> None:
        """Waits until the worker does nothing more by itself."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not self.at_rest():
            assert time.monotonic() < deadline, "the worker does not come to rest"
            time.sleep(0.0005)

    def at_rest(self) -> bool:
        with self.service._changed, self.gate.changed:
            if self.service._active is None:
                return not self.service.store.next_queued()
            run, controls = self.service._active
            status = self.service.store.record(run).status
            waits = self.gate.at_gate == 1 and self.gate.allowed == 0
            return (waits and status != "queued") or (self.gate.paused == 1 and controls.pause_requested)

    def end_worker(self) -> None:
        worker = self.service._worker
        with self.service._changed:
            self.service._closing = True
            self.service._changed.notify_all()
        if worker is not None:
            worker.join(LONGEST_SECONDS)
            assert not worker.is_alive()

    def teardown(self) -> None:
        self.gate.kill()
        self.end_worker()
        self.service.store.close()
        self.work.__exit__(None, None, None)
        shutil.rmtree(self.place)
