"""A run taken away as ONNX: its graph, its tokenizer's rules, and a predict.py over onnxruntime that needs neither torch nor transformers.

    model.onnx  tokenizer.json  onnx.json (labels, templates, lengths)  predict.py  workbench/ (how prompts are written)
"""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.models.foreign import foreign
from workbench.recipe import Recipe
from workbench.runs.store import write_whole

if TYPE_CHECKING:
    from workbench.serving.tuned import Tuned

NEEDED = ("onnx", "onnxscript", "onnxruntime")
SPECIAL = (
    "mask_token_id", "sep_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "all_special_ids",
    "all_special_tokens",
)  # fmt: skip
PROMPT_PARTS = (
    "__init__.py", "errors.py", "prompts/__init__.py", "prompts/template.py", "prompts/filters.py", "prompts/tokenization.py",
    "prompts/soft.py", "prompts/encoding.py",
)  # fmt: skip
OTHERWISE = "Take the folder or the merged model away instead."


def check_onnx(recipe: Recipe) -> None:
    """Refuses a run that cannot become ONNX, before anything is loaded.

    Raises:
        RunError: it writes text, its weights are quantized, or packages are missing.
    """
    if recipe.task != "classification":
        raise RunError("Only runs that choose between classes can become ONNX, and this one writes text.", fix=OTHERWISE)
    if recipe.model.quantization != "none":
        raise RunError(
            f"Layers in {recipe.model.quantization} are bitsandbytes' own, and ONNX has none of them.",
            fix="Take the merged model away instead, or train with model.quantization none.",
        )
    if any(find_spec(name) is None for name in NEEDED):
        raise RunError("ONNX needs packages that are not installed here.", fix=f"Run `pip install {' '.join(NEEDED)}` and try again.")


def write_onnx(recipe: Recipe, tuned: Tuned, rows: list[dict[str, str]], folder: Path) -> None:
    """Writes graph, tokenizer, predict.py and what they need into an existing folder.

    Args:
        tuned: on the CPU, with the run's weights.
        rows: fields of a few examples, for the exporter to follow.

    Raises:
        RunError: a causal model, or one that torch's exporter cannot follow.
    """
    from workbench.data.dataset import InputExample
    from workbench.serving.graph import write_graph

    loaded, classifier = tuned.loaded, tuned.classifier
    if loaded.kind != "masked":
        raise RunError("Only masked models can become ONNX, and this one is causal.", fix=OTHERWISE)
    examples = [InputExample(str(number), dict(row), None) for number, row in enumerate(rows)]
    with foreign(lambda error: RunError(f"This model cannot be written as ONNX: {_first_line(error)}.", fix=OTHERWISE)):
        write_graph(classifier, examples, folder / "model.onnx")
    soft = tuned.attached.soft if tuned.attached else None
    tokenizer = loaded.tokenizer
    about: dict[str, Any] = {
        "labels": list(classifier.labels),
        "fields": list(recipe.fields),
        "templates": [encoder.template.source for encoder in classifier.encoders],
        "plan": [[template, context] for template, context in classifier.plan],
        "max_length": classifier.max_length,
        "pad": classifier.pad_id,
        "soft": {"start": soft.start, "length": soft.length} if soft else None,
        "tokenizer": {name: getattr(tokenizer, name) for name in SPECIAL},
    }
    write_whole(folder / "onnx.json", json.dumps(about, ensure_ascii=False, indent=1))
    write_whole(folder / "tokenizer.json", tokenizer.backend_tokenizer.to_str())
    write_whole(folder / "requirements.txt", "".join(f"{name}=={version(name)}\n" for name in ("onnxruntime", "tokenizers", "numpy")))
    shutil.copyfile(Path(__file__).with_name("onnx_template.py"), folder / "predict.py")
    for part in PROMPT_PARTS:
        (folder / "workbench" / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(__file__).resolve().parent.parent / part, folder / "workbench" / part)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200].rstrip(".: ")
