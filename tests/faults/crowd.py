"""Many people on one server while a run trains: nothing lost, nothing seen across users, answers in time (reliability row 61).

    python -m tests.faults --only crowd                 50 people, 20 actions each
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from tests.tiny_runs import make_recipe
from tests.ui.served import Endpoint, Program, Served
from workbench.access import Places, Principal, Role, acting_as
from workbench.recipe import Recipe
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


class Somebody:
    """One person: names their recipe over and over, starts it, and looks at what is there."""

    def __init__(self, url: str, number: int, recipe: Recipe) -> None:
        self.name, self.program, self.recipe = f"person-{number:02d}", Program(url), recipe
        self.lost: list[str] = []
        self.seconds: list[float] = []
        self.seen = ""

    def work(self, actions: int, endpoints: dict[str, Endpoint]) -> None:
        self.program.login(name=self.name, password=self.name)
        self.act(endpoints["recipe_apply"], [None, self.recipe.replace({"name": f"secret-of-{self.name}"}).to_yaml()])
        for number in range(actions - 3):
            if number % 3 == 2:
                self.act(endpoints["train_poll"], None)
            else:
                # What an acknowledged edit set has to stand in the recipe that comes back with it.
                told = self.act(endpoints["recipe_name"], [None, f"secret-of-{self.name}-{number}"])
                if f"secret-of-{self.name}-{number}" not in told:
                    self.lost.append(f"edit {number}")
        self.act(endpoints["train_start"], None)
        self.act(endpoints["runs_view"], ["runs", *endpoints["runs_view"].values[1:]])

    def act(self, endpoint: Endpoint, data: list[Any] | None) -> str:
        answer = self.program.call(endpoint, data)
        self.seconds.append(answer.seconds)
        self.seen += answer.text
        if not answer.ok:
            self.lost.append(f"{endpoint.name}: {answer.status} {answer.text[:200]}")
        return answer.text


def crowd(folder: Path, clients: int, actions: int) -> dict[str, Any]:
    """Lets `clients` people work at once on one server with a run that trains, and counts.

    Returns:
        Actions, those that were lost, names of others that anybody saw, runs that are there, seconds of answers and the share of answers
        within `MOST_SECONDS`; and what the machine was busy with, since people and server share one process.
    """
    service, recipe = RunService(folder / "root"), make_recipe(folder)
    users, began = Everybody(), time.process_time()
    users.places = places = Places(data=(folder.resolve(),), models=((folder / "model").resolve(),), hub=False)
    training = service.submit(recipe.replace({"training.epochs": 2000, "name": "the run"}))
    policy = Policy(users=users, places=places, limits=Limits(address_posts_per_second=5_000, address_posts_at_once=50_000))
    with Served(service, policy) as served:
        people = [Somebody(served.url, number, recipe) for number in range(clients)]
        first = Program(served.url).login(name="first", password="first")
        endpoints = {endpoint.name: endpoint for endpoint in first.endpoints()}
        first.call(endpoints["recipe_name"])  # what the first call of all imports is nobody's wait
        threads = [threading.Thread(target=person.work, args=(actions, endpoints)) for person in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
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
        "load": round(os.getloadavg()[0], 1), "processor_seconds": round(time.process_time() - began),
        "median_seconds": round(waits[len(waits) // 2], 2),
        "p95_seconds": round(waits[int(len(waits) * 0.95)], 2),
    }  # fmt: skip
