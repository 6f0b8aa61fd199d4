"""The queue as those who wait in it see it: who is where, who goes first among one's own, and no recipe twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from workbench.access import acting, may_see
from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.runs.store import RunStore


@dataclass(frozen=True)
class Place:
    """A run that has not ended. `place` is 0 at work, else 1 for the next one, counted over everybody's runs; `owner` names whose it is
    where it is not the asker's own."""

    id: str
    name: str
    kind: str
    status: str
    place: int
    owner: str = ""


class Queue:
    """What is at work and what waits in one data root. Owned by a service.

    Args:
        changed: the service's lock, under which runs begin; told of every change.
        is_active: whether the worker has taken a run, which may not yet be marked as running.
    """

    def __init__(self, store: RunStore, changed: threading.Condition, is_active: Callable[[str], bool]) -> None:
        self._store = store
        self._changed = changed
        self._is_active = is_active

    def runs(self) -> list[Place]:
        """Those that the one who asks may see, what is at work before what waits."""
        found, waiting = [], 0
        for record in self._store.unfinished():
            waiting += record.status == "queued"
            if may_see(record.owner):
                place = waiting if record.status == "queued" else 0
                owner = "" if record.owner == acting().name else record.owner
                found.append(Place(record.id, record.name, record.kind, record.status, place, owner))
        return sorted(found, key=lambda run: run.place)

    def leave(self, run_id: str) -> None:
        """Takes a waiting run out, to be resumed some day.

        Raises:
            RunError: it does not wait any more, and nothing that has begun ends by this; or there is no such run.
        """
        with self._changed:
            self._refuse_unless_waiting(run_id)
            self._store.update(run_id, status="stopped")
            self._changed.notify_all()

    def move_first(self, run_id: str) -> None:
        """Lets a waiting run go before all others that the one who asks may see. They share the places that they have among them, so
        that nobody else waits longer.

        Raises:
            RunError: it does not wait any more, or there is no such run.
        """
        with self._changed:
            self._refuse_unless_waiting(run_id)
            own = [record for record in self._store.unfinished() if record.status == "queued" and may_see(record.owner)]
            order = sorted(own, key=lambda record: record.id != run_id)
            for record, was in zip(order, own, strict=True):
                if record.position != was.position:
                    self._store.update(record.id, position=was.position)
            self._changed.notify_all()

    def refuse_twin(self, recipe: Recipe) -> None:
        """Raises RunError when a run of the one who asks, that waits or is at work, has this very recipe."""
        for run, known in self._store.readable(run for run in self.runs() if not run.owner):
            if known == recipe:
                fix = "Watch that run, stop it, or change the recipe."
                raise RunError(f"This recipe is being trained already, as run {run.id}.", fix=fix)

    def _refuse_unless_waiting(self, run_id: str) -> None:
        self._store.refuse_when_reading()
        if self._store.record(run_id).status != "queued" or self._is_active(run_id):
            raise RunError(f"Run {run_id} does not wait in the queue.", fix="It has begun or ended; look at it on the Train tab.")
