"""What only a model that writes has: the layout of a conversation, the system's words, how long an answer may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.recipe import Recipe
from workbench.ui.forms import explained, number
from workbench.ui.frame import Frame
from workbench.ui.markup import sentence
from workbench.ui.text import Words

LAYOUTS = ("auto", "chat", "plain")


@dataclass
class Writing:
    """The controls, in the order in which `fill` gives their values."""

    group: gr.Column
    layout: gr.Dropdown
    system: gr.Textbox
    answer: gr.Number

    @property
    def controls(self) -> list[Any]:
        """What shows the recipe."""
        return [self.group, self.layout, self.system, self.answer]


def layout(t: Words) -> Writing:
    """Lays the controls out; they are seen for generation only."""
    with gr.Column(visible=False) as group:
        gr.HTML(sentence(t("prompt.generation_help")))
        names = [(t(f"prompt.chat_{name}"), name) for name in LAYOUTS]
        said = explained(t("prompt.chat_help"), "", t("prompt.chat_auto"), t)
        chosen = gr.Dropdown(names, value="auto", label=t("prompt.chat"), info=said, elem_id="prompt-chat")
        system = gr.Textbox(label=t("prompt.system"), info=t("prompt.system_help"), lines=1, elem_id="prompt-system")
        answer = number(
            value=64, label=t("prompt.new_tokens"), info=t("prompt.new_tokens_help"), minimum=1, maximum=4096, precision=0,
            elem_id="prompt-new-tokens",
        )  # fmt: skip
    return Writing(group, chosen, system, answer)


def fill(recipe: Recipe) -> list[Any]:
    """One update per control of `Writing.controls`."""
    prompt = recipe.prompt
    return [gr.update(visible=recipe.task == "generation"), prompt.chat, prompt.system, prompt.max_new_tokens]


def wire(frame: Frame, controls: Writing) -> list[Any]:
    """Joins the controls to the recipe; returns the events after which the preview is worked out again."""
    layout = frame.edit(controls.layout.input, lambda recipe, name: {"prompt.chat": name}, [controls.layout], "prompt_chat")
    system = frame.edit(
        controls.system.input, lambda recipe, text: {"prompt.system": text or ""}, [controls.system], "prompt_system",
    )  # fmt: skip
    answer = frame.edit(
        controls.answer.input, lambda recipe, value: {"prompt.max_new_tokens": int(value)} if value else {}, [controls.answer],
        "prompt_new_tokens",
    )  # fmt: skip
    return [layout.then, system.then, answer.then]
