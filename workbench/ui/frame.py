"""How tabs are wired: errors become sentences, edits become recipes, and a changed recipe fills every tab.

A tab gives back its `Part`: the controls that show a piece of the recipe, the function that fills them, and what to work out again
when the tab comes into view. `Frame.finish` joins them once all tabs are built.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.access import OWNER, Principal, acting_as
from workbench.errors import WorkbenchError
from workbench.models.imports import import_transformers
from workbench.recipe import Recipe
from workbench.runs.boards import BoardModels
from workbench.runs.faults import ended_as_sentence
from workbench.ui.drafts import Drafts
from workbench.ui.markup import esc
from workbench.ui.order import Order
from workbench.ui.queueing import IN_ORDER, queued_state
from workbench.ui.session import kept, portable, recipe_of
from workbench.ui.steps import recipe_steps, steps_html
from workbench.ui.text import Words

# Out of view a tab's timer ticks this many times slower: each tick costs browser and server something, and nobody looks.
SLOWER = 6
VALUES = ("input", "change", "blur", "release", "select")
"""Events by which a control tells of its value."""


@dataclass
class Part:
    """What a tab gives to the frame.

    Args:
        name: the tab's id.
        tab: its gr.Tab.
        controls: components that show the recipe.
        fill: recipe -> one update per control.
        refresh: (handler, inputs, outputs) that works out what is slow to show, or None.
        timer: ticks as often as it says while the tab is in view, and rarely while it is not.
        remembered: a control that shows no recipe but a person's habit, which the browser keeps, and what it shows for a value kept.
    """

    name: str
    tab: gr.Tab
    controls: list[Component] = field(default_factory=list)
    fill: Callable[[Recipe], list[Any]] = lambda recipe: []
    refresh: tuple[Callable[..., Any], list[Component], list[Component]] | None = None
    timer: gr.Timer | None = None
    remembered: tuple[Component, Callable[[Any], Any]] | None = None


@dataclass
class Frame:
    """One page under construction; lives as long as its Blocks."""

    service: Any
    t: Words
    draft: gr.State
    shown_tab: gr.State
    watch: gr.State
    summary: gr.HTML
    progress: gr.HTML
    code: gr.Code
    kept: gr.BrowserState
    tabs: gr.Tabs
    openers: list[tuple[Any, Callable[..., Any], list[Component], str, list[Component]]] = field(default_factory=list)
    order: Order = field(default_factory=Order)
    drafts: Drafts = field(default_factory=Drafts)

    @property
    def boards(self) -> BoardModels:
        """Opened models of boards, which the pages of all languages share."""
        return self.service.boards

    def on(
        self, event: Any, handler: Callable[..., Any], inputs: Sequence[Component], outputs: Sequence[Component], name: str, *,
        look: bool = False, **options: Any,
    ) -> Any:  # fmt: skip
        """Wires a handler under the api name `name`, with its errors turned into sentences; `look` says that it only shows what is."""
        if options.setdefault("show_progress", "hidden") == "hidden":
            # Else gradio searches its whole tree for every component that was ever an output, at each step of each event: a tenth of a
            # second of the browser's time by the hundred, before it sends what was typed.
            options.setdefault("show_progress_on", [self.draft])
        options.setdefault("trigger_mode", _mode(event, handler))
        # Programs have endpoints of their own, and a page that lists its handlers is three times as large.
        options["api_visibility"] = "undocumented"
        place = next((place for place, output in enumerate(outputs) if output is self.draft), None)
        guard = guarded(handler, self, [output._id for output in outputs], look, place)
        return _heard(event)(guard, inputs=list(inputs), outputs=list(outputs), api_name=name, **options)

    def edit(self, event: Any, assign: Callable[..., dict[str, Any]], inputs: Sequence[Component], name: str, **options: Any) -> Any:
        """Wires a control to the recipe: `assign(recipe, *values)` gives the dotted fields to set."""

        def change(draft: dict[str, Any], *values: Any) -> tuple[Any, ...]:
            recipe = recipe_of(draft)
            return self.drawn(recipe.replace(assign(recipe, *values)))

        return self.on(
            event,
            change,
            [self.draft, *inputs],
            self.recipe_views,
            name,
            **IN_ORDER,
            **options,
        )

    def opens(
        self, event: Any, handler: Callable[..., Any], inputs: Sequence[Component], name: str, also: Sequence[Component] = ()
    ) -> None:
        """Wires an event after which every tab must show another recipe: `handler(recipe, *values)` gives it, or a tuple of it and a value
        for each component in `also`."""
        self.openers.append((event, handler, list(inputs), name, list(also)))

    @property
    def recipe_views(self) -> list[Any]:
        """What `drawn` fills. The browser keeps the recipe with the answer that shows it: a page that is reloaded at once has it too."""
        return [self.draft, self.summary, self.code, self.kept]

    def drawn(self, recipe: Recipe) -> tuple[Any, ...]:
        """Draft, steps, YAML and what the browser keeps of a recipe."""
        recipe = portable(recipe)
        fields = recipe.model_dump()
        return fields, steps_html(recipe_steps(recipe, self.t), self.t), recipe.to_yaml(), kept(fields)

    def finish(self, parts: Sequence[Part]) -> None:
        """Joins the tabs: opening a recipe fills them all, coming into view works out what is slow."""
        controls = [control for part in parts for control in part.controls]
        for event, handler, inputs, name, also in self.openers:

            def opened(draft: dict[str, Any], *values: Any, handler: Callable[..., Any] = handler) -> list[Any]:
                answer = handler(recipe_of(draft), *values)
                recipe, *more = answer if isinstance(answer, tuple) else (answer,)
                recipe = portable(recipe)
                return [*self.drawn(recipe), *(update for part in parts for update in part.fill(recipe)), *more]

            outputs = [*self.recipe_views, *controls, *also]
            # The answer fills the very control: a choice put off until then would be gone, so it goes out at once and waits in line.
            told = {"trigger_mode": "multiple"} if _tells_value(event) else {}
            done = self.on(event, opened, [self.draft, *inputs], outputs, name, **told, **IN_ORDER)
            self.refresh(done.then, parts)
        timers = {part.name: part.timer for part in parts if part.timer}
        for timer in timers.values():
            timer.render()  # out here, since gradio does not draw a tab, nor tick its timer, before it was opened once
        for part in parts:
            if not isinstance(part.tab, gr.Tab):
                continue
            shown = functools.partial(_shown, part.name, {name: timer.value for name, timer in timers.items()})
            # Behind the edits made before it, which the tab must show, and behind the choice of another tab before this one.
            turned: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden", "api_name": False, **IN_ORDER}
            chosen = part.tab.select(shown, outputs=[self.shown_tab, *timers.values()], **turned)
            self.refresh(chosen.then, [part])

    def refresh(self, after: Any, parts: Sequence[Part]) -> None:
        """After an event, works out the slow views of the tab that is in view, and of no other."""
        for part in parts:
            if part.refresh:
                handler, inputs, outputs = part.refresh
                shown = self.when_shown(part.name, handler)
                waiting = {"show_progress": "minimal", "show_progress_on": outputs[:1]}
                self.on(after, shown, [self.shown_tab, *inputs], outputs, f"{part.name}_view", look=True, **waiting)

    def when_shown(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        """`handler`, skipped while another tab is in view."""

        def view(shown: str, *values: Any) -> Any:
            return handler(*values) if shown == name else gr.skip()

        return view


def guarded(handler: Callable[..., Any], frame: Frame, outputs: Sequence[int], look: bool, draft: int | None) -> Callable[..., Any]:
    """The handler run for whoever asks, with its errors shown as a sentence: the fix for a mistake, an id from the log for a bug; what
    came too late for the page is left out of its answer. It reads the recipe that the page shows, also where gradio let that go; `draft`
    is its place in the answer."""
    service, t, order, drafts = frame.service, frame.t, frame.order, frame.drafts

    def mistake(error: WorkbenchError) -> None:
        gr.Warning(esc(t.said(f"{error.message} {error.fix}".strip())), title=t("errors.title"), duration=12)

    def bug(error_id: str) -> None:
        gr.Warning(t("errors.bug", error_id=error_id), title=t("errors.title"), duration=20)

    def telling() -> AbstractContextManager[None]:
        return ended_as_sentence(service.root, f"page: {handler.__qualname__}", mistake, bug, through=(gr.Error,))

    def guard(request: gr.Request, *values: Any) -> Any:
        answer: Any = gr.skip()
        import_transformers()
        began = order.begin()
        with telling(), acting_as(asking(request)):
            page = _page_of(request)
            answer = handler(*(drafts.known(page, value) for value in values))
            drafts.keep(page, answer, draft)
        return order.passed(session_key(request), began, answer, outputs, look=look, queued=queued_state(scope_of(request)))

    def guard_steps(request: gr.Request, *values: Any) -> Iterator[Any]:
        import_transformers()
        known = (drafts.known(_page_of(request), value) for value in values)
        steps, principal, ended, began = handler(*known), asking(request), object(), order.begin()
        while True:
            value = failed = gr.skip()
            # Around each step, not around all: gradio may take every step in another thread.
            with telling(), acting_as(principal):
                value = next(steps, ended)
            if value is ended:
                return
            yield order.passed(session_key(request), began, value, outputs, look=look)
            if value is failed:
                return

    guard = guard_steps if inspect.isgeneratorfunction(handler) else guard
    return _with_signature(guard, handler)


def asking(request: gr.Request | None) -> Principal:
    """Who the guard in front of the server found behind a request; the owner where a handler is called from Python, without one.

    Raises:
        KeyError: the request did not come through a guard.
    """
    return OWNER if request is None else state_of(request)["principal"]


def state_of(request: gr.Request | None) -> dict[str, Any]:
    """What the guard wrote down about a request; nothing where a handler is called from Python."""
    return scope_of(request).get("state", {})


def scope_of(request: gr.Request | None) -> dict[str, Any]:
    """A request as ASGI has it; nothing where a handler is called from Python."""
    # gradio's MCP server hands over starlette's request where everybody else hands over gradio's around it.
    return getattr(getattr(request, "request", request), "scope", None) or {}


def session_key(request: gr.Request | None) -> str:
    """The open page behind a request; empty where a handler is called from Python."""
    return str(getattr(request, "session_hash", None) or "")


def _page_of(request: gr.Request | None) -> tuple[str, str]:
    return asking(request).name, session_key(request)


def _with_signature(guard: Callable[..., Any], handler: Callable[..., Any]) -> Callable[..., Any]:
    """`guard` with the handler's name and parameters behind the request: gradio reads both to pass a request, event data or progress."""
    guard = functools.wraps(handler)(guard)
    del guard.__wrapped__  # type: ignore[attr-defined]
    own = inspect.signature(handler)
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    guard.__signature__ = own.replace(parameters=[first, *own.parameters.values()])  # type: ignore[attr-defined]
    guard.__annotations__ = {"request": gr.Request, **_hints(handler)}
    return guard


def _heard(event: Any) -> Any:
    """The event by which an input by hand is heard. For a text box also leaving it: gradio drops the first edit after the server filled
    one, be it a whole paste. Of a list only what is chosen in it: gradio takes leaving one for an input, whatever stands there. Of a number
    with decimals what stands there in the end, not the 0 that begins 0.5."""
    box = getattr(event, "__self__", None)
    if event is None or getattr(event, "event_name", "") != "input":
        return event
    if isinstance(box, gr.Dropdown) and not box.multiselect:
        return box.select
    if isinstance(box, gr.Number) and box.precision is None:
        return functools.partial(gr.on, [box.blur, box.submit])
    return functools.partial(gr.on, [event, box.blur]) if isinstance(box, gr.Textbox) else event


def _mode(event: Any, handler: Callable[..., Any]) -> str:
    """What becomes of an event while the one before it is at work. gradio drops it, which is right for a button that is pressed twice and
    for a clock. A control's value and a view that follows an edit are worked out once more, or the page would stay on what was before. An
    event that carries more than that it happened is not put off: gradio would send what the first one carried."""
    follows = isinstance(event, functools.partial)
    carries = any(inspect.isclass(kind) and issubclass(kind, gr.EventData) for kind in _hints(handler).values())
    return "always_last" if (follows or _tells_value(event)) and not carries else "once"


def _tells_value(event: Any) -> bool:
    return getattr(event, "event_name", "") in VALUES


def _hints(handler: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(handler)
    except (NameError, TypeError):
        return dict(getattr(handler, "__annotations__", {}))


def _shown(name: str, timers: dict[str, float]) -> list[Any]:
    """The tab in view, and for each tab with a timer how often that one ticks now, in seconds."""
    return [name, *(gr.update(value=seconds if other == name else seconds * SLOWER) for other, seconds in timers.items())]
