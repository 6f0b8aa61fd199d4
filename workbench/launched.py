"""Commands that several processes work on, started together by torchrun or `accelerate launch`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import wraps
from typing import Any

from workbench.errors import SettingsError
from workbench.settings import launched

Command = Callable[[argparse.Namespace], dict[str, Any]]


def with_others(command: Command) -> Callable[[argparse.Namespace], dict[str, Any] | None]:
    """A command that trains: under a launcher (torchrun, accelerate) the first process does it and the others train along, without an
    answer of their own."""

    @wraps(command)
    def work(arguments: argparse.Namespace) -> dict[str, Any] | None:
        if not launched():  # before anything imports torch
            return command(arguments)
        from workbench.training.processes import follow, joined
        from workbench.training.trainer import train_along

        if getattr(arguments, "isolate", False):
            raise SettingsError("--isolate and several processes cannot be combined.", fix="Leave --isolate out under a launcher.")
        with joined() as together:
            if together.leads:
                return command(arguments)
            return follow(train_along, together)

    return work
