"""Things that are slow to make, kept ready: each is made once, and nobody waits for another one."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Place(Generic[T]):
    """One thing, made under a lock of its own by the first who asks for it."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    made: list[T] = field(default_factory=list)


class Ready(Generic[T]):
    """The newest `size` things asked for, by name. Safe to use from several threads.

    Whoever asked before a thing was forgotten still gets it; it is made anew for those who ask afterwards.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._guard = threading.Lock()
        self._places: OrderedDict[object, _Place[T]] = OrderedDict()

    def get(self, name: object, make: Callable[[], T]) -> T:
        """What `make` gave for this name, now or before; what it raises is raised, and it is asked again the next time."""
        with self._guard:
            place = self._places.setdefault(name, _Place())
            self._places.move_to_end(name)
            while len(self._places) > self._size:  # room first: the oldest and the new one need not fit side by side
                self._places.popitem(last=False)
        with place.lock:
            if not place.made:
                with contextlib.ExitStack() as undo:
                    undo.callback(self._give_up, name, place)
                    place.made.append(make())
                    undo.pop_all()
            return place.made[0]

    def _give_up(self, name: object, place: _Place[T]) -> None:
        """A place whose thing could not be made must not put another one out."""
        with self._guard:
            if self._places.get(name) is place:
                del self._places[name]

    def forget(self, which: Callable[[Any], bool]) -> None:
        """Lets go of those whose name this holds of, at once, even of what is being made."""
        with self._guard:
            for name in [name for name in self._places if which(name)]:
                del self._places[name]

    def clear(self) -> bool:
        """Lets go of everything; whether there was anything."""
        with self._guard:
            held = bool(self._places)
            self._places.clear()
        return held
