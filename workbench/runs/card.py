"""The model card of an export: what it was tuned from, on what, how well it did, and how to ask it."""

from __future__ import annotations

from typing import Any

from workbench.recipe import Recipe
from workbench.runs.record import FIGURES


def model_card_text(recipe: Recipe, about: dict[str, Any], result: dict[str, Any]) -> str:
    """Markdown for model_card.md.

    Args:
        recipe: the exported recipe; its file names carry no folders.
        about: content of export.json.
        result: the run's figures; missing ones are left out.
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
            "## Ask it",
            "",
            "    pip install -r requirements.txt",
            '    python predict.py "A sentence."',
            "",
            *_serving(recipe, about),
            "The licence of the base model and of the training data apply. The figures hold for texts like the validation rows, no others.",
            "",
        ]
    )


def _serving(recipe: Recipe, about: dict[str, Any]) -> list[str]:
    """How other programs serve the weights, where they can."""
    causal = recipe.task == "generation"
    lines = []
    if about["form"] == "merged":
        pipeline = "text-generation" if causal else "fill-mask"
        lines += [
            "With transformers, the prompt written out:", "", "```python", "from transformers import pipeline", "",
            f'ask = pipeline("{pipeline}", model="model")', "```", "",
        ]  # fmt: skip
    if causal and (about["form"] == "merged" or recipe.method.get("name") == "lora"):
        base = "model" if about["base_model"] == "included" else about["base_model"]
        adapter = f" --enable-lora --max-lora-rank {max(8, recipe.method.get('r', 8))} --lora-modules tuned=tuned"
        lora = "" if about["form"] == "merged" else adapter
        lines += ["With vLLM, behind an address that speaks OpenAI's protocol:", "", f"    vllm serve {base}{lora}", ""]
    return ["## Serve it", "", *lines] if lines else []


def _plain(text: str) -> str:
    """A name as inert text on one Markdown line."""
    return " ".join(text.split()).replace("<", "&lt;")
