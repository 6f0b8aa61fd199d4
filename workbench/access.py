"""Who asks, and what they may do. Checked where the work is done, so a handler that the page hides is refused as well.

    owner     everything; also whoever uses the command line, or the page of a server without log-in
    user      everything with their own runs, and nothing with anybody else's
    visitor   of a demo server: presets and their data, small uploads, embedded models, one unfinished run of their own, no deleting

The server runs each handler within `acting_as`; a thread that serves nobody in particular (the command line, the trainer, which was
handed a recipe that had been checked) acts as the owner and is not confined.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from workbench.errors import AccessError


class Role(StrEnum):
    """How much somebody may do, from everything to least; what each means stands in the module docstring."""

    OWNER = "owner"
    USER = "user"
    VISITOR = "visitor"


@dataclass(frozen=True)
class Places:
    """Where a client of a server may read from.

    Args:
        data: folders that data files may lie in.
        models: folders that local models may lie in.
        hub: whether models may be fetched from the hub.
    """

    data: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    hub: bool = True


@dataclass(frozen=True)
class Principal:
    """One who asks. `name` tells users and visitors apart (the server makes up a visitor's); without `places` nothing is out of bounds."""

    name: str
    role: Role
    places: Places | None = None


OWNER = Principal("owner", Role.OWNER)
VISITOR_NAMES = "visitor-"
"""What the names begin with that the server makes up for visitors; then follows what stands for their address, and for one who keeps the
cookie a part of their own."""
_acting: ContextVar[Principal] = ContextVar("acting", default=OWNER)


def address_names(visitor: str) -> str:
    """What the names of all visitors from the address of one begin with."""
    return VISITOR_NAMES + visitor.removeprefix(VISITOR_NAMES).partition("-")[0]


def acting() -> Principal:
    """Who is being served in this thread or task."""
    return _acting.get()


@contextmanager
def acting_as(principal: Principal) -> Iterator[None]:
    """Serves `principal` within the block."""
    token = _acting.set(principal)
    try:
        yield
    finally:
        _acting.reset(token)


def is_taken(name: str, role: Role) -> bool:
    """Whether a name stands for somebody else already, whose things a user of that name would own."""
    return name.startswith(VISITOR_NAMES) or (name == OWNER.name and role != Role.OWNER)


def may_see(owner: str) -> bool:
    """Whether a thing that belongs to `owner` exists for the one who asks."""
    principal = acting()
    return principal.role == Role.OWNER or principal.name == owner


def check_data_file(path: str | Path) -> None:
    """Raises AccessError when the one who asks may not read this data file; whether it exists makes no difference."""
    places = acting().places
    if places is not None and not _inside(path, places.data):
        raise AccessError("This server reads data from its presets and from uploads only.", fix="Upload the file on the Data tab.")


def check_model_path(path: str) -> None:
    """Raises AccessError when the one who asks may not load from this local folder."""
    places = acting().places
    if places is None or _inside(path, places.models):
        return
    if places.models:
        raise AccessError("This server loads local models only from the folders its owner chose.", fix="Name a folder below one of them.")
    raise AccessError("This server loads no models from its own disk.", fix="Choose an embedded model, or ask the owner for --model-root.")


def check_hub() -> None:
    """Raises AccessError when the one who asks may not fetch models from the hub."""
    places = acting().places
    if places is not None and not places.hub:
        raise AccessError("Visitors of this server cannot load models from the hub.", fix="Choose an embedded model.")


def refuse_visitors(what: str) -> None:
    """Raises AccessError when a visitor asks; `what` completes "Visitors of this server cannot ..."."""
    if acting().role == Role.VISITOR:
        raise AccessError(f"Visitors of this server cannot {what}.", fix="Install the workbench on your own machine to do it there.")


def _inside(path: str | Path, folders: tuple[Path, ...]) -> bool:
    try:
        place = Path(path).expanduser().resolve()
    except (OSError, ValueError, RuntimeError):
        return False
    # Never by comparing strings: a sibling folder such as runs_evil begins with runs.
    return any(place.is_relative_to(folder) for folder in folders)
