"""The model card of an export: what it was tuned from, on what, how well it did, and how to ask it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.recipe import Recipe
from workbench.runs.record import FIGURES

if TYPE_CHECKING:
    from workbench.runs.card_asking import Asking


def model_card_text(recipe: Recipe, about: dict[str, Any], result: dict[str, Any], asking: Asking | None = None) -> str:
    """Markdown for model_card.md.

    Args:
        recipe: the exported recipe; its file names carry no folders.
        about: content of export.json.
        result: the run's figures; missing ones are left out.
        asking: how other programs ask the model; None leaves that out.
    """
    metrics = result.get("metrics") or {}
    figures = [f"| {name} | {metrics[name]:.4f} |" for name in FIGURES if isinstance(metrics.get(name), float)]
    writes = recipe.task == "generation"
    what = "A model that writes" if writes else f"A classifier for {', '.join(_plain(label) for label in about['labels'])}"
    table = ["## Measured on the validation rows", "", "| metric | value |", "|---|---|", *figures, ""] if figures else []
    templates = [f"- `{template}`" for template in recipe.prompt.templates]
    place = "model.onnx" if about["form"] == "onnx" else "model/"
    base = f"in `{place}`" if about["base_model"] == "included" else f"`{about['base_model']}`, to be downloaded or present"
    return "\n".join(
        [
            f"# {_plain(recipe.name)}",
            "",
            f"{what}, tuned by Prompt Workbench (run {about['run']}).",
            "",
            f"- Method: `{recipe.method.get('name')}`{', merged into the weights' if about['merged'] else ''}",
            f"- {'Model' if about['merged'] else 'Base model'}: {base}; quantization: {recipe.model.quantization}",
            f"- Training data: `{recipe.data.train}`, seed {recipe.training.seed}",
            *([f"- SHA-256 of that file: `{about['data']['sha256']}`"] if "sha256" in about.get("data", {}) else []),
            "",
            "## Templates",
            "",
            *templates,
            "",
            *table,
            *_asked(recipe, about),
            *_serving(recipe, about, asking),
            "The licence of the base model and of the training data apply. The figures hold for texts like the validation rows, no others.",
            "",
        ]
    )


ADAPTER = """from pathlib import Path

from workbench.models.pool import ModelPool
from workbench.recipe import load_recipe
{imports}

recipe = load_recipe("recipe.yaml")
{ask}"""
CHOOSES = """labels = {labels}
predictor = tuned_predictor(ModelPool(), recipe, labels, Path("."))
print(predictor.predict([{row}])[0].probabilities)"""
WRITES = """generator = tuned_generator(ModelPool().fresh(recipe.model), recipe, Path("."))
print(generator.answers([{row}], Sampling(max_new_tokens=recipe.prompt.max_new_tokens))[0])"""


def _asked(recipe: Recipe, about: dict[str, Any]) -> list[str]:
    """How the folder answers: by its own program, or, of the weights alone, in the workbench with the base model beside them."""
    if about["form"] != "adapter":
        return ["## Ask it", "", "    pip install -r requirements.txt", '    python predict.py "A sentence."', ""]
    row = dict.fromkeys(recipe.fields, "A sentence.")
    if recipe.task == "generation":
        imports, ask = "from workbench.serving.generator import Sampling, tuned_generator", WRITES.format(row=row)
    else:
        imports, ask = "from workbench.runs.answers import tuned_predictor", CHOOSES.format(labels=tuple(about["labels"]), row=row)
    said = "These are the tuned weights alone; they belong to the base model above. In this folder, where the workbench can be imported:"
    peft = ["peft reads them too: `PeftModel.from_pretrained(base, FOLDER)`.", ""] if about.get("peft") else []
    return ["## Ask it", "", said, "", "```python", *ADAPTER.format(imports=imports, ask=ask).split("\n"), "```", "", *peft]


def _serving(recipe: Recipe, about: dict[str, Any], asking: Asking | None) -> list[str]:
    """How other programs ask the weights, where they can."""
    if asking is None or about["form"] == "onnx":
        return []
    lines = [*_with_transformers(asking), *_what_it_is(asking)] if about["form"] == "merged" else []
    if asking.request and (about["form"] == "merged" or recipe.method.get("name") == "lora"):
        lines += _with_vllm(recipe, about, asking)
    return ["## Serve it", "", *lines] if lines else []


def _with_transformers(asking: Asking) -> list[str]:
    if not asking.python:
        return []
    return ["With transformers, the prompt written out:", "", "```python", *asking.python.split("\n"), "```", ""]


def _what_it_is(asking: Asking) -> list[str]:
    """What the weights are to a program that reads them, and what the run does besides."""
    head = "AutoModelForCausalLM" if asking.causal else "AutoModelForMaskedLM"
    place = "as the next token" if asking.causal else "at the mask"
    if asking.writes:
        how = f"`model/` is an `{head}`: it writes on from the prompt."
    elif asking.trained:
        how = f"`model/` is an `{head}` without the part that chooses a class."
    else:
        how = f"`model/` is an `{head}`. A class is chosen by the scores of its label words {place}, not by text that is written."
    return [" ".join((how, *asking.beyond)), ""]


def _with_vllm(recipe: Recipe, about: dict[str, Any], asking: Asking) -> list[str]:
    base = "model" if about["base_model"] == "included" else about["base_model"]
    merged = about["form"] == "merged"
    adapter = f" --enable-lora --max-lora-rank {max(8, recipe.method.get('r', 8))} --lora-modules tuned=tuned"
    body = json.dumps({"model": base if merged else "tuned", **(asking.request or {})}, ensure_ascii=False).replace("'", "\\u0027")
    answer = [] if asking.writes else [
        "The one token that comes back is the likeliest label word, and `logprobs` holds the scores of the others. "
        "Where a class has several words, `predict.py` weighs them all.", "",
    ]  # fmt: skip
    return [
        "With vLLM, behind an address that speaks OpenAI's protocol:", "", f"    vllm serve {base}{'' if merged else adapter}",
        f"    curl http://localhost:8000/v1/completions -H 'Content-Type: application/json' -d '{body}'", "", *answer,
    ]  # fmt: skip


def _plain(text: str) -> str:
    """A name as inert text on one Markdown line."""
    return " ".join(text.split()).replace("<", "&lt;")
