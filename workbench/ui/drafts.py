"""The newest recipe of every page, for those whose session gradio let go: it keeps a bounded number of them and begins a page that comes
back with the values of a fresh one, so that an edit would change, and a start train, the first recipe."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from workbench.ui.session import kept, restored

MOST_DRAFTS = 2_000
"""A few kilobytes each."""
Page = tuple[str, str]
"""Who asks, and which page of theirs: the page's name alone is the client's to choose."""


class FreshDraft(dict[str, Any]):
    """The recipe in a session that nothing has been written into: of a page that is about to be filled, or that was let go."""


class Drafts:
    """Belongs to one page in one language; safe to use from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._kept: OrderedDict[Page, str] = OrderedDict()

    def keep(self, page: Page, answer: Any, place: int | None) -> None:
        """What the page shows from here on, where a handler's answer says so: `place` is the recipe's among its outputs."""
        draft = answer[place] if place is not None and isinstance(answer, (list, tuple)) else None
        if not page[1] or not isinstance(draft, dict) or "__type__" in draft:  # no page, or gradio's way to leave it as it is
            return
        text = kept(draft)
        with self._guard:
            self._kept[page] = text
            self._kept.move_to_end(page)
            while len(self._kept) > MOST_DRAFTS:
                self._kept.popitem(last=False)

    def known(self, page: Page, value: Any) -> Any:
        """An input of a handler: what the page showed last in place of a fresh draft, everything else as it is."""
        if not isinstance(value, FreshDraft):
            return value
        with self._guard:
            text = self._kept.get(page)
        return dict(value) if text is None else restored(text)
