"""Model: choose where it comes from, load it, see what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from workbench.errors import ModelError, WorkbenchError
from workbench.models.card import ModelCard
from workbench.models.catalog import catalog_names, catalog_recipe, entry
from workbench.models.published import published_of
from workbench.models.transfer import CancelledError
from workbench.recipe import Recipe
from workbench.ui.drawing import drawing, ideas
from workbench.ui.frame import Frame, Part, session_key
from workbench.ui.glossary import lead
from workbench.ui.markup import all_fields, amount, chips, duration, facts, heading, problem, sentence, size, table
from workbench.ui.session import ready
from workbench.ui.text import Words

SOURCES = ("embedded", "folder", "hub")
QUANTIZATIONS = ("none", "int8", "nf4", "fp4")


@dataclass(frozen=True)
class ModelView:
    """What is known of a model: tiles, parameters by part, and a note on whether it is in memory."""

    name: str
    tiles: list[tuple[str, str]]
    parts: list[tuple[str, int]]
    features: list[str]
    drawing: str = ""
    ideas: tuple[str, ...] = ()
    published: tuple[tuple[str, str, str], ...] = ()
    memory: tuple[tuple[str, int, bool], ...] = ()


def embedded_models() -> list[str]:
    """Models that come with the project, as a recipe writes them."""
    from workbench.models.loading import embedded_names

    return [f"embedded:{name}" for name in embedded_names()]


def source_of(path: str) -> str:
    """Which of `SOURCES` a recipe's model path belongs to."""
    if path.startswith("embedded:"):
        return "embedded"
    return "folder" if Path(path).is_absolute() or path.startswith((".", "~")) or Path(path).is_dir() else "hub"


def view(recipe: Recipe, t: Words) -> ModelView:
    """The model card of a recipe's model, from its configuration alone.

    Raises:
        ModelError: there is no such model.
    """
    from workbench.models.card import model_card

    card = model_card(recipe.model.path, recipe.model.quantization, revision=recipe.model.revision)
    heads = f"{card.heads}" if card.kv_heads == card.heads else t("card.heads_grouped", heads=card.heads, kv=card.kv_heads)
    tiles = [
        (t("card.kind"), t(f"card.kind_{card.kind}")),
        (t("card.family"), card.family),
        (t("card.parameters"), amount(card.parameters)),
        (t("card.memory"), size(card.memory.get(card.quantization, card.memory["none"]))),
        (t("card.layers"), str(card.layers)),
        (t("card.hidden"), f"{card.hidden_size:,}"),
        (t("card.heads"), heads),
        (t("card.vocabulary"), f"{card.vocabulary:,}"),
        (t("card.max_length"), f"{card.max_length:,}"),
    ]
    if card.cache_bytes_per_token:
        tiles.append((t("card.cache"), size(card.cache_bytes_per_token)))
    parts = [(t.get(f"card.part_{name}", name.replace("_", " ")), count) for name, count in card.parameters_by_part.items()]
    free = free_bytes()
    memory = tuple((name, needed, needed <= free) for name, needed in card.memory.items())
    features = [t.get(f"card.features.{name}", name) for name in card.features]
    return ModelView(card.name, tiles, parts, features, drawing(card, t), tuple(ideas(card, t)), _published(card, t), memory)


def _published(card: ModelCard, t: Words) -> tuple[tuple[str, str, str], ...]:
    """Rows of what the makers say against what is here; empty for a model that nobody published."""
    known = published_of(card)
    if known is None:
        return ()
    pairs = [
        ("parameters", known.parameters, amount(card.parameters)),
        ("layers", str(known.layers), str(card.layers)),
        ("hidden", f"{known.hidden_size:,}", f"{card.hidden_size:,}"),
        ("heads", f"{known.heads} / {known.kv_heads}", f"{card.heads} / {card.kv_heads}"),
        ("vocabulary", f"{known.vocabulary:,}", f"{card.vocabulary:,}"),
        ("max_length", f"{known.max_length:,}", f"{card.max_length:,}"),
    ]
    return ((known.name, "", ""), *((t(f"card.{name}"), said, here) for name, said, here in pairs))


def free_bytes() -> int:
    """Memory that a model could be loaded into now: the card's where there is one, else the computer's."""
    import torch

    from workbench.methods.footprint import free_bytes as left
    from workbench.models.loading import find_device

    return left(find_device("auto") if torch.cuda.is_available() else find_device("cpu"))


def card_html(shown: ModelView, t: Words) -> str:
    """The card as HTML."""
    total = sum(count for _, count in shown.parts) or 1
    rows = [(name, f"{count:,}", f"{count / total:.1%}") for name, count in shown.parts]
    parts = (
        heading(t("model.parts")) + table([t("model.part"), t("model.parameters"), t("model.share")], rows, numeric=frozenset({1, 2}))
        if rows
        else ""
    )
    lines = "".join(sentence(idea) for idea in shown.ideas)
    drawn = f'<div class="pw-architecture"><div>{shown.drawing}</div><div>{lines}</div></div>' if shown.drawing else ""
    head = heading(shown.name) + facts(shown.tiles) + f'<div class="pw-summary">{chips(shown.features)}</div>'
    return head + drawn + parts + _published_html(shown, t) + _memory_html(shown, t)


def _published_html(shown: ModelView, t: Words) -> str:
    if not shown.published:
        return ""
    (name, _, _), *rows = shown.published
    return heading(t("model.published", name=name)) + table(["", t("model.published_said"), t("model.published_here")], rows)


def _memory_html(shown: ModelView, t: Words) -> str:
    """Bytes of the weights in every precision, and whether this machine has them."""
    if not shown.memory:
        return ""
    rows = [
        (t(f"model.quantization_{name}"), size(needed), t("model.fits") if fits else t("model.fits_not"))
        for name, needed, fits in shown.memory
    ]
    smallest = [t(f"model.quantization_{name}") for name, _, fits in shown.memory if fits]
    advice = "" if shown.memory[0][2] else sentence(t("model.would_fit", how=smallest[0]) if smallest else t("model.never_fits"), "note")
    columns = [t("model.quantization"), t("card.memory"), t("model.this_machine")]
    return heading(t("model.memory")) + table(columns, rows, numeric=frozenset({1})) + advice


def catalog_html(t: Words) -> str:
    """Published models: what there is to download, what the weights take in memory, and whether this machine has it."""
    free, rows = free_bytes(), []
    for name in catalog_names():
        with TemporaryDirectory() as folder:
            found = entry(name, Path(folder))
        fits = t("model.fits") if found.weight_bytes <= free else t("model.fits_not")
        precision = t(f"model.quantization_{found.quantization}")
        rows.append((name, found.model, size(found.download_bytes), f"{size(found.weight_bytes)}, {precision}", fits))
    columns = ["", t("model.hub"), t("model.catalog_download"), t("card.memory"), t("model.this_machine")]
    return table(columns, rows, numeric=frozenset({2}))


def compare_html(first: ModelView, second: ModelView, t: Words) -> str:
    """Two models side by side: their figures in one table, their drawings next to each other."""
    values = dict(second.tiles)
    names = [name for name, _ in first.tiles] + [name for name, _ in second.tiles if name not in dict(first.tiles)]
    rows = [(name, dict(first.tiles).get(name, ""), values.get(name, "")) for name in names]
    drawings = f'<div class="pw-duel"><div>{first.drawing}</div><div>{second.drawing}</div></div>'
    return heading(t("model.compared")) + table(["", first.name, second.name], rows) + drawings


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    with gr.Tab(t("model.tab"), id="model") as tab:
        gr.HTML(lead(t("model.lead"), t))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                source = gr.Radio(
                    [(t(f"model.source_{name}"), name) for name in SOURCES], value="embedded", label=t("model.source"),
                    info=t("model.source_help"),
                )
                embedded = gr.Dropdown(
                    embedded_models(), label=t("model.embedded"), info=t("model.embedded_help"), elem_id="model-embedded"
                )
                path = gr.Textbox(label=t("model.path"), info=t("model.path_help"), visible=False, max_lines=1)
                hub = gr.Textbox(
                    label=t("model.hub"), info=t("model.hub_help"), visible=False, max_lines=1, placeholder="bert-base-uncased"
                )
                quantization = gr.Radio(
                    [(t(f"model.quantization_{name}"), name) for name in QUANTIZATIONS], value="none",
                    label=t("model.quantization"), info=t("model.quantization_help"),
                )
                with gr.Row():
                    load = gr.Button(t("model.load"), variant="primary", elem_id="model-load")
                    cancel = gr.Button(t("model.cancel"), visible=False, scale=0, min_width=110, elem_id="model-cancel")
                status = gr.HTML(elem_id="model-status")
            with gr.Column(scale=3, min_width=380):
                card = gr.HTML(elem_id="model-card")
                with gr.Accordion(t("model.compare"), open=False, elem_classes="pw-more", elem_id="model-compare"):
                    other = gr.Textbox(
                        label=t("model.compare_with"), info=t("model.compare_help"), max_lines=1, placeholder="embedded:tiny-zh",
                        elem_id="model-other",
                    )
                    comparison = gr.HTML(elem_id="model-comparison")
        _catalog(frame)
        gr.HTML(all_fields(t))
        converting = _conversion(t)

    _wire(frame, source, embedded, path, hub, quantization, status, card)
    _wire_loading(frame, load, cancel, status, card)
    _wire_more(frame, other, comparison, *converting)
    return Part("model", tab, [source, embedded, path, hub, quantization, status], _filled, (_shower(t), [frame.draft], [card]))


def _catalog(frame: Frame) -> None:
    """Published models that can be chosen, and what each takes."""
    t = frame.t
    with gr.Accordion(t("model.catalog"), open=False, elem_id="model-catalog") as catalog:
        gr.HTML(sentence(t("model.catalog_lead")))
        listed = gr.HTML(elem_id="model-catalog-table")
        # Counting so many architectures takes seconds, so not before somebody looks.
        frame.on(catalog.expand, lambda: catalog_html(t), [], [listed], "model_catalog_table", show_progress="minimal")
        entries = gr.Dropdown(
            catalog_names(), value=None, label=t("model.catalog_choose"), info=t("model.catalog_help"), elem_id="model-catalog-choose"
        )
        frame.opens(entries.input, lambda recipe, name: catalog_recipe(name) if name else recipe, [entries], "model_catalog")


def _conversion(t: Words) -> tuple[gr.Textbox, gr.Textbox, gr.Button, gr.HTML]:
    """Where a Baichuan checkpoint lies and where it goes to, the button, and what came of it."""
    with gr.Accordion(t("model.convert"), open=False, elem_classes="pw-more", elem_id="model-convert"):
        gr.HTML(sentence(t("model.convert_lead")))
        with gr.Row():
            checkpoint = gr.Textbox(label=t("model.convert_from"), info=t("model.convert_from_help"), max_lines=1)
            target = gr.Textbox(label=t("model.convert_to"), info=t("model.convert_to_help"), max_lines=1)
        convert = gr.Button(t("model.convert_do"), elem_id="model-convert-do")
        converted = gr.HTML(elem_id="model-converted")
    return checkpoint, target, convert, converted


def _filled(recipe: Recipe) -> list[Any]:
    model, kind = recipe.model, source_of(recipe.model.path)
    choices = embedded_models()
    if kind == "embedded" and model.path not in choices:
        choices = [*choices, model.path]
    return [
        kind,
        gr.update(choices=choices, value=model.path if kind == "embedded" else None, visible=kind == "embedded"),
        gr.update(value=model.path if kind == "folder" else "", visible=kind == "folder"),
        gr.update(value=model.path if kind == "hub" else "", visible=kind == "hub"),
        model.quantization,
        "",
    ]


def _wire_loading(frame: Frame, load: Any, cancel: Any, status: Any, card: Any) -> None:
    """Load, and a button beside it that stops at the next piece that arrives. Only the newest request of a page goes on loading, so
    cancelling is asking for nothing."""
    t, show, newest = frame.t, _shower(frame.t), frame.service.lab.newest

    def load_model(
        asked: gr.Request, draft: dict[str, Any], progress: gr.Progress = gr.Progress()  # noqa: B008  gradio's way
    ) -> tuple[str, str]:
        part = ready(draft).model
        cancelled = newest(f"{session_key(asked)} model")
        progress(0, desc=t("model.loading"))

        def tell(stage: str, share: float | None) -> None:
            if cancelled():
                raise CancelledError(part.path)
            progress(share if share is not None else 0.5, desc=stage_text(stage, t))

        loaded = frame.service.pool.get(part, progress=tell)
        memory = loaded.model.get_memory_footprint()
        text = t("model.loaded", name=loaded.name, device=str(loaded.device), memory=size(memory))
        return sentence(text, "good"), show(draft)

    def stop(asked: gr.Request) -> Any:
        newest(f"{session_key(asked)} model")
        return gr.update(visible=False)

    frame.on(load.click, lambda: gr.update(visible=True), [], [cancel], "model_load_begins", queue=False)
    done = frame.on(load.click, load_model, [frame.draft], [status, card], "model_load", show_progress="full", concurrency_limit=1)
    frame.on(done.then, lambda: gr.update(visible=False), [], [cancel], "model_load_ends", queue=False)
    frame.on(cancel.click, stop, [], [cancel], "model_cancel", queue=False)


def _wire(frame: Frame, source: Any, embedded: Any, path: Any, hub: Any, quantization: Any, status: Any, card: Any) -> None:
    show = _shower(frame.t)

    def choose_source(kind: str) -> tuple[Any, ...]:
        return tuple(gr.update(visible=kind == name) for name in SOURCES)

    frame.on(source.input, choose_source, [source], [embedded, path, hub], "model_source")
    for control, name in ((embedded, "model_embedded"), (path, "model_path"), (hub, "model_hub")):
        event = control.input if control is embedded else control.change
        changed = frame.edit(event, _assign_path, [control], name, trigger_mode="always_last")
        frame.on(changed.then, show, [frame.draft], [card], f"{name}_card")
    changed = frame.edit(quantization.input, lambda recipe, value: {"model.quantization": value}, [quantization], "model_quantization")
    frame.on(changed.then, show, [frame.draft], [card], "model_quantization_card")


def _wire_more(
    frame: Frame, other: Any, comparison: Any, checkpoint: Any, target: Any, convert: Any, converted: Any
) -> None:
    t = frame.t

    def compare(draft: dict[str, Any], path: str) -> str:
        path = (path or "").strip()
        if not path:
            return ""
        recipe = ready(draft)
        return compare_html(view(recipe, t), view(recipe.replace({"model.path": path, "model.revision": None}), t), t)

    def convert_checkpoint(source: str, folder: str, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008  gradio's way
        from workbench.models.convert import convert_model

        source, folder = (source or "").strip(), (folder or "").strip()
        if not source or not folder:
            raise ModelError(t("model.convert_empty"), fix=t("model.convert_lead"))
        answer = convert_model(source, Path(folder), lambda stage, share: progress(share or 0, desc=stage_text(stage, t)))
        return sentence(t("model.converted", to=answer["to"], parameters=f"{answer['parameters']:,}"), "good")

    frame.on(other.submit, compare, [frame.draft, other], [comparison], "model_compare")
    frame.on(
        convert.click, convert_checkpoint, [checkpoint, target], [converted], "model_convert", show_progress="full", concurrency_limit=1
    )


def stage_text(stage: str, t: Words) -> str:
    """A stage of loading in words; of a download with its bytes and the time left."""
    if getattr(stage, "total", 0):
        left = getattr(stage, "seconds_left", None)
        shown = t("model.stage_download_bytes", done=size(stage.done), total=size(stage.total))  # type: ignore[attr-defined]
        return f"{shown}, {t('model.stage_left', time=duration(left))}" if left is not None else shown
    return t.get(f"model.stage_{stage}", stage)


def _assign_path(recipe: Recipe, path: str | None) -> dict[str, Any]:
    return {"model.path": path.strip()} if path and path.strip() else {}


def _shower(t: Words) -> Any:
    def show(draft: dict[str, Any]) -> str:
        recipe = ready(draft)
        if source_of(recipe.model.path) == "hub":
            return sentence(t("model.hub_card"), "note")
        try:
            return card_html(view(recipe, t), t)
        except WorkbenchError as error:
            return problem(error.message, error.fix, t)

    return show
