"""The queue in the tab Train: what is at work, what waits behind it, and which of them the page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.ui.job_report import kind_name
from workbench.ui.markup import short
from workbench.ui.text import Words

LONGEST_NAME = 48


@dataclass(frozen=True)
class Seen:
    """What a page knows of the queue: the lines that it drew, and the run that is chosen among them."""

    lines: tuple[tuple[str, str], ...] = ()
    chosen: str | None = None


@dataclass(frozen=True)
class QueueList:
    """The controls of this part of the tab; those of `drawn` are what `updates` fills."""

    seen: gr.State
    area: gr.Column
    runs: gr.Radio
    watch: gr.Button
    first: gr.Button
    leave: gr.Button

    @property
    def drawn(self) -> list[Any]:
        """What changes with the queue."""
        return [self.seen, self.area, self.runs]


def view(service: Any, watched: str | None, t: Words) -> tuple[tuple[str, str], ...]:
    """A line and a run's id for everything that is at work or waits; none where that is the run in view alone."""
    found = service.queue.runs()
    if all(run.id == watched and run.place == 0 for run in found):
        return ()
    lines = []
    for run in found:
        where = t("queue.place", place=run.place) if run.place else t(f"status.{run.status}")
        kind = kind_name(run.kind, t) if run.kind != "train" else ""
        parts = (where, short(run.name, LONGEST_NAME), kind, run.owner, run.id[-6:], t("queue.in_view") if run.id == watched else "")
        lines.append((" \u00b7 ".join(part for part in parts if part), run.id))
    return tuple(lines)


def updates(service: Any, watched: str | None, seen: Seen, t: Words, *, chosen: str | None = None) -> list[Any]:
    """Updates of what is drawn; skips where nothing has changed. `chosen` is a run to choose, where it is still there."""
    lines = view(service, watched, t)
    if lines == seen.lines and chosen in (None, seen.chosen):
        return [gr.skip()] * 3
    ids = [run_id for _, run_id in lines]
    kept = next((run_id for run_id in (chosen, seen.chosen) if run_id in ids), ids[-1] if ids else None)
    return [Seen(lines, kept), gr.update(visible=bool(lines)), gr.update(choices=list(lines), value=kept)]


def build_queue(t: Words) -> QueueList:
    """Lays the list out; nobody sees it while nothing waits."""
    with gr.Column(visible=False, elem_id="train-queue") as area:
        runs = gr.Radio([], label=t("queue.title"), info=t("queue.help"), interactive=True, elem_id="queue-runs")
        with gr.Row():
            watch = gr.Button(t("queue.watch"), size="sm", min_width=110, elem_id="queue-watch")
            first = gr.Button(t("queue.first"), size="sm", min_width=110, elem_id="queue-first")
            leave = gr.Button(t("queue.leave"), size="sm", min_width=110, elem_id="queue-leave")
    return QueueList(gr.State(Seen()), area, runs, watch, first, leave)


def choose(seen: Seen, event: gr.SelectData) -> Seen:
    """The run that was clicked. From the event: gradio refuses the value of a list whose choices have changed under the click."""
    return Seen(seen.lines, str(event.value))


def chosen_run(seen: Seen, t: Words) -> str:
    """The run that the buttons are about.

    Raises:
        RunError: none is chosen.
    """
    if not seen.chosen:
        raise RunError(t("queue.none"), fix=t("queue.none_fix"))
    return seen.chosen
