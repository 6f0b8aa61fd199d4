"""The story's steps over the page: one sentence and one picture each, one button that does the step and goes on, and the way back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.runs.record import UNFINISHED
from workbench.ui.frame import Frame
from workbench.ui.glossary import lead
from workbench.ui.markup import esc, problem, sentence
from workbench.ui.session import Watch
from workbench.ui.story import pictures, scenes
from workbench.ui.tabs import train, try_it
from workbench.ui.text import Words

STEPS = 5
TRAIN, TRY = 4, 5
MOST_LETTERS = 2000
# The stage is there at once; what stands on it comes from the server. Afterwards the page follows what the browser keeps.
OPEN = """kept => { document.documentElement.setAttribute("data-story", ""); return [kept]; }"""
CLOSE = """kept => { window.promptWorkbenchStory(false); return [kept]; }"""
SHOW = """kept => window.promptWorkbenchStory(Boolean(kept?.open))"""
# At the page's first load somebody may have opened the story already.
SHOW_AGAIN = """kept => kept?.open && window.promptWorkbenchStory(true)"""


@dataclass(frozen=True)
class Place:
    """Where a person is in the story; kept by the browser.

    Args:
        step: 1 to 5.
        run: what step 4 trained.
        text: the sentence of step 5.
    """

    step: int = 1
    run: str | None = None
    text: str = ""
    open: bool = False


@dataclass(frozen=True)
class Slide:
    """A step as it is shown: its words, its picture, and what the one button says. Of a run that is under way, the picture is `live`."""

    text: str
    picture: str
    next: str
    live: bool = False
    seen: Watch | None = None


@dataclass
class Stage:
    """The story's components. What a run changes while it trains stands in `live` alone, so that the words and the focus stay."""

    kept: gr.BrowserState
    slide: gr.HTML
    picture: gr.HTML
    live: gr.HTML
    writing: gr.Row
    text: gr.Textbox
    ask: gr.Button
    back: gr.Button
    next: gr.Button
    close: gr.Button
    timer: gr.Timer
    seen: gr.State


def place_of(kept: Any) -> Place:
    """What the browser kept, or the beginning where it kept nothing that makes sense."""
    kept = kept if isinstance(kept, dict) else {}
    step, run, text = kept.get("step"), kept.get("run"), kept.get("text")
    return Place(
        step if type(step) is int and 1 <= step <= STEPS else 1, run if isinstance(run, str) else None,
        text[:MOST_LETTERS] if isinstance(text, str) else "", kept.get("open") is True,
    )  # fmt: skip


def slide(service: Any, boards: Any, recipe: Recipe, place: Place, t: Words) -> Slide:
    """A step of the story with its picture.

    Raises:
        WorkbenchError: the model or the data cannot be used, or the sentence of step 5 cannot be answered.
    """
    rows = scenes.training_rows(recipe)
    text, going_on = text_html(place.step, rows, t), t(f"story.next_{place.step}", rows=rows)
    if place.step == TRAIN:
        return _training(service, place, rows, Slide(text, "", going_on), t)
    if place.step == 1:
        picture = pictures.blank_picture(scenes.blank(service, recipe, t), t)
    elif place.step == TRY:
        if not place.run:
            raise RunError(t("try.no_run"), fix=t("try.none_yet"))
        asked = {recipe.fields[0]: place.text or t("story.sentence")}
        picture = pictures.answers_picture(try_it.view(service, boards, place.run, try_it.BASE, asked), t)
    else:
        shown = scenes.reading(service, recipe)
        picture = pictures.prompt_picture(shown, t) if place.step == 2 else pictures.words_picture(shown, t)
    return Slide(text, picture, going_on)


def _training(service: Any, place: Place, rows: int, plain: Slide, t: Words) -> Slide:
    """Step 4 as its run stands."""
    run = scenes.training(service, place.run)
    picture = pictures.training_picture(run, rows, t)
    if run is None:
        return replace(plain, picture=picture, next=t(f"story.next_{TRAIN - 1}", rows=rows))
    note = problem(*run.problem, t) if run.problem else ""
    if run.status in train.RESUMABLE:
        note += sentence(t("story.halted"), "note")
    if run.status == "queued":
        note += sentence(t("story.waiting"), "note")
    busy = run.status in UNFINISHED and run.status != "paused"
    mark = "<span hidden data-busy></span>" if busy else ""
    return replace(plain, picture=picture + note + mark, live=busy, seen=run.watch)


def forward(service: Any, recipe: Recipe, place: Place, t: Words) -> Place:
    """Does what the one button says: the next step, for which a run is started, or goes on, where step 4 needs one.

    Raises:
        WorkbenchError: the run cannot be started or is still under way; the place stays.
    """
    if place.step == TRY:
        return Place()
    if place.step < TRAIN - 1:
        return replace(place, step=place.step + 1)
    run = scenes.training(service, place.run)
    if run is None:
        started = scenes.twin(service, recipe, UNFINISHED) or service.submit(recipe, alone=True)
        return replace(place, step=TRAIN, run=started)
    if place.step == TRAIN and run.status == "finished":
        return replace(place, step=TRY)
    if place.step == TRAIN and run.status in train.RESUMABLE:
        service.resume(run.id)
    elif place.step == TRAIN:
        raise RunError(t("story.still"), fix=t("story.still_fix"))
    return replace(place, step=TRAIN)


def text_html(step: int, rows: int, t: Words) -> str:
    """The steps as a line, then the step's title and its one sentence, whose words of the trade lead to theirs."""
    names = "".join(
        f'<li{" aria-current=step" if number == step else ""} class="{"pw-story-done" if number < step else ""}">'
        f"{esc(t(f'story.name_{number}'))}</li>"
        for number in range(1, STEPS + 1)
    )
    return (
        f'<ol class="pw-story-steps" aria-label="{esc(t("story.of", step=step))}">{names}</ol>'
        f'<h2 id="story-title" tabindex="-1">{esc(t(f"story.title_{step}"))}</h2>'
        f"{lead(t(f'story.says_{step}', rows=rows), t, 'story')}"
        '<p class="pw-sentence pw-note" id="story-word" aria-live="polite" hidden></p>'
    )


def layout(t: Words) -> Stage:
    """The story's components, out of sight until it is opened; they come before everything else on the page, which they cover."""
    kept = gr.BrowserState({}, storage_key=f"prompt-workbench-story-{t.language}", secret="prompt-workbench")
    with gr.Column(elem_id="story", elem_classes="pw-story"):
        shown = gr.HTML(text_html(1, 0, t), elem_id="story-slide")
        with gr.Row(visible=False, elem_id="story-writing", elem_classes="pw-end") as writing:
            text = gr.Textbox(label=t("try.text"), info=t("story.ask_help"), max_lines=3, scale=4, min_width=300, elem_id="story-text")
            ask = gr.Button(t("try.ask"), scale=0, min_width=110, elem_id="story-ask")
        picture = gr.HTML(sentence(t("story.loading")), elem_id="story-picture")
        live = gr.HTML(visible=False, elem_id="story-live")
        with gr.Row(elem_id="story-buttons"):
            back = gr.Button(t("story.back"), interactive=False, scale=0, min_width=110, elem_id="story-back")
            following = gr.Button(t("story.loading"), variant="primary", interactive=False, scale=1, min_width=240, elem_id="story-next")
            close = gr.Button(t("story.close"), scale=0, min_width=110, elem_id="story-close")
        gr.HTML(f'<p class="pw-story-keys">{esc(t("story.keys"))}</p>')
    return Stage(kept, shown, picture, live, writing, text, ask, back, following, close, gr.Timer(0.5, active=False), gr.State(Watch()))


@dataclass(frozen=True)
class Teller:
    """What happens at each press: handlers over the service, on the preset. Lives as long as its page."""

    service: Any
    boards: Any
    recipe: Recipe
    t: Words

    def begin(self, kept: Any) -> list[Any]:
        """Opens the story where it was left, or before its training where that run is gone."""
        return self.drawn(replace(self._left(kept), open=True))

    def _left(self, kept: Any) -> Place:
        place = place_of(kept)
        gone = place.step == TRY and scenes.training(self.service, place.run) is None
        return replace(place, step=TRAIN - 1, run=None) if gone else place

    def go_on(self, kept: Any, watch: Watch) -> list[Any]:
        """The next step, and the run in view, which is the story's as soon as it has one. After the last step the story is over."""
        place = place_of(kept)
        following = forward(self.service, self.recipe, place, self.t)
        if place.step == TRY:
            return [asdict(following), *[gr.skip()] * 9, watch]
        started = following.run != place.run
        return [*self.drawn(replace(following, open=True)), Watch(following.run) if started else watch]

    def go_back(self, kept: Any) -> list[Any]:
        """One step back; from the first step nowhere."""
        place = place_of(kept)
        return self.drawn(replace(place, step=max(place.step - 1, 1), open=True))

    def close(self, kept: Any) -> list[Any]:
        """Puts the story away; its place and its run are kept."""
        return [asdict(replace(place_of(kept), open=False)), gr.update(active=False)]

    def look(self, kept: Any, seen: Watch) -> list[Any]:
        """The run's picture, where something has happened since; a timer that ticks for another step is stopped."""
        place = place_of(kept)
        if place.step != TRAIN or not place.run or not place.open:
            return [gr.skip(), gr.update(active=False), gr.skip()]
        if seen.run == place.run and train.view(self.service, seen) is None:
            return [gr.skip()] * 3
        shown = self.slide(place)
        return [shown.picture, gr.update(active=shown.live), shown.seen or Watch()]

    def ask(self, kept: Any, text: str) -> list[Any]:
        """The picture of the last step for a sentence of one's own; RunError for an empty one."""
        if not (text or "").strip():
            raise RunError(self.t("try.no_text"), fix=self.t("try.no_text_fix"))
        place = replace(place_of(kept), text=text.strip()[:MOST_LETTERS])
        return [asdict(place), self.slide(place).picture]

    def restore(self, kept: Any) -> Any:
        """After a reload: the stage as it was, when the story was open."""
        place = self._left(kept)
        return self.drawn(place) if place.open else gr.skip()

    def slide(self, place: Place) -> Slide:
        """What the stage shows at a place of the story."""
        return slide(self.service, self.boards, self.recipe, place, self.t)

    def drawn(self, place: Place) -> list[Any]:
        """One update for each of the stage's outputs."""
        shown = self.slide(place)
        training, trying = place.step == TRAIN, place.step == TRY
        return [
            asdict(place), shown.text, gr.update(visible=not training, value="" if training else shown.picture),
            gr.update(visible=training, value=shown.picture if training else ""), gr.update(visible=trying),
            place.text or self.t("story.sentence"), gr.update(interactive=place.step > 1), gr.update(value=shown.next, interactive=True),
            gr.update(active=shown.live), shown.seen or Watch(),
        ]  # fmt: skip


def wire(frame: Frame, stage: Stage, opening: gr.Button, page: gr.Blocks) -> None:
    """Wires the story to the service. Nothing where its preset is not installed, and its button is not shown."""
    recipe = scenes.preset(frame.t.language)
    if recipe is None:
        return
    teller, kept = Teller(frame.service, frame.boards, recipe, frame.t), [stage.kept]
    outputs = [*kept, stage.slide, stage.picture, stage.live, stage.writing, stage.text, stage.back, stage.next, stage.timer, stage.seen]
    opened = frame.on(opening.click, teller.begin, kept, outputs, "story_open", js=OPEN)
    gone_on = frame.on(stage.next.click, teller.go_on, [*kept, frame.watch], [*outputs, frame.watch], "story_next")
    gone_back = frame.on(stage.back.click, teller.go_back, kept, outputs, "story_back")
    for change in (opened, gone_on, gone_back):
        change.then(None, inputs=kept, js=SHOW)
    frame.on(stage.close.click, teller.close, kept, [*kept, stage.timer], "story_close", js=CLOSE)
    frame.on(page.load, teller.restore, kept, outputs, "story_load", look=True).then(None, inputs=kept, js=SHOW_AGAIN)
    looked = [stage.live, stage.timer, stage.seen]
    frame.on(stage.timer.tick, teller.look, [*kept, stage.seen], looked, "story_poll", look=True, concurrency_limit=None)
    for event, name in ((stage.ask.click, "ask"), (stage.text.submit, "submit")):
        frame.on(event, teller.ask, [*kept, stage.text], [*kept, stage.picture], f"story_{name}")
