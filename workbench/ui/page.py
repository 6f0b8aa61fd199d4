"""The page in one language: header, presets, the recipe in sight, the tabs, and what a fresh page shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.recipe import Recipe, load_preset, preset_names
from workbench.ui import story
from workbench.ui.drafts import FreshDraft
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import glossary_html
from workbench.ui.markup import esc
from workbench.ui.queueing import IN_ORDER
from workbench.ui.session import Watch, first_draft, portable, recipe_of, restored
from workbench.ui.sharing import OPENED, build_sharing, recipe_of_token
from workbench.ui.steps import recipe_steps, run_steps, steps_html
from workbench.ui.tabs import board, data, labelling, method, model, prompt, runs, train, try_it
from workbench.ui.tabs.train import newest
from workbench.ui.text import Words, languages

TABS = (model, data, prompt, method, train, try_it, board, runs)

# gradio translates its own words ("drop a file here") by the browser's language; the page has a language of its own.
# It also drops the first edit after the server filled a text box, which a paste is in whole; leaving the box for a moment tells it.
HEAD = """<script>
Object.defineProperty(navigator, "language", {{get: () => "{code}"}});
Object.defineProperty(navigator, "languages", {{get: () => ["{code}"]}});
document.documentElement.lang = "{code}";
document.documentElement.dataset.charts = {charts};
document.documentElement.dataset.notices = {notices};
document.documentElement.dataset.gradio = {gradio};
document.addEventListener("click", ({{target}}) => {{
    const step = target.closest?.("[data-step]");
    if (step) document.querySelector(`#tabs [data-tab-id="${{step.dataset.step}}"]`)?.click();
}});
const every = "prompt-workbench-all";
document.documentElement.toggleAttribute("data-all", localStorage.getItem(every) === "1");
document.addEventListener("click", ({{target}}) => {{
    if (!target.closest?.("[data-all]:not(html)")) return;
    localStorage.setItem(every, document.documentElement.toggleAttribute("data-all") ? "1" : "0");
}});
// On paper: ink on white, and what is folded away unfolded.
const paper = {{dark: false}};
addEventListener("beforeprint", () => {{
    paper.dark = document.body.classList.contains("dark");
    document.body.classList.remove("dark");
    // A chart is as wide as the screen made it; told its size, it scales to the paper.
    document.querySelectorAll(".js-plotly-plot .main-svg").forEach((chart) => {{
        chart.setAttribute("viewBox", `0 0 ${{chart.width.baseVal.value}} ${{chart.height.baseVal.value}}`);
    }});
    document.querySelectorAll("details.pw-own-recipe").forEach((part) => {{ part.open = true; }});
}});
addEventListener("afterprint", () => document.body.classList.toggle("dark", paper.dark));
// The tab in view is kept as it changes: gradio tells of it late, and also when it draws the first one.
new MutationObserver((changes) => changes.forEach(({{target}}) => {{
    if (target.matches('#tabs [data-tab-id][aria-selected="true"]')) localStorage.setItem("prompt-workbench-tab", target.dataset.tabId);
}})).observe(document, {{subtree: true, attributes: true, attributeFilter: ["aria-selected"]}});
addEventListener("hashchange", () => location.hash.startsWith("#recipe=") && location.reload());
document.addEventListener("paste", ({{target}}) => setTimeout(() => {{
    // Not once the person has gone on: what they type next belongs where they are.
    if (document.activeElement === target && target.matches("textarea, input")) {{ target.blur(); target.focus(); }}
}}));
</script>
<script>{scripts}</script>"""
SCRIPTS = ("stream.js", "charts.js", "names.js", "cells.js", "story.js")

PAPER = """() => {
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("prompt-workbench-paper", dark ? "dark" : "light");
}"""

KEPT_TAB = """() => {
    document.querySelector(`#tabs [data-tab-id="${CSS.escape(localStorage.getItem("prompt-workbench-tab") ?? "")}"]`)?.click();
}"""

# Once the browser keeps the recipe of the link it is taken off the address, so that a reload shows what was edited since.
FILLED = """() => {
    if (location.hash.startsWith("#recipe=")) history.replaceState(null, "", location.pathname + location.search);
    document.body.setAttribute("data-filled", "");
}"""

LOAD = """() => {
    const kept = localStorage.getItem("prompt-workbench-paper");
    if (kept && !new URLSearchParams(location.search).has("__theme")) document.body.classList.toggle("dark", kept === "dark");
}"""


def head(language: str) -> str:
    """What stands in the document's head."""
    code = {"zh": "zh-CN"}.get(language, language)
    t = Words(language)
    charts = _attribute({name: t(f"charts.{name}") for name in ("save", "save_table", "csv")} | {"camera": t("gradio.plot_png")})
    notices = _attribute({"title": t("errors.title"), "close": t("errors.close")})
    gradio = _attribute(dict(zip(Words("en").room("gradio").values(), t.room("gradio").values(), strict=True)))
    scripts = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SCRIPTS]
    return HEAD.format(code=code, charts=charts, notices=notices, gradio=gradio, scripts="\n".join([*scripts, labelling.KEYS]))


def _attribute(words: dict[str, str]) -> str:
    """Words for the page's scripts, as a JavaScript string of JSON that is safe in a script element."""
    return json.dumps(json.dumps(words)).replace("<", "\\u003c")


def build(service: Any, language: str) -> gr.Blocks:
    """The whole page over a service, in one language."""
    t = Words(language)
    first = recipe_of(first_draft(language))
    with gr.Blocks(title=t("title"), analytics_enabled=False, fill_width=True) as page:
        stage = story.layout(t)
        opening = _header(t)
        with gr.Row(elem_classes="pw-top", equal_height=True):
            preset = gr.Dropdown(
                _presets(t), value=_preset(first), label=t("preset.label"), info=t("preset.help"), elem_id="preset", scale=2
            )
            name = gr.Textbox(first.name, label=t("preset.name"), info=t("preset.name_help"), max_lines=1, scale=2, elem_id="recipe-name")
        with gr.Row(elem_classes="pw-flow", elem_id="flow"):
            summary = gr.HTML(steps_html(recipe_steps(first, t), t), elem_id="summary")
            progress = gr.HTML(steps_html(run_steps("", None, {}, t), t), elem_id="progress")
        with gr.Accordion(t("recipe.title"), open=False, elem_id="recipe") as shown:
            code = gr.Code(
                first.to_yaml(), language="yaml", label=t("recipe.title"), show_label=False, lines=8, max_lines=24, interactive=True
            )
        draft, shown_tab, watch = gr.State(FreshDraft(first.model_dump())), gr.State("model"), gr.State(Watch())
        kept, view = (gr.BrowserState({}, storage_key=f"prompt-workbench{part}", secret="prompt-workbench") for part in ("", "-view"))
        with gr.Tabs(elem_id="tabs") as tabs:
            frame = Frame(service, t, draft, shown_tab, watch, summary, progress, code, kept, tabs)
            parts = [tab.build(frame) for tab in TABS]
        gr.HTML(glossary_html(t), elem_id="words")
        top = Part("top", tabs, [preset, name], lambda recipe: [_preset(recipe), recipe.name])
        frame.opens(preset.input, lambda recipe, chosen: load_preset(chosen) if chosen else recipe, [preset], "preset")
        with shown:
            build_sharing(frame)
        frame.edit(name.input, lambda recipe, text: {"name": (text or "").strip() or "untitled"}, [name], "recipe_name")
        frame.finish([top, *parts])
        _remember(page, frame, [top, *parts], view)
        story.wire(frame, stage, opening, page)
    return page


def _remember(page: gr.Blocks, frame: Frame, parts: list[Part], view: gr.BrowserState) -> None:
    """A fresh page shows what the browser had in view, and the run that is being worked on."""
    controls = [control for part in parts for control in part.controls]
    habits = {part.name: part.remembered for part in parts if part.remembered}

    def load(kept: Any, viewed: Any, watch: Watch, token: str) -> list[Any]:
        viewed = viewed if isinstance(viewed, dict) else {}
        recipe = portable(_given(token, frame.t) or recipe_of(restored(kept, frame.t.language)))
        run = viewed.get("run")
        known = {summary.id: summary.status for summary in frame.service.runs()}
        seen = Watch(run if run in known else newest(frame.service))
        filled = [update for part in parts for update in part.fill(recipe)]
        return [*frame.drawn(recipe), seen, True, *filled, *(shown(viewed.get(name)) for name, (_, shown) in habits.items())]

    def keep(ready: bool, watch: Watch, *values: Any) -> Any:
        # Before the first load the session holds defaults, which must not replace what the browser kept.
        return {"run": watch.run, **dict(zip(habits, values, strict=True))} if ready else gr.skip()

    ready = gr.State(False)
    remembered = [control for control, _ in habits.values()]
    outputs = [*frame.recipe_views, frame.watch, ready, *controls, *remembered]
    token = gr.Textbox(visible="hidden", elem_id="recipe-given")
    given = [frame.kept, view, frame.watch, token]
    loaded = frame.on(page.load, load, given, outputs, "load", **IN_ORDER, js=OPENED)
    page.load(None, js=LOAD)
    # In the browser, at once: an answer of the server would come after a person's first click and take them back.
    page.load(None, js=KEPT_TAB)
    loaded.then(None, js=FILLED)
    frame.refresh(loaded.then, parts)
    viewing = [ready, frame.watch, *remembered]
    frame.on(frame.shown_tab.change, keep, viewing, [view], "keep_run")
    for name, (control, _) in habits.items():
        frame.on(control.input, keep, viewing, [view], f"keep_{name}")


def _given(token: str, t: Words) -> Recipe | None:
    """The recipe in the link that the page was opened with; a damaged one is said to be so, and what was there before stays."""
    if not token:
        return None
    try:
        return recipe_of_token(token)
    except WorkbenchError as error:
        gr.Warning(esc(t.said(f"{error.message} {error.fix}")), title=t("errors.title"), duration=12)
        return None


def _header(t: Words) -> gr.Button:
    """The page's name, its languages and its paper; returns the button that opens the story."""
    links = "".join(
        f'<a href="../{code}/" lang="{code}"{" aria-current=page" if code == t.language else ""}>{esc(own)}</a>'
        for code, own in languages().items()
    )
    with gr.Row(elem_classes="pw-header", equal_height=True):
        gr.HTML(
            f'<div class="pw-brand"><h1>{esc(t("title"))}</h1><p>{esc(t("tagline"))}</p></div>'
            f'<nav class="pw-languages" aria-label="{esc(t("languages"))}">{links}</nav>'
        )
        told = story.preset(t.language) is not None
        opening = gr.Button(t("story.open"), size="sm", variant="primary", scale=0, min_width=160, elem_id="story-open", visible=told)
        paper = gr.Button(t("paper"), size="sm", scale=0, min_width=110, elem_id="paper")
    paper.click(None, js=PAPER)
    return opening


def _presets(t: Words) -> list[tuple[str, str]]:
    names = sorted(preset_names(), key=lambda name: (not name.startswith(t.language), name))
    return [(t.get(f"presets.{name}", name), name) for name in names]


def _preset(recipe: Recipe) -> str | None:
    """The preset a recipe was opened from, as far as its name tells."""
    return recipe.name if recipe.name in preset_names() else None
