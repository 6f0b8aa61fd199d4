"""Model: choose where it comes from, load it, see what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import ModelError, WorkbenchError
from workbench.methods.catalog_table import entry
from workbench.models.catalog import catalog_names, catalog_recipe
from workbench.models.known import NotHereError
from workbench.models.loading import find_device
from workbench.models.memory import DTYPE_BYTES, free_bytes
from workbench.models.transfer import CancelledError
from workbench.recipe import Recipe
from workbench.ui.forms import SELDOM, explained
from workbench.ui.frame import Frame, Part, session_key
from workbench.ui.glossary import lead
from workbench.ui.markup import all_fields, problem, sentence, size, stage_text, table
from workbench.ui.model_card import card_html, compare_html, view
from workbench.ui.session import portable, ready
from workbench.ui.text import Words

SOURCES = ("embedded", "folder", "hub")
QUANTIZATIONS = ("none", "int8", "nf4", "fp4")


def embedded_models() -> list[str]:
    """Models that come with the project, as a recipe writes them."""
    from workbench.models.loading import embedded_names

    return [f"embedded:{name}" for name in embedded_names()]


def source_of(path: str) -> str:
    """Which of `SOURCES` a recipe's model path belongs to."""
    if path.startswith("embedded:"):
        return "embedded"
    return "folder" if Path(path).is_absolute() or path.startswith((".", "~")) or Path(path).is_dir() else "hub"


def catalog_html(t: Words) -> str:
    """Published models: what there is to download, what training takes in memory, and whether this machine has it."""
    free, rows = free_bytes(find_device("auto")), []
    for name in catalog_names():
        found = entry(name)
        fits = t("model.fits") if found.training_bytes <= free else t("model.fits_not")
        precision = t(f"model.quantization_{found.quantization}")
        rows.append((name, found.model, size(found.download_bytes), precision, size(found.training_bytes), fits))
    columns = ["", t("model.hub"), t("model.catalog_download"), t("model.quantization"), t("model.catalog_memory"), t("model.this_machine")]
    return table(columns, rows, numeric=frozenset({2, 4}))


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
                revision = gr.Textbox(
                    label=t("model.revision"), info=t("model.revision_help"), visible=False, max_lines=1, placeholder="main",
                    elem_id="model-revision",
                )
                quantization = gr.Radio(
                    [(t(f"model.quantization_{name}"), name) for name in QUANTIZATIONS], value="none",
                    label=t("model.quantization"), info=explained(t("model.quantization_help"), "", t("model.quantization_none"), t),
                )
                seldom = _placing(t)
                with gr.Row():
                    load = gr.Button(t("model.load"), variant="primary", elem_id="model-load")
                    cancel = gr.Button(t("model.cancel"), visible=False, scale=0, min_width=110, elem_id="model-cancel")
                status = gr.HTML(elem_id="model-status")
            with gr.Column(scale=3, min_width=380):
                card = gr.HTML(sentence(t("working")), elem_id="model-card")
                with gr.Accordion(t("model.compare"), open=False, elem_classes="pw-more", elem_id="model-compare"):
                    other = gr.Textbox(
                        label=t("model.compare_with"), info=t("model.compare_help"), max_lines=1, placeholder="embedded:tiny-zh",
                        elem_id="model-other",
                    )
                    comparison = gr.HTML(elem_id="model-comparison")
        _catalog(frame)
        gr.HTML(all_fields(t))
        converting = _conversion(t)

    _wire(frame, source, embedded, path, hub, revision, quantization, card)
    _wire_versions(frame, source, revision, seldom, card)
    _wire_loading(frame, load, cancel, status, card)
    _wire_more(frame, other, comparison, *converting)
    shown = [source, embedded, path, hub, revision, quantization, *seldom.values(), status]
    return Part("model", tab, shown, lambda recipe: _filled(recipe, t), (_shower(frame), [frame.draft], [card]))


def _placing(t: Words) -> dict[str, gr.Dropdown | gr.Checkbox]:
    """By their fields, what is seldom chosen by hand: type of the weights, device, and how 4-bit weights are kept and multiplied."""
    types = [(t("model.auto"), "auto"), *((name, name) for name in DTYPE_BYTES)]
    said = {name: explained(t(f"model.{name}_help"), "", t("model.auto"), t) for name in ("dtype", "device", "compute_dtype")}
    with gr.Row(elem_classes=SELDOM):
        dtype = gr.Dropdown(types, value="auto", label=t("model.dtype"), info=said["dtype"], elem_id="model-dtype")
        device = gr.Dropdown(
            _devices(t), value="auto", label=t("model.device"), info=said["device"], elem_id="model-device"
        )
    with gr.Row(elem_classes=SELDOM):
        double = gr.Checkbox(
            value=True, label=t("model.double_quantization"), info=explained(t("model.double_quantization_help"), "", True, t),
            elem_id="model-double-quantization",
        )
        compute = gr.Dropdown(
            types, value="auto", label=t("model.compute_dtype"), info=said["compute_dtype"], elem_id="model-compute-dtype"
        )
    return {"dtype": dtype, "device": device, "double_quantization": double, "compute_dtype": compute}


def _devices(t: Words, chosen: str = "auto") -> list[tuple[str, str]]:
    """The devices of this machine, and the one that a recipe names."""
    import torch

    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    names = ["cpu", *(["cuda"] if cards else []), *(cards if len(cards) > 1 else [])]
    names += ["mps"] if torch.backends.mps.is_available() else []
    return [(t("model.auto"), "auto"), *((name, name) for name in dict.fromkeys([*names, chosen]) if name != "auto")]


def _wire_versions(frame: Frame, source: Any, revision: Any, seldom: dict[str, Any], card: Any) -> None:
    """Revision, and what `_placing` laid out; a revision is of one hub model and goes with it."""
    changed = frame.edit(
        revision.input, lambda recipe, value: {"model.revision": (value or "").strip() or None}, [revision], "model_revision",
    )
    frame.on(changed.then, _shower(frame), [frame.draft], [card], "model_revision_card")
    for name, control in seldom.items():
        changed = frame.edit(control.input, lambda recipe, value, name=name: {f"model.{name}": value}, [control], f"model_{name}")
        # What the weights take depends on these.
        frame.on(changed.then, _shower(frame), [frame.draft], [card], f"model_{name}_card")
    frame.on(source.input, lambda kind: gr.update(visible=kind == "hub"), [source], [revision], "model_revision_shown")


def _catalog(frame: Frame) -> None:
    """Published models that can be chosen, and what each takes."""
    t = frame.t
    with gr.Accordion(t("model.catalog"), open=False, elem_id="model-catalog") as catalog:
        gr.HTML(sentence(t("model.catalog_lead")))
        listed = gr.HTML(elem_id="model-catalog-table")
        # Counting a step of so many recipes takes half a minute, so not before somebody looks.
        frame.on(catalog.expand, lambda: catalog_html(t), [], [listed], "model_catalog_table", show_progress="minimal")
        entries = gr.Dropdown(
            catalog_names(), value=None, label=t("model.catalog_choose"), info=t("model.catalog_help"), elem_id="model-catalog-choose"
        )
        frame.opens(entries.input, lambda recipe, name: with_entry(recipe, name) if name else recipe, [entries], "model_catalog")


def with_entry(recipe: Recipe, name: str) -> Recipe:
    """A recipe with the model and the way of training of a catalog's entry, over its own rows and prompt. An entry for another task brings
    its own of these too; one over the same rows its prompt, and its PET ensemble, whose label words are made for them."""
    entry = portable(catalog_recipe(name))
    if entry.task != recipe.task:
        return entry
    method, training, model = entry.method, entry.training.model_dump(), entry.model.model_dump()
    taken = recipe.replace({"model": model, "method": method, "training": training, "prompt.max_length": entry.prompt.max_length})
    same = (portable(recipe).data.train, recipe.data.columns) == (entry.data.train, entry.data.columns)
    own = {"prompt": entry.prompt.model_dump(), "pet": entry.pet and entry.pet.model_dump()}
    # Over other rows an ensemble needs the patterns that a person has written for them.
    patterns = {"pet": own["pet"]} if len(recipe.prompt.templates) > 1 else {"pet": None}
    return taken.replace(own if same else patterns)


def _conversion(t: Words) -> tuple[gr.Textbox, gr.Textbox, gr.Button, gr.Button, gr.HTML]:
    """Where a Baichuan checkpoint lies and where it goes to, the button, the one that stops it, and what came of it."""
    with gr.Accordion(t("model.convert"), open=False, elem_classes="pw-more", elem_id="model-convert"):
        gr.HTML(sentence(t("model.convert_lead")))
        with gr.Row():
            checkpoint = gr.Textbox(label=t("model.convert_from"), info=t("model.convert_from_help"), max_lines=1)
            target = gr.Textbox(label=t("model.convert_to"), info=t("model.convert_to_help"), max_lines=1)
        with gr.Row():
            convert = gr.Button(t("model.convert_do"), elem_id="model-convert-do")
            cancel = gr.Button(t("model.cancel"), visible=False, scale=0, min_width=110, elem_id="model-convert-cancel")
        converted = gr.HTML(elem_id="model-converted")
    return checkpoint, target, convert, cancel, converted


def _filled(recipe: Recipe, t: Words) -> list[Any]:
    model, kind = recipe.model, source_of(recipe.model.path)
    choices = embedded_models()
    if kind == "embedded" and model.path not in choices:
        choices = [*choices, model.path]
    return [
        kind,
        gr.update(choices=choices, value=model.path if kind == "embedded" else None, visible=kind == "embedded"),
        gr.update(value=model.path if kind == "folder" else "", visible=kind == "folder"),
        gr.update(value=model.path if kind == "hub" else "", visible=kind == "hub"),
        gr.update(value=model.revision or "", visible=kind == "hub"),
        model.quantization,
        model.dtype,
        gr.update(choices=_devices(t, model.device), value=model.device),
        model.double_quantization,
        model.compute_dtype,
        "",
    ]


def _wire_loading(frame: Frame, load: Any, cancel: Any, status: Any, card: Any) -> None:
    """Load, and a button beside it that stops at the next piece that arrives. Only the newest request of a page goes on loading, so
    cancelling is asking for nothing."""
    t, show, newest = frame.t, _shower(frame), frame.service.lab.newest

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

    done = frame.on(load.click, load_model, [frame.draft], [status, card], "model_load", show_progress="full", concurrency_limit=1)
    _wire_cancel(frame, load, done, cancel, "model")


def _wire_cancel(frame: Frame, begin: Any, done: Any, cancel: Any, name: str) -> None:
    """A button that is there from a click on `begin` until what it began is `done`, and takes the newest request of that name back."""
    newest = frame.service.lab.newest

    def stop(asked: gr.Request) -> Any:
        newest(f"{session_key(asked)} {name}")
        return gr.update(visible=False)

    frame.on(begin.click, lambda: gr.update(visible=True), [], [cancel], f"{name}_begins", queue=False)
    frame.on(done.then, lambda: gr.update(visible=False), [], [cancel], f"{name}_ends", queue=False)
    frame.on(cancel.click, stop, [], [cancel], f"{name}_cancel", queue=False)


def _wire(frame: Frame, source: Any, embedded: Any, path: Any, hub: Any, revision: Any, quantization: Any, card: Any) -> None:
    show = _shower(frame)

    def choose_source(kind: str) -> tuple[Any, ...]:
        return tuple(gr.update(visible=kind == name) for name in SOURCES)

    def take_source(recipe: Recipe, kind: str, *places: str | None) -> dict[str, Any]:
        return _assign_path(recipe, places[SOURCES.index(kind)])

    def kept_revision(draft: dict[str, Any]) -> str:
        return draft["model"]["revision"] or ""

    frame.on(source.input, choose_source, [source], [embedded, path, hub], "model_source_shown")
    changed = frame.edit(source.input, take_source, [source, embedded, path, hub], "model_source")
    frame.on(changed.then, kept_revision, [frame.draft], [revision], "model_source_revision")
    frame.on(changed.then, show, [frame.draft], [card], "model_source_card")
    for control, name in ((embedded, "model_embedded"), (path, "model_path"), (hub, "model_hub")):
        event = control.input if control is embedded else control.change
        changed = frame.edit(event, _assign_path, [control], name)
        frame.on(changed.then, kept_revision, [frame.draft], [revision], f"{name}_revision")
        frame.on(changed.then, show, [frame.draft], [card], f"{name}_card")
    changed = frame.edit(quantization.input, lambda recipe, value: {"model.quantization": value}, [quantization], "model_quantization")
    frame.on(changed.then, show, [frame.draft], [card], "model_quantization_card")


def _wire_more(
    frame: Frame, other: Any, comparison: Any, checkpoint: Any, target: Any, convert: Any, cancel: Any, converted: Any
) -> None:
    t, newest = frame.t, frame.service.lab.newest

    def compare(draft: dict[str, Any], path: str) -> str:
        path = (path or "").strip()
        if not path:
            return ""
        recipe = ready(draft)
        both = (recipe, recipe.replace({"model.path": path, "model.revision": None}))
        return compare_html(*(view(one, t, frame.service.pool, ask=True) for one in both), t)

    def convert_checkpoint(
        asked: gr.Request, source: str, folder: str, progress: gr.Progress = gr.Progress()  # noqa: B008  gradio's way
    ) -> str:
        from workbench.models.convert import convert_model

        source, folder = (source or "").strip(), (folder or "").strip()
        if not source or not folder:
            raise ModelError(t("model.convert_empty"), fix=t("model.convert_lead"))
        cancelled = newest(f"{session_key(asked)} model_convert")

        def tell(stage: str, share: float | None) -> None:
            if cancelled():
                raise ModelError(t("model.convert_cancelled"), fix=t("model.convert_cancelled_fix"))
            progress(share or 0, desc=stage_text(stage, t))

        answer = convert_model(source, Path(folder), tell)
        return sentence(t("model.converted", to=answer["to"], parameters=f"{answer['parameters']:,}"), "good")

    frame.on(other.submit, compare, [frame.draft, other], [comparison], "model_compare")
    done = frame.on(
        convert.click, convert_checkpoint, [checkpoint, target], [converted], "model_convert", show_progress="full", concurrency_limit=1
    )
    _wire_cancel(frame, convert, done, cancel, "model_convert")


def _assign_path(recipe: Recipe, path: str | None) -> dict[str, Any]:
    if not path or not path.strip():
        return {}
    same = path.strip() == recipe.model.path
    return {"model.path": path.strip()} if same else {"model.path": path.strip(), "model.revision": None}


def _shower(frame: Frame) -> Any:
    t = frame.t

    def show(draft: dict[str, Any]) -> str:
        try:
            return card_html(view(ready(draft), t, frame.service.pool), t)
        except NotHereError:
            return sentence(t("model.hub_card"), "note")
        except WorkbenchError as error:
            return problem(error.message, error.fix, t)

    return show
