"""Many people at once, in a process of their own: their own work is not the server's."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.ui.program import Endpoint, Program
from workbench.recipe import Recipe


@dataclass
class Person:
    """Somebody who names their recipe over and over, starts it, and looks at what is there; and what came of it.

    Attributes:
        lost: actions whose answer failed, or did not hold what they set; `seconds` is how long each answer took.
        seen: all that the server said.
    """

    number: int
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    seen: str = ""

    @property
    def name(self) -> str:
        return f"person-{self.number:02d}"

    def work(self, url: str, recipe: Recipe, actions: int, endpoints: dict[str, Endpoint]) -> None:
        program = Program(url).login(name=self.name, password=self.name)
        self.act(program, endpoints["recipe_apply"], [None, recipe.replace({"name": f"secret-of-{self.name}"}).to_yaml()])
        for number in range(actions - 3):
            if number % 3 == 2:
                self.act(program, endpoints["train_poll"], None)
            else:
                # What an acknowledged edit set has to stand in the recipe that comes back with it.
                told = self.act(program, endpoints["recipe_name"], [None, f"secret-of-{self.name}-{number}"])
                if f"secret-of-{self.name}-{number}" not in told:
                    self.lost.append(f"edit {number}")
        self.act(program, endpoints["train_start"], None)
        self.act(program, endpoints["runs_view"], ["runs", *endpoints["runs_view"].values[1:]])

    def act(self, program: Program, endpoint: Endpoint, data: list[Any] | None) -> str:
        answer = program.call(endpoint, data)
        self.seconds.append(answer.seconds)
        self.seen += answer.text
        if not answer.ok:
            self.lost.append(f"{endpoint.name}: {answer.status} {answer.text[:200]}")
        return answer.text


def work(url: str, clients: int, actions: int, recipe: Recipe) -> tuple[list[Person], float]:
    """Lets so many people work at once; gives them, and the processor seconds that they took themselves."""
    people = [Person(number) for number in range(clients)]
    first = Program(url).login(name="first", password="first")
    endpoints = {endpoint.name: endpoint for endpoint in first.endpoints()}
    first.call(endpoints["recipe_name"])  # what the first call of all imports is nobody's wait
    began = time.process_time()
    threads = [threading.Thread(target=person.work, args=(url, recipe, actions, endpoints)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return people, time.process_time() - began
