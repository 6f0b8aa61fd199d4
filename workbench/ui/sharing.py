"""A recipe to hand on: as a link that holds all of it, as a file, and back from either. Nothing in it is run or loaded by opening it."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import gradio as gr

from workbench.errors import RecipeError
from workbench.recipe import Recipe, recipe_from
from workbench.ui.frame import Frame
from workbench.ui.session import portable, recipe_of
from workbench.ui.uploads import check_upload
from workbench.yaml_text import parse_yaml

LONGEST_LINK = 12_000
LARGEST_FILE_BYTES = 1_000_000
# The fragment of an address stays in the browser: no log of a server sees a recipe that somebody sends by mail.
COPY = """token => {
    if (!token) return "";
    const link = location.origin + location.pathname + "#recipe=" + token;
    navigator.clipboard?.writeText(link).catch(() => {});
    return link;
}"""

DOWNLOAD = """text => {
    const name = (text.match(/^name: *(.*)$/m)?.[1] ?? "recipe").replace(/[^\\p{L}\\p{N}._-]+/gu, "-");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "application/yaml"}));
    link.download = name + ".yaml";
    link.click();
    URL.revokeObjectURL(link.href);
}"""

# What the page was opened with, for the first load.
OPENED = """(kept, view, watch) => [kept, view, watch, location.hash.startsWith("#recipe=") ? location.hash.slice(8) : ""]"""


def read_yaml(text: str) -> Recipe:
    """The recipe a person typed.

    Raises:
        RecipeError: with the line of every wrong field.
    """
    return recipe_from(parse_yaml(text, source="recipe"), source="recipe", text=text)


def token_of(recipe: Recipe) -> str:
    """The recipe as letters that an address takes.

    Raises:
        RecipeError: it is too long for a link.
    """
    token = base64.urlsafe_b64encode(portable(recipe).to_yaml().encode("utf-8")).decode("ascii").rstrip("=")
    if len(token) > LONGEST_LINK:
        raise RecipeError("This recipe is too long for a link.", fix="Save it as a file and send that.")
    return token


def recipe_of_token(token: str) -> Recipe:
    """The recipe in a link.

    Raises:
        RecipeError: the link is damaged, too long, or holds no recipe.
    """
    if len(token) > LONGEST_LINK:
        raise RecipeError("The recipe in this link is too long.", fix="Ask for it as a file.")
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise RecipeError("The recipe in this link is damaged.", fix="Ask for the whole link, or for the file.") from None
    return read_yaml(text)


def read_file(path: str) -> Recipe:
    """The recipe in an uploaded file.

    Raises:
        RecipeError: it is too large, no text, or holds no recipe.
    """
    file = check_upload(path)
    if file.stat().st_size > LARGEST_FILE_BYTES:
        raise RecipeError("This file is too large for a recipe.", fix="Give the YAML file of a recipe.")
    try:
        return read_yaml(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise RecipeError("This file is not readable text.", fix="Give the YAML file of a recipe.") from None


def build_sharing(frame: Frame) -> None:
    """Lays out the buttons below the recipe and wires them."""
    t = frame.t
    with gr.Row():
        apply = gr.Button(t("recipe.apply"), size="sm", variant="primary", elem_id="recipe-apply", min_width=120)
        share = gr.Button(t("recipe.link"), size="sm", elem_id="recipe-link", min_width=120)
        save = gr.Button(t("recipe.save"), size="sm", elem_id="recipe-save", min_width=120)
        upload = gr.UploadButton(t("recipe.open"), size="sm", file_types=[".yaml", ".yml"], elem_id="recipe-open", min_width=120)
    token = gr.Textbox(visible="hidden", elem_id="recipe-token")
    link = gr.Textbox(label=t("recipe.link_label"), info=t("recipe.link_help"), max_lines=2, interactive=False, visible=False,
                      elem_id="recipe-link-text")  # fmt: skip

    def make(draft: dict[str, Any]) -> tuple[str, Any]:
        return token_of(recipe_of(draft)), gr.update(visible=True)

    made = frame.on(share.click, make, [frame.draft], [token, link], "recipe_link")
    made.then(None, inputs=[token], outputs=[link], js=COPY)
    save.click(None, inputs=[frame.code], js=DOWNLOAD)
    frame.opens(apply.click, lambda recipe, text: read_yaml(text), [frame.code], "recipe_apply")
    frame.opens(upload.upload, lambda recipe, path: read_file(path), [upload], "recipe_open")
