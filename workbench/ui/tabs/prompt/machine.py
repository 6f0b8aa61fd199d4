"""Templates and label words found by machine: three buttons start a search as a run, and what it finds joins the cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.ui.frame import Frame
from workbench.ui.markup import duration, problem, progress, sentence
from workbench.ui.session import ready
from workbench.ui.tabs.prompt import cards
from workbench.ui.text import Words

SEARCHES: dict[str, dict[str, Any]] = {
    "generate": {"what": "template", "how": "generate"},
    "trigger": {"what": "template", "how": "trigger"},
    "words": {"what": "verbalizer", "how": "combinations"},
}
WORKING = ("queued", "running", "paused", "stopping")


@dataclass(frozen=True)
class SearchView:
    """A search as the tab shows it; `found` counts its candidates once it has ended."""

    run: str
    status: str
    done: int
    total: int
    doing: str
    seconds_left: float | None
    found: int
    problem: tuple[str, str] | None

    @property
    def working(self) -> bool:
        """Whether there is more to come."""
        return self.status in WORKING


def view(service: Any, run_id: str) -> SearchView | None:
    """A search by its run; None when it is gone."""
    try:
        run = service.read(run_id, 0)
    except RunError:
        return None
    said = [event for event in run.events if event.get("kind") == "progress"]
    trouble = (run.error.get("message", ""), run.error.get("fix", "")) if run.error else None
    found = len(service.result(run_id).get("cards", [])) if run.status == "finished" else 0
    doing = str(said[-1].get("text", "")) if said else ""
    return SearchView(run_id, run.status, run.step, run.total_steps, doing, run.seconds_left, found, trouble)


def view_html(shown: SearchView | None, t: Words) -> str:
    """Progress with the time left, or how it ended."""
    if shown is None:
        return ""
    if shown.problem:
        return problem(*shown.problem, t)
    if not shown.working:
        return sentence(t("search.found", count=shown.found) if shown.status == "finished" else t("search.stopped"), "note")
    left = t("train.left", time=duration(shown.seconds_left)) if shown.seconds_left is not None else ""
    line = " \u00b7 ".join(part for part in (t("train.part_of", done=shown.done, total=shown.total), t.said(shown.doing), left) if part)
    return progress(shown.done / shown.total if shown.total else 0.0, line)


def asked(recipe: Recipe, name: str) -> Recipe:
    """The recipe of a search, as a run of its own."""
    return recipe.replace({"job": {"kind": "search", **SEARCHES[name]}, "pet": None})


@dataclass(frozen=True)
class Searches:
    """The controls of this part of the tab. `run` holds the search that is under way, or nothing."""

    buttons: dict[str, gr.Button]
    stop: gr.Button
    status: gr.HTML
    run: gr.State
    timer: gr.Timer


def layout(t: Words) -> Searches:
    """A button per kind of search, and room for its progress."""
    with gr.Accordion(t("search.title"), open=False, elem_id="search"):
        gr.HTML(sentence(t("search.lead")))
        with gr.Row():
            buttons = {name: gr.Button(t(f"search.{name}"), size="sm", min_width=150, elem_id=f"search-{name}") for name in SEARCHES}
            stop = gr.Button(t("train.stop"), size="sm", interactive=False, min_width=80, elem_id="search-stop")
        status = gr.HTML(elem_id="search-status")
    return Searches(buttons, stop, status, gr.State(""), gr.Timer(1.0, active=False))


def wire(frame: Frame, searches: Searches, listed: gr.HTML) -> None:
    """Starts, follows and stops a search; `listed` shows the cards once it has ended."""
    t, service, run = frame.t, frame.service, searches.run
    drawn = [run, searches.status, listed, searches.stop, searches.timer]

    def updates(draft: dict[str, Any], shown: SearchView | None) -> list[Any]:
        working = shown is not None and shown.working
        cards_now = gr.skip() if working else cards.cards_html(service.lab.cards(ready(draft)), ready(draft), t)
        switches = [gr.update(interactive=working), gr.update(active=working)]
        return [shown.run if shown and working else "", view_html(shown, t), cards_now, *switches]

    def start(name: str) -> Any:
        def press(draft: dict[str, Any], current: str) -> list[Any]:
            if current:
                raise RunError(t("search.busy"), fix=t("search.busy_fix"))
            return updates(draft, view(service, service.submit(asked(ready(draft), name))))

        return press

    def poll(draft: dict[str, Any], current: str) -> Any:
        return updates(draft, view(service, current)) if current else gr.skip()

    def halt(current: str) -> None:
        if current:
            service.stop(current)

    for name, button in searches.buttons.items():
        frame.on(button.click, start(name), [frame.draft, run], drawn, f"search_{name}", concurrency_limit=1)
    frame.on(searches.timer.tick, poll, [frame.draft, run], drawn, "search_poll", concurrency_limit=None)
    frame.on(searches.stop.click, halt, [run], [], "search_stop")
