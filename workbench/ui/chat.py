"""The chat of Try it: a generation run talks, as it was and as it was tuned, side by side and token by token."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import gradio as gr

from workbench.data.conversations import Turn
from workbench.errors import RunError
from workbench.runs.takeaway import WRITING_KINDS
from workbench.serving.generator import Sampling
from workbench.ui import beside
from workbench.ui.beside import MOST_FIELDS
from workbench.ui.forms import explained
from workbench.ui.frame import Frame
from workbench.ui.markup import heading, sentence
from workbench.ui.take_away import build_programs, build_take_away
from workbench.ui.text import Words

ANSWERING = ("finished", "stopped", "interrupted", "paused", "running")
Messages = list[dict[str, str]]
# What a model writes stands there as it wrote it. gradio takes a message for HTML even where it is told to render no Markdown.
AS_WRITTEN: dict[str, Any] = {"render_markdown": False, "latex_delimiters": [], "buttons": []}


def talkers(service: Any, t: Words) -> list[tuple[str, str]]:
    """Runs that write text, newest first, named for a person."""
    found = []
    for run in service.runs():
        perplexity = (run.metrics or {}).get("perplexity")
        if run.status in ANSWERING and perplexity is not None:
            score = t("chat.perplexity", value=f"{perplexity:.1f}")
            found.append((f"{run.name} \u00b7 {run.method} \u00b7 {score} \u00b7 {run.id[-6:]}", run.id))
    return found


def fields_of(service: Any, run_id: str | None) -> list[str]:
    """The fields that make the first question of a run."""
    return beside.fields_of(service.read(run_id, 1 << 30).recipe) if run_id else ["message"]


def replies(
    service: Any, run_id: str, fields: dict[str, str], base: Messages, tuned: Messages, sampling: Sampling
) -> Iterator[tuple[str, str]]:
    """The growing answers of the base model and of the tuned one.

    Args:
        fields: of the first question.
        base, tuned: what was said since then, by each; the last message is the question to answer, or nothing was said yet.
    """
    sides = [
        service.generator(run_id, base=is_base).stream(fields, _turns(said), sampling) for is_base, said in ((True, base), (False, tuned))
    ]
    latest = ["", ""]
    for pair in zip_longest(*sides):
        latest = [new if new is not None else old for new, old in zip(pair, latest, strict=True)]
        yield latest[0], latest[1]


class Talk:
    """What the chat's handlers do, over one service and in one language."""

    def __init__(self, service: Any, t: Words) -> None:
        self.service, self.t = service, t

    def labels(self, run_id: str | None, started: bool) -> list[Any]:
        """One update per text box: the fields of a run's first question, and one message from then on."""
        names = fields_of(self.service, run_id)
        if started or not names:
            names = ["message"]
        return [
            gr.update(visible=i < len(names), label=names[i] if len(names) > 1 and i < len(names) else self.t("chat.message"))
            for i in range(MOST_FIELDS)
        ]

    def start_over(self, run_id: str | None) -> list[Any]:
        """Nothing said yet."""
        return [[], [], {}, *self.labels(run_id, False)]

    def refresh(self, current: str | None) -> list[Any]:
        """The runs that write text, or a sentence where there are none; the one chosen stays while it is there."""
        found = talkers(self.service, self.t)
        ids = [value for _, value in found]
        chosen = current if current in ids else ids[0] if ids else None
        update = gr.update(choices=found, value=chosen)
        boxed = [gr.skip()] * MOST_FIELDS if chosen == current else self.labels(chosen, False)
        return [update, gr.update(visible=bool(found)), "" if found else sentence(self.t("chat.none_yet"), "note"), *boxed]

    def talk(
        self,
        run_id: str | None,
        said_base: Messages,
        said_tuned: Messages,
        asked: dict[str, str],
        heat: float,
        share: float,
        most: int,
        *texts: str,
    ) -> Iterator[list[Any]]:
        """The question in both windows, then both answers as they grow.

        Args:
            asked: the fields of the first question; empty before it.
            heat, share, most: temperature, top-p and new tokens at most.
        """
        if not run_id:
            raise RunError(self.t("try.no_run"), fix=self.t("chat.none_yet"))
        if not any((text or "").strip() for text in texts):
            raise RunError(self.t("try.no_text"), fix=self.t("try.no_text_fix"))
        names = fields_of(self.service, run_id)
        fields = asked or dict(zip(names, ((text or "").strip() for text in texts), strict=False))
        question = "\n".join(text.strip() for text in (texts[:1] if asked else texts[: len(names)]) if text)
        nothing = self.t("chat.nothing")
        base_said, tuned_said = ([*_plain(said, nothing), {"role": "user", "content": question}] for said in (said_base, said_tuned))
        empty = self.labels(run_id, True)
        sampling = Sampling(temperature=float(heat), top_p=float(share), max_new_tokens=int(most))
        yield [_shown(base_said), _shown(tuned_said), fields, *({**update, "value": ""} for update in empty)]
        sides: tuple[tuple[Messages, str], ...] = ((base_said, ""), (tuned_said, ""))
        for one, other in replies(self.service, run_id, fields, base_said[1:], tuned_said[1:], sampling):
            sides = ((base_said, one), (tuned_said, other))
            chats = [_shown([*said, {"role": "assistant", "content": answer}]) for said, answer in sides]
            yield [*chats, fields, *[gr.skip()] * MOST_FIELDS]
        # An answer may be over before its first word; an empty bubble would look like one that is still to come.
        chats = [_shown([*said, {"role": "assistant", "content": answer or nothing}]) for said, answer in sides]
        yield [*chats, fields, *[gr.skip()] * MOST_FIELDS]


def build_chat(frame: Frame) -> tuple[Callable[..., list[Any]], Sequence[Any], Sequence[Any]]:
    """Lays out the chat and wires it; gives what has to happen when the tab comes into view: handler, inputs, outputs."""
    t = frame.t
    with gr.Column(elem_id="chat"):
        gr.HTML(heading(t("chat.title")) + sentence(t("chat.lead")))
        note = gr.HTML(elem_id="chat-note")
        # Nobody needs two empty windows while there is no run that writes text.
        with gr.Column(visible=False) as room:
            run = gr.Dropdown([], label=t("try.run"), info=t("chat.run_help"), elem_id="chat-run")
            with gr.Row():
                base, tuned = (
                    gr.Chatbot(label=t(f"try.{name}"), height=300, elem_id=f"chat-{name}", **AS_WRITTEN) for name in ("base", "tuned")
                )
            boxes = [
                gr.Textbox(label=t("chat.message"), lines=1, visible=i == 0, elem_id=f"chat-text-{i}", submit_btn=False)
                for i in range(MOST_FIELDS)
            ]
            with gr.Row():
                send = gr.Button(t("chat.send"), variant="primary", scale=0, min_width=140, elem_id="chat-send")
                clear = gr.Button(t("chat.clear"), scale=0, min_width=140, elem_id="chat-clear")
            sampling = _sampling(t)
            build_take_away(frame, run, "chat", WRITING_KINDS)
            build_programs(frame, run, boxes, "chat", asks="write")
        first = gr.State({})
    chat = Talk(frame.service, t)
    shown = [base, tuned, first, *boxes]
    frame.on(run.input, chat.start_over, [run], shown, "chat_run")
    frame.on(clear.click, chat.start_over, [run], shown, "chat_clear")
    inputs = [run, base, tuned, first, *sampling, *boxes]
    for event, name in ((send.click, "chat_send"), (boxes[0].submit, "chat_submit")):
        frame.on(event, chat.talk, inputs, shown, name, concurrency_limit=2)
    return chat.refresh, [run], [run, room, note, *boxes]


def _sampling(t: Words) -> list[gr.Slider]:
    """Temperature, top-p and new tokens at most, folded away."""
    with gr.Accordion(t("chat.sampling"), open=False):
        livelier = explained(t("chat.temperature_help"), "", 0.7, t)
        share = explained(t("chat.top_p_help"), t("chat.top_p_higher"), 0.9, t)
        temperature = gr.Slider(0, 1.5, value=0.7, step=0.05, label=t("chat.temperature"), info=livelier)
        top_p = gr.Slider(0.05, 1, value=0.9, step=0.05, label=t("chat.top_p"), info=share)
        longer = explained("", t("chat.max_tokens_higher"), 64, t)
        tokens = gr.Slider(8, 512, value=64, step=8, label=t("chat.max_tokens"), info=longer)
    return [temperature, top_p, tokens]


def _shown(messages: Messages) -> Messages:
    """Messages as a chatbot shows them letter by letter."""
    return [{**message, "content": html.escape(message["content"], quote=False)} for message in messages]


def _plain(messages: Any, nothing: str = "") -> Messages:
    """A chatbot's value with each message's text as one string, as it was written; `nothing` stands for an answer without a word."""
    found = []
    for message in messages or []:
        content = message["content"]
        if not isinstance(content, str):
            content = "".join(part.get("text", "") if isinstance(part, dict) else str(part) for part in content)
        content = html.unescape(content)
        found.append({"role": message["role"], "content": "" if message["role"] == "assistant" and content == nothing else content})
    return found


def _turns(messages: Messages) -> list[Turn]:
    return [Turn(message["role"], message["content"]) for message in messages]
