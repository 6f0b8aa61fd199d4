"""Around libraries that read a stranger's file, or reach other machines: whatever they raise becomes one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workbench.errors import WorkbenchError


@contextmanager
def foreign(refusal: Callable[[Exception], WorkbenchError]) -> Iterator[None]:
    """Raises `refusal(error)` for anything that the block raises and that is no sentence yet.

    For damaged files tokenizers raises bare Exceptions, and torch.load nearly anything, so no list of kinds would be complete.
    """
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        raise refusal(error) from error
