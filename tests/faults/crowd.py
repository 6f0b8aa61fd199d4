"""Many people on one server while a run trains: nothing lost, nothing seen across users, answers in time (reliability row 61).

    python -m tests.faults --only crowd                 50 people, 20 actions each
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.faults.people import work
from tests.tiny_runs import make_recipe
from tests.ui.served import Served
from workbench.access import Places, Principal, Role, acting_as
from workbench.runs.service import RunService
from workbench.ui.guard.guard import Policy
from workbench.ui.guard.limits import Limits
from workbench.ui.guard.users import Users

MOST_SECONDS = 2.0


class Everybody(Users):
    """Users whose password is their name: argon2 takes a tenth of a second for each on purpose, which is measured elsewhere."""

    def __init__(self) -> None:
        super().__init__({})

    def check(self, name: str, password: str) -> Principal | None:
        return Principal(name, Role.USER, self.places) if name == password else None

    places: Places | None = None


def crowd(folder: Path, clients: int, actions: int) -> dict[str, Any]:
    """Lets `clients` people work at once on one server with a run that trains, and counts.

    Returns:
        Actions, those that were lost, names of others that anybody saw, runs that are there, seconds of answers and the share of answers
        within `MOST_SECONDS`; the load of the machine, and the processor seconds of server and training, and of the people.
    """
    service, recipe = RunService(folder / "root"), make_recipe(folder)
    users, began = Everybody(), time.process_time()
    users.places = places = Places(data=(folder.resolve(),), models=((folder / "model").resolve(),), hub=False)
    training = service.submit(recipe.replace({"training.epochs": 2000, "name": "the run"}))
    policy = Policy(users=users, places=places, limits=Limits(address_posts_per_second=5_000, address_posts_at_once=50_000))
    with Served(service, policy) as served:
        with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:
            people, theirs = elsewhere.submit(work, served.url, clients, actions, recipe).result()
        still_training = service.read(training).status == "running"
    seen = [(a.name, b.name) for a in people for b in people if a is not b and f"secret-of-{b.name}" in a.seen]
    runs = 0
    for person in people:
        with acting_as(Principal(person.name, Role.USER)):
            own = service.runs()
            runs += len(own) == 1 and own[0].name.startswith(f"secret-of-{person.name}")
    service.stop(training)
    service.close()
    waits = sorted(seconds for person in people for seconds in person.seconds)
    return {
        "clients": clients, "actions": len(waits), "lost": sum(len(person.lost) for person in people),
        "first_lost": [lost for person in people for lost in person.lost][:3], "seen_across_users": len(seen), "runs_there": runs,
        "trained_meanwhile": still_training, "share_in_time": round(sum(wait < MOST_SECONDS for wait in waits) / len(waits), 3),
        "load": round(os.getloadavg()[0], 1), "server_seconds": round(time.process_time() - began), "people_seconds": round(theirs),
        "median_seconds": round(waits[len(waits) // 2], 2),
        "p95_seconds": round(waits[int(len(waits) * 0.95)], 2),
    }  # fmt: skip
