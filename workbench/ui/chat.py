"""The chat of Try it: models that write, side by side and token by token: a run, and beside it the model before tuning, another run, or a
model that no run has tuned."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import gradio as gr

from workbench.data.conversations import Turn
from workbench.errors import RunError
from workbench.runs.takeaway import WRITING_KINDS
from workbench.serving.generator import Generator, Sampling
from workbench.ui.batch import build_batch
from workbench.ui.beside import MOST_FIELDS
from workbench.ui.forms import explained
from workbench.ui.frame import Frame, session_key
from workbench.ui.markup import heading, sentence
from workbench.ui.session import ready
from workbench.ui.take_away import build_programs, build_take_away
from workbench.ui.talkers import NOBODY, fields_of, fitted, others, talkers, writer
from workbench.ui.text import Words

Messages = list[dict[str, str]]
# What a model writes stands there as it wrote it. gradio takes a message for HTML even where it is told to render no Markdown.
AS_WRITTEN: dict[str, Any] = {"render_markdown": False, "latex_delimiters": [], "buttons": []}


def replies(
    sides: Sequence[tuple[Generator, dict[str, str], Messages]], sampling: Sampling, stop: threading.Event | None = None
) -> Iterator[list[str]]:
    """The growing answers of every side, token by token.

    Args:
        sides: for each what writes, the fields of the first question, and what was said since then; its last message is the question to
            answer, or nothing was said yet.
        stop: ends all answers where they are.
    """
    streams = [generator.stream(fields, _turns(said), sampling, stop=stop) for generator, fields, said in sides]
    latest = [""] * len(streams)
    for step in zip_longest(*streams):
        latest = [new if new is not None else old for new, old in zip(step, latest, strict=True)]
        yield latest


class Talk:
    """What the chat's handlers do, over one service and in one language. On the left stands `other`, on the right the run."""

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

    def start_over(self, run_id: str | None, other: str | None, draft: dict[str, Any]) -> list[Any]:
        """Nothing said yet; the windows bear the names of those who talk, and a window of nobody is away."""
        found = dict((value, name) for name, value in others(self.service, ready(draft), talkers(self.service, self.t), run_id, self.t))
        left = gr.update(value=[], label=found.get(other or "", ""), visible=other in found and other != NOBODY)
        return [left, gr.update(value=[], visible=bool(run_id)), {}, *self.labels(run_id, False)]

    def choose(self, run_id: str | None, other: str | None, draft: dict[str, Any]) -> list[Any]:
        """Another run: who can stand beside it, and nothing said yet."""
        update, chosen = self._beside(run_id, other, draft)
        return [update, *self.start_over(run_id, chosen, draft)]

    def refresh(self, current: str | None, other: str | None, draft: dict[str, Any]) -> list[Any]:
        """The runs that write and who can stand beside them, or a sentence where there is nobody; who was chosen stays while there."""
        found = talkers(self.service, self.t)
        ids = [value for _, value in found]
        chosen = current if current in ids else ids[0] if ids else None
        update, stands = self._beside(chosen, other, draft)
        anybody = bool(chosen or stands)
        drawn = [gr.skip()] * (3 + MOST_FIELDS) if (chosen, stands) == (current, other) else self.start_over(chosen, stands, draft)
        note = "" if anybody else sentence(self.t("chat.none_yet"), "note")
        runs = gr.update(choices=found, value=chosen, visible=bool(found))
        return [runs, update, gr.update(visible=anybody), gr.update(visible=bool(found)), note, *drawn]

    def _beside(self, run_id: str | None, other: str | None, draft: dict[str, Any]) -> tuple[Any, str | None]:
        found = others(self.service, ready(draft), talkers(self.service, self.t), run_id, self.t)
        values = [value for _, value in found]
        chosen = other if other in values else values[0] if values else None
        # Without a run there is nothing that it could stand beside.
        return gr.update(choices=found, value=chosen, label=self.t("try.beside") if run_id else self.t("chat.partner")), chosen

    def talk(
        self,
        asked_by: gr.Request,
        run_id: str | None,
        other: str | None,
        draft: dict[str, Any],
        said_left: Messages,
        said_right: Messages,
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
        if not run_id and not other:
            raise RunError(self.t("try.no_run"), fix=self.t("chat.none_yet"))
        if not any((text or "").strip() for text in texts):
            raise RunError(self.t("try.no_text"), fix=self.t("try.no_text_fix"))
        names = fields_of(self.service, run_id)
        fields = asked or dict(zip(names, ((text or "").strip() for text in texts), strict=False))
        question = "\n".join(text.strip() for text in (texts[:1] if asked else texts[: len(names)]) if text)
        stopped = self.service.lab.newest(_work(asked_by))
        there, recipe, nothing = (bool(other) and other != NOBODY, bool(run_id)), ready(draft), self.t("chat.nothing")
        said = [[*_plain(old, nothing), {"role": "user", "content": question}] for old in (said_left, said_right)]
        empty = [{**update, "value": ""} for update in self.labels(run_id, True)]
        yield [*(_shown(one) if here else [] for one, here in zip(said, there, strict=True)), fields, *empty, gr.update(visible=True)]
        writers = [writer(self.service, recipe, run_id, str(who)) for who, here in zip((other, run_id), there, strict=True) if here]
        rows = [one for one, here in zip(said, there, strict=True) if here]
        sides = [(generator, fitted(generator, fields), row[1:]) for generator, row in zip(writers, rows, strict=True)]

        def drawn(answers: list[str]) -> list[Any]:
            full = iter([_shown([*row, {"role": "assistant", "content": answer}]) for row, answer in zip(rows, answers, strict=True)])
            return [*(next(full) if here else [] for here in there), fields, *[gr.skip()] * (MOST_FIELDS + 1)]

        stop, answers = threading.Event(), [""] * len(rows)
        sampling = Sampling(temperature=float(heat), top_p=float(share), max_new_tokens=int(most))
        for answers in replies(sides, sampling, stop):
            yield drawn(answers)
            if stopped():
                stop.set()
        # An answer may be over before its first word; an empty bubble would look like one that is still to come.
        yield drawn([answer or nothing for answer in answers])

    def halt(self, asked_by: gr.Request) -> Any:
        """Ends the answers of this page at their next token; what stands there stays."""
        self.service.lab.newest(_work(asked_by))
        return gr.update(visible=False)


def build_chat(frame: Frame) -> tuple[Callable[..., list[Any]], Sequence[Any], Sequence[Any]]:
    """Lays out the chat and wires it; gives what has to happen when the tab comes into view: handler, inputs, outputs."""
    t = frame.t
    with gr.Column(elem_id="chat"):
        gr.HTML(heading(t("chat.title")) + sentence(t("chat.lead")))
        note = gr.HTML(elem_id="chat-note")
        # Nobody needs two empty windows while there is nobody to talk to.
        with gr.Column(visible=False) as room:
            with gr.Row():
                run = gr.Dropdown([], label=t("try.run"), info=t("chat.run_help"), visible=False, elem_id="chat-run")
                other = gr.Dropdown([], label=t("try.beside"), info=t("chat.beside_help"), elem_id="chat-beside")
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
                stop = gr.Button(t("train.stop"), scale=0, min_width=140, visible=False, elem_id="chat-stop")
                clear = gr.Button(t("chat.clear"), scale=0, min_width=140, elem_id="chat-clear")
            sampling = _sampling(t)
            with gr.Column(visible=False) as of_run:
                build_batch(frame, run, "chat", lead="chat.batch_lead")
                build_take_away(frame, run, "chat", WRITING_KINDS)
                build_programs(frame, run, boxes, "chat", asks="write")
        first = gr.State({})
    chat, who, shown = Talk(frame.service, t), [run, other, frame.draft], [base, tuned, first, *boxes]
    frame.on(run.input, chat.choose, who, [other, *shown], "chat_run")
    frame.on(other.input, chat.start_over, who, shown, "chat_beside")
    frame.on(clear.click, chat.start_over, who, shown, "chat_clear")
    frame.on(stop.click, chat.halt, [], [stop], "chat_stop", queue=False)
    inputs = [*who, base, tuned, first, *sampling, *boxes]
    for event, name in ((send.click, "chat_send"), (boxes[0].submit, "chat_submit")):
        answered = frame.on(event, chat.talk, inputs, [*shown, stop], name, concurrency_limit=2, show_progress_on=[base, tuned])
        frame.on(answered.then, lambda: gr.update(visible=False), [], [stop], f"{name}_ends", queue=False)
    return chat.refresh, who, [run, other, room, of_run, note, *shown]


def _work(asked_by: gr.Request) -> str:
    return f"{session_key(asked_by)} chat"


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
