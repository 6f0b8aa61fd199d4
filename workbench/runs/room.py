"""Memory that the page holds only so that it answers sooner: predictors, models, scorers. A run that needs the room gets it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from workbench.errors import OutOfMemory

T = TypeVar("T")
LET_GO = "Memory ran out, so the models that the page kept ready were let go, and the run was taken up again."


class Room:
    """All that can be let go. Owned by a `RunService`; what keeps models ready is given here once.

    Args:
        holders: each lets go of what it keeps and says whether there was anything; what somebody is using stays alive for them.
    """

    def __init__(self, *holders: Callable[[], bool]) -> None:
        self._holders = holders

    def let_go(self) -> bool:
        """Gives back what the page keeps, on a GPU too; whether there was anything."""
        held = [let_go() for let_go in self._holders]
        gc.collect()
        gpu = _gpu()
        if gpu is not None:
            gpu.empty_cache()
        return any(held)

    def given(self, work: Callable[[], T], tell: Callable[[str], None]) -> T:
        """`work`, which trains; where this process uses a GPU with all the room there is, and once again with it where memory runs out.

        Args:
            tell: hears that it is done a second time.

        Raises:
            OutOfMemory: nothing was kept, or it does not fit all the same.
        """
        if _gpu() is not None:
            self.let_go()
        try:
            return work()
        except OutOfMemory:
            if not self.let_go():
                raise
        # Outside of the handler: an error that is being handled keeps every tensor of the frames that it came through.
        self.let_go()
        tell(LET_GO)
        return work()


def _gpu() -> Any:
    """torch.cuda once this process has used it; None before, when there is nothing on it, and without one."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
