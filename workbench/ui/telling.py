"""Work of a handler as the page's progress bar shows it: the stage in words, its share, the time left; and the way to stop it."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from workbench.models.transfer import Progress
from workbench.serving.scoring import Dropped
from workbench.ui.markup import stage_text
from workbench.ui.text import Words


def telling(bar: gr.Progress, t: Words, stopped: Callable[[], bool] = lambda: False) -> Progress:
    """A progress that draws on the bar that gradio gave a handler.

    Args:
        stopped: asked whenever something is told; once it says so the work ends with `Dropped`.
    """

    def tell(stage: str, share: float | None) -> None:
        if stopped():
            raise Dropped
        bar(share, desc=stage_text(stage, t))

    return tell
