"""Try it: one text in, label probabilities out, the model as it was and as it was tuned side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.serving.predictor import Prediction
from workbench.ui.chat import build_chat
from workbench.ui.frame import Frame, Part
from workbench.ui.markup import bars, esc, sentence, small
from workbench.ui.rows import dataset
from workbench.ui.session import Watch
from workbench.ui.text import Words

MOST_FIELDS = 4
ANSWERING = ("finished", "stopped", "interrupted", "paused", "running")


@dataclass(frozen=True)
class TryView:
    """The two answers for one text."""

    base: Prediction
    tuned: Prediction


def choices(service: Any, t: Words) -> list[tuple[str, str]]:
    """Runs that can answer, newest first, named for a person."""
    found = []
    for run in service.runs():
        accuracy = (run.metrics or {}).get("accuracy")
        if "perplexity" in (run.metrics or {}):  # it writes text, and the chat below is its place
            continue
        if run.status in ANSWERING and (run.status == "finished" or accuracy is not None) and _tuned(service, run):
            score = t("try.accuracy", share=f"{accuracy:.1%}") if accuracy is not None else t(f"status.{run.status}")
            found.append((f"{run.name} \u00b7 {run.method} \u00b7 {score} \u00b7 {run.id[-6:]}", run.id))
    return found


def _tuned(service: Any, run: Any) -> bool:
    """A job may end without weights: a search finds words."""
    if run.kind == "train":
        return True
    try:
        service.tuned_folder(run.id)
    except RunError:
        return False
    return True


def fields_of(recipe: Recipe) -> list[str]:
    """The fields a run's templates ask for, in the order of its columns."""
    return [name for name in recipe.data.columns if name != "label"][:MOST_FIELDS]


def view(service: Any, run_id: str, fields: dict[str, str]) -> TryView:
    """Both answers.

    Raises:
        WorkbenchError: the run has no tuned weights, or the text cannot be used.
    """
    tuned = service.predictor(run_id).predict([fields])[0]
    base = service.predictor(run_id, base=True).predict([fields])[0]
    return TryView(base, tuned)


def answer_html(shown: TryView, t: Words) -> str:
    """Two cards side by side."""
    return (
        '<div class="pw-duel">'
        + _side(t("try.base"), t("try.base_help"), shown.base, t)
        + _side(t("try.tuned"), t("try.tuned_help"), shown.tuned, t, strong=True)
        + "</div>"
    )


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t, service = frame.t, frame.service
    with gr.Tab(t("try.tab"), id="try_it") as tab:
        gr.HTML(sentence(t("try.lead")))
        run = gr.Dropdown([], label=t("try.run"), info=t("try.run_help"), elem_id="try-run")
        boxes = [
            gr.Textbox(
                label=t("try.text"), placeholder=t("try.placeholder"), lines=3, visible=i == 0, elem_id=f"try-text-{i}", submit_btn=False
            )
            for i in range(MOST_FIELDS)
        ]
        with gr.Row():
            ask = gr.Button(t("try.ask"), variant="primary", elem_id="try-ask", scale=0, min_width=160)
            example = gr.Button(t("try.example"), scale=0, min_width=240, elem_id="try-example")
        answer = gr.HTML(elem_id="try-answer")
        turn = gr.State(0)
        talk, talk_inputs, talk_outputs = build_chat(frame)

    def show_run(run_id: str | None) -> list[Any]:
        names = fields_of(service.read(run_id, 1 << 30).recipe) if run_id else ["text"]
        shown = [
            gr.update(visible=i < len(names), label=names[i] if len(names) > 1 and i < len(names) else t("try.text"))
            for i in range(MOST_FIELDS)
        ]
        return [*shown, ""]

    def refresh(current: str | None, watch: Watch) -> list[Any]:
        found = choices(service, t)
        ids = [value for _, value in found]
        chosen = watch.run if watch.run in ids and current not in ids else current if current in ids else (ids[0] if ids else None)
        note = "" if found else sentence(t("try.none_yet"), "note")
        return [gr.update(choices=found, value=chosen), *show_run(chosen)[:-1], gr.update() if found and chosen == current else note]

    def answer_to(run_id: str | None, *texts: str) -> str:
        if not run_id:
            raise RunError(t("try.no_run"), fix=t("try.none_yet"))
        names = fields_of(service.read(run_id, 1 << 30).recipe)
        given = {name: (text or "").strip() for name, text in zip(names, texts, strict=False)}
        if not any(given.values()):
            raise RunError(t("try.no_text"), fix=t("try.no_text_fix"))
        return answer_html(view(service, run_id, given), t)

    def take_example(run_id: str | None, number: int) -> list[Any]:
        if not run_id:
            raise RunError(t("try.no_run"), fix=t("try.none_yet"))
        recipe = service.read(run_id, 1 << 30).recipe
        examples = dataset(recipe).examples
        picked = examples[(number * 997 + 31) % len(examples)]
        names = fields_of(recipe)
        return [number + 1, *(picked.fields.get(names[i], "") if i < len(names) else "" for i in range(MOST_FIELDS))]

    frame.on(run.input, show_run, [run], [*boxes, answer], "try_run")
    frame.on(ask.click, answer_to, [run, *boxes], [answer], "try_ask", show_progress="minimal", concurrency_limit=2)
    frame.on(boxes[0].submit, answer_to, [run, *boxes], [answer], "try_submit", show_progress="minimal")
    taken = frame.on(example.click, take_example, [run, turn], [turn, *boxes], "try_example")
    frame.on(taken.then, answer_to, [run, *boxes], [answer], "try_example_answer", show_progress="minimal")

    def refresh_all(current: str | None, watch: Watch, *talking: Any) -> list[Any]:
        return [*refresh(current, watch), *talk(*talking)]

    outputs = [run, *boxes, answer, *talk_outputs]
    return Part("try_it", tab, refresh=(refresh_all, [run, frame.watch, *talk_inputs], outputs))


def _side(title: str, help_: str, prediction: Prediction, t: Words, *, strong: bool = False) -> str:
    pairs = list(prediction.probabilities.items())
    words = sorted(prediction.label_words.items(), key=lambda pair: -pair[1])[:8]
    listed = "".join(f'<span class="pw-word"><b>{esc(word)}</b> {small(p)}</span>' for word, p in words)
    more = f'<h4>{esc(t("try.words"))}</h4><div>{listed}</div>' if words else ""
    return (
        f'<section class="pw-card{" pw-strong" if strong else ""}"><h3 class="pw-heading">{esc(title)}</h3>'
        f'<p class="pw-sentence pw-quiet">{esc(help_)}</p>'
        f'<p class="pw-answer">{esc(prediction.label)}</p>{bars(pairs, winner=prediction.label)}{more}</section>'
    )
