"""Templates and label words found by machine: three buttons start a search as a run, and what it finds joins the cards. How far a search
goes stands in a form made from the job's own options, which the browser remembers."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from workbench.errors import RunError, WorkbenchError
from workbench.options import OptionField, chosen_fields
from workbench.recipe import Recipe
from workbench.runs.jobs.search import WAYS, SearchOptions
from workbench.runs.record import UNFINISHED
from workbench.ui import forms
from workbench.ui.frame import Frame
from workbench.ui.markup import duration, heading, problem, progress, sentence
from workbench.ui.queueing import IN_ORDER
from workbench.ui.session import ready
from workbench.ui.tabs.prompt import cards
from workbench.ui.text import Words

SEARCHES: dict[str, dict[str, Any]] = {
    "generate": {"what": "template", "how": "generate"},
    "trigger": {"what": "template", "how": "trigger"},
    "words": {"what": "verbalizer"},
}
# Which options a search goes by; those of every search come first in the form.
EVERY = ("count", "rows")
OWN = {
    "generate": ("generator", "beam", "longest"),
    "trigger": ("tokens", "steps", "restarts", "candidates", "layout"),
    "words": ("how", "ranking", "candidates", "words"),
}
NAMES = tuple(dict.fromkeys((*EVERY, *(name for own in OWN.values() for name in own))))


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
        return self.status in UNFINISHED


def view(service: Any, run_id: str) -> SearchView | None:
    """A search by its run; None when it is gone."""
    try:
        run = service.read(run_id, 0)
    except WorkbenchError:
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


def fields() -> dict[str, OptionField]:
    """The options of the form, in its order; the way is asked only of label words, since the other two have buttons of their own."""
    ways = WAYS["verbalizer"]
    found = {field.name: field for field in chosen_fields(SearchOptions, NAMES)}
    return {**found, "how": replace(found["how"], choices=ways, default=ways[0])}


def asked(recipe: Recipe, name: str, settings: dict[str, Any] | None = None) -> Recipe:
    """The recipe of a search, as a run of its own.

    Args:
        settings: option -> value as the form shows it; those that this search does not go by are left out.
    """
    known = fields()
    used = (*EVERY, *OWN[name])
    given = {key: forms.given(known[key], value) for key, value in (settings or {}).items() if key in used}
    if name == "words" and given.setdefault("how", known["how"].default) != "greedy":
        given.pop("words", None)
    return recipe.replace({"job": {"kind": "search", **SEARCHES[name], **given}, "pet": None})


def remembered(kept: Any) -> list[Any]:
    """What the form shows for what the browser kept, in the order of `NAMES`; the default where that is nothing or cannot be."""
    kept = kept if isinstance(kept, dict) else {}
    return [forms.shown(field, kept[name] if _possible(field, kept.get(name)) else field.default) for name, field in fields().items()]


def _possible(field: OptionField, value: Any) -> bool:
    if field.kind == "choice":
        return value in field.choices
    if field.kind == "int":
        return type(value) is int and (field.minimum or 0) <= value <= (field.maximum or value)
    return isinstance(value, str)


@dataclass(frozen=True)
class Searches:
    """The controls of this part of the tab. `settings` are in the order of `NAMES`, `kept` is where the browser keeps them; `run` holds the
    search that is under way, or nothing."""

    buttons: dict[str, gr.Button]
    settings: list[Any]
    kept: gr.BrowserState
    stop: gr.Button
    status: gr.HTML
    run: gr.State
    timer: gr.Timer


def layout(t: Words) -> Searches:
    """A button per kind of search, how far each goes, and room for its progress."""
    with gr.Accordion(t("search.title"), open=False, elem_id="search"):
        gr.HTML(sentence(t("search.lead")))
        with gr.Row():
            buttons = {name: gr.Button(t(f"search.{name}"), size="sm", min_width=150, elem_id=f"search-{name}") for name in SEARCHES}
            stop = gr.Button(t("train.stop"), size="sm", interactive=False, min_width=80, elem_id="search-stop")
        status = gr.HTML(elem_id="search-status")
        settings = _form(t)
    kept = gr.BrowserState({}, storage_key="prompt-workbench-search", secret="prompt-workbench")
    return Searches(buttons, settings, kept, stop, status, gr.State(""), gr.Timer(1.0, active=False))


def _form(t: Words) -> list[Any]:
    """The options in groups, each named by the button that goes by it; an option of two searches stands with the first."""
    made: dict[str, Any] = {}
    with gr.Accordion(t("search.settings"), open=False, elem_id="search-settings"):
        for group, names in (("every", EVERY), *OWN.items()):
            gr.HTML(heading(t(f"search.{group}")))
            with gr.Row():
                for name in names:
                    if name not in made:
                        made[name] = forms.control(fields()[name], "any", t, "search", elem_id=f"search-option-{name}")
    return [made[name] for name in NAMES]


def under_way(service: Any) -> str | None:
    """The newest search of the one who asks that has not ended."""
    return next((run.id for run in service.runs() if run.kind == "search" and run.status in UNFINISHED), None)


def wire(frame: Frame, searches: Searches, listed: gr.HTML, tab: gr.Tab) -> None:
    """Starts, follows and stops a search; `listed` shows the cards once it has ended. A page that comes to the tab anew, after a reload,
    finds the one that is under way."""
    t, service, run = frame.t, frame.service, searches.run
    drawn = [run, searches.status, listed, searches.stop, searches.timer]

    def updates(draft: dict[str, Any], shown: SearchView | None) -> list[Any]:
        working = shown is not None and shown.working
        cards_now = gr.skip() if working else cards.cards_html(service.lab.cards(ready(draft)), ready(draft), t)
        switches = [gr.update(interactive=working), gr.update(active=working)]
        return [shown.run if shown and working else "", view_html(shown, t), cards_now, *switches]

    def start(name: str) -> Any:
        def press(draft: dict[str, Any], current: str, *values: Any) -> list[Any]:
            if current:
                raise RunError(t("search.busy"), fix=t("search.busy_fix"))
            wanted = asked(ready(draft), name, dict(zip(NAMES, values, strict=True)))
            return updates(draft, view(service, service.submit(wanted, alone=True)))

        return press

    def poll(draft: dict[str, Any], current: str) -> Any:
        return updates(draft, view(service, current)) if current else gr.skip()

    def find(draft: dict[str, Any], current: str) -> Any:
        found = None if current else under_way(service)
        return updates(draft, view(service, found)) if found else gr.skip()

    def halt(current: str) -> None:
        if current:
            service.stop(current)

    for name, button in searches.buttons.items():
        frame.on(button.click, start(name), [frame.draft, run, *searches.settings], drawn, f"search_{name}", **IN_ORDER)
    frame.on(tab.select, find, [frame.draft, run], drawn, "search_found")
    _remember(frame, searches, tab)
    frame.on(searches.timer.tick, poll, [frame.draft, run], drawn, "search_poll", concurrency_limit=None)
    frame.on(searches.stop.click, halt, [run], [], "search_stop")


def _remember(frame: Frame, searches: Searches, tab: gr.Tab) -> None:
    """What is set in the form is there again when the page is opened anew."""
    changed = functools.partial(gr.on, [control.change for control in searches.settings])

    def keep(*values: Any) -> dict[str, Any]:
        return dict(zip(NAMES, values, strict=True))

    frame.on(changed, keep, searches.settings, [searches.kept], "search_settings")
    frame.on(tab.select, remembered, [searches.kept], searches.settings, "search_settings_shown")
