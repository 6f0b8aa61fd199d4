"""Commands about models before any training: what one is and what it takes, and the conversion of Baichuan's layout. Flags in, the JSON
object out; lines for people on stderr."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.recipe import ModelPart, Recipe, resolve_path
from workbench.terminal import say, watched

GIB = 2**30


def inspect(arguments: argparse.Namespace) -> dict[str, Any]:
    """inspect MODEL [--quantization Q] [--revision R] [--training]: the model card, and what training it takes."""
    from workbench.models.card import model_card
    from workbench.models.known import NotHereError, known_model

    path = arguments.model if arguments.model.startswith("embedded:") else resolve_path(arguments.model, Path.cwd())
    part = ModelPart(path=path, revision=arguments.revision, quantization=arguments.quantization)
    try:
        card = known_model(part).card(part)
    except NotHereError:
        card = model_card(part)
    content = card.to_json()
    for name, value in content.items():
        if isinstance(value, (str, int, float)):
            say(f"{name}: {value}")
    return content | {"training": _training_memory(part)} if arguments.training else content


def _training_memory(part: ModelPart) -> dict[str, Any]:
    """Bytes that training takes at its peak, for every method and quantization, at a recipe's default batch and length."""
    from workbench.methods.memory_table import memory_table
    from workbench.models.known import known_model

    known = known_model(part)
    recipe = Recipe(model=part, task="generation" if known.kind == "causal" else "classification")
    rows = memory_table(recipe, known)
    batch, length = recipe.training.batch_size, recipe.prompt.max_length
    say(f"GiB to train {batch} rows of {length} tokens at a time; * is more than the {rows[0].free_bytes / GIB:.1f} GiB that are free:")
    say(f"{'method':<14}" + "".join(f"{name:>9}" for name in rows[0].needed))
    for row in rows:
        cells = [_gib(needed) + ("" if needed is None or name in row.fits else "*") for name, needed in row.needed.items()]
        say(f"{row.method:<14}" + "".join(f"{cell:>9}" for cell in cells))
    methods, cache = {row.method: row.needed for row in rows}, max(row.cache_bytes for row in rows)
    if cache:
        say(f"The answers that an evaluation writes at once keep {_gib(cache)} GiB of keys and values, which is counted too.")
    sizes = {"batch_size": batch, "length": length, "free_bytes": rows[0].free_bytes, "cache_bytes": cache}
    return {"task": recipe.task, **sizes, "methods": methods}


def _gib(needed: int | None) -> str:
    return "-" if needed is None else f"{needed / GIB:.2f}"


def convert(arguments: argparse.Namespace) -> dict[str, Any]:
    """convert MODEL --to DIR [--revision R]: a Baichuan 7B checkpoint, in its own layout, as a Llama folder."""
    from workbench.models.convert import convert_model

    path = resolve_path(arguments.model, Path.cwd())
    with watched() as tell:
        answer = convert_model(path, Path(arguments.to), tell, revision=arguments.revision)
    say(f"Converted to {answer['to']}: {answer['parameters']:,} parameters in {answer['shards']} files.")
    return answer


def warn_of_memory(recipe: Recipe) -> None:
    """Says so when a recipe needs more memory than there is, and what would fit; it is tried all the same, since this is an estimate."""
    from workbench.methods.footprint import misfit

    with contextlib.suppress(WorkbenchError):  # the run will say what is wrong with the recipe
        found = misfit(recipe)
        if found is not None:
            say(f"This needs about {found.estimate.total / GIB:.1f} GiB of memory, and {found.free_bytes / GIB:.1f} GiB are free.")
            for change, total in found.advice:
                fields = " ".join(f"--set {field}={_set_value(value)}" for field, value in change.items())
                say(f"  {total / GIB:.1f} GiB with {fields}")


def _set_value(value: Any) -> str:
    return f"'{{name: {value['name']}}}'" if isinstance(value, dict) else str(value).lower()
