"""A run taken away: a folder that answers in a fresh process without the page, the queue or this project beside it.

    recipe.yaml  tuned/ (when merged only what is not the model's: a trained verbalizer)  model/ (merged, or a small base model)
    predict.py  workbench/ (the modules that predicting needs)  requirements.txt  model_card.md  export.json

Of an adapter the weights themselves, with recipe.yaml, model_card.md and export.json.

The folder is built beside its destination and renamed into place only after its predict.py, run in a process of its own, has given
the run's own answers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from workbench.errors import RunError, nearest
from workbench.models.transfer import Progress, untold
from workbench.recipe import Recipe
from workbench.runs.card import model_card_text
from workbench.runs.card_asking import Asking, asking_of
from workbench.runs.files import answering
from workbench.runs.onnx import check_onnx, write_onnx
from workbench.runs.proof import TOKENS_COMPARED, Form, Proof, proof_of
from workbench.runs.service import RunService
from workbench.runs.store import write_whole
from workbench.runs.takeaway import fingerprint, shareable

FORMS: tuple[Form, ...] = get_args(Form)
# The run's own answers, the weights and what goes with them, and the export's answers in a process of its own.
STAGES = ("ask", "weigh", "prove")
LARGEST_COPIED_BASE_BYTES = 200_000_000
PACKAGE = Path(__file__).resolve().parent.parent
PACKAGE_PARTS = (
    "__init__.py", "access.py", "errors.py", "options.py", "recipe.py", "recipe_places.py", "yaml_text.py", "data", "prompts", "models",
    "methods", "serving",
)  # fmt: skip
SECONDS_FOR_CHECK = 600


def export_run(
    service: RunService, run_id: str, to: str | Path, form: Form = "folder", progress: Progress = untold
) -> dict[str, Any]:
    """Exports a run and proves that the export, where it can answer by itself, answers as the run does.

    Args:
        to: the folder to make; it must not exist, or be empty.
        form: `folder`, base model and tuned weights; `merged`, one model with the tuning in its weights, which any program can load;
            `onnx`, a graph for onnxruntime, without torch; `adapter`, the tuned weights alone, which answer with their base model.
        progress: told each of `STAGES` when it begins; what it raises ends the work, and nothing is left behind.

    Returns:
        {"run", "to", "form", "merged": whether the tuning is in the weights, "base_model": "included" or its name, "rows_compared",
        "largest_difference"}; of an adapter no rows are compared.

    Raises:
        RunError: no such form, nothing tuned yet, the folder is taken, the run cannot become ONNX, or the export does not answer as the
            run does; nothing is left behind then.
    """
    if form not in FORMS:
        raise RunError(f"There is no export '{str(form)[:64]}'.", fix=nearest(str(form)[:64], FORMS))
    with _new_folder(Path(to).expanduser().resolve()) as (target, staged):
        write = _write_weights if form == "adapter" else _write_proven
        found = write(service, run_id, staged, form, lambda stage: progress(stage, STAGES.index(stage) / len(STAGES)))
    return {"run": run_id, "to": str(target), "form": form, **found}


@contextmanager
def _new_folder(target: Path) -> Iterator[tuple[Path, Path]]:
    """`target`, and a folder beside it that takes its place once all that is to be in it has been written."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(f"{target} already exists.", fix="Give a new folder with --to.")
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        staged.mkdir(parents=True)
        yield target, staged
        if target.exists():
            target.rmdir()
        os.replace(staged, target)
    except OSError as error:
        raise RunError(f"The export to {target} failed: {error.strerror or error}.", fix="Give a folder on a disk with room.") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _write_proven(service: RunService, run_id: str, staged: Path, form: Form, begin: Callable[[str], None]) -> dict[str, Any]:
    """A folder that answers, held against the run's own answers."""
    recipe, tuned = service.store.answer_recipe(run_id), service.tuned_folder(run_id)
    if form == "onnx":
        check_onnx(recipe)
    begin("ask")
    proof = proof_of(service, run_id, recipe, form)
    begin("weigh")
    base = _write_model(service, recipe, proof, tuned, staged, form)
    merged = form != "folder"
    about = {"run": run_id, "name": recipe.name, "labels": proof.labels, "form": form, "merged": merged, "base_model": base}
    about["data"] = fingerprint(recipe.data.train)
    _write_rest(staged, recipe, about, service)
    begin("prove")
    difference = proof.difference(_answers(staged, proof))
    return {"merged": merged, "base_model": base, "rows_compared": len(proof.rows), "largest_difference": difference}


def _write_weights(service: RunService, run_id: str, staged: Path, form: Form, begin: Callable[[str], None]) -> dict[str, Any]:
    """The tuned weights as they lie in the run, with the recipe under which they answer; other programs bring the base model."""
    begin("weigh")
    shutil.copytree(service.tuned_folder(run_id), staged, dirs_exist_ok=True)
    answering = service.store.answer_recipe(run_id)
    recipe = shareable(answering)
    labels = [] if recipe.task == "generation" else list(service.labels(run_id))
    about = {"run": run_id, "name": recipe.name, "labels": labels, "form": form, "merged": False, "base_model": recipe.model.path}
    about |= {"data": fingerprint(answering.data.train), "peft": (staged / "adapter_config.json").is_file()}
    _write_about(staged, recipe, about, service, None)
    return {"merged": False, "base_model": recipe.model.path, "rows_compared": 0, "largest_difference": None}


def _write_model(service: RunService, recipe: Recipe, proof: Proof, tuned: Path, staged: Path, form: Form) -> str:
    """Puts the weights and what answers with them in place, and says where the base model is: "included" or its name."""
    if form == "onnx":
        _write_graph(service, recipe, proof, tuned, staged)
        return "included"
    _write_program(staged, recipe, form)
    if form == "merged":
        _merge(service, recipe, tuple(proof.labels), tuned, staged)
        return "included"
    shutil.copytree(tuned, staged / "tuned")
    from workbench.models.loading import find_model

    found = find_model(recipe.model.path, recipe.model.revision)
    if not Path(found).is_dir():
        return recipe.model.path
    files = [p for p in Path(found).iterdir() if p.is_file() and p.suffix not in (".bin", ".pt", ".pth", ".pkl", ".py")]
    if sum(p.stat().st_size for p in files) > LARGEST_COPIED_BASE_BYTES:
        return recipe.model.path
    (staged / "model").mkdir()
    for file in files:
        shutil.copyfile(file, staged / "model" / file.name)
    return "included"


def _merge(service: RunService, recipe: Recipe, labels: tuple[str, ...], tuned: Path, staged: Path) -> None:
    loaded = service.pool.fresh(recipe.model)
    if recipe.task == "generation":
        from workbench.serving.generator import tuned_generator

        attached = tuned_generator(loaded, recipe, tuned).attached
        model = attached.merge() if attached else loaded.model
    else:
        from workbench.serving.tuned import tune

        whole = tune(loaded, recipe, labels)
        whole.restore(tuned)
        (staged / "tuned").mkdir()
        whole.save_verbalizer(staged / "tuned")
        if not any((staged / "tuned").iterdir()):
            (staged / "tuned").rmdir()
        model = whole.merge()
    model.save_pretrained(staged / "model", safe_serialization=True)
    loaded.tokenizer.save_pretrained(staged / "model")


def _write_rest(staged: Path, recipe: Recipe, about: dict[str, Any], service: RunService) -> None:
    changes: dict[str, Any] = {
        f"data.{name}": Path(value).name for name in ("train", "validation", "unlabeled") if (value := getattr(recipe.data, name))
    }
    if about["base_model"] == "included":
        changes |= {"model.path": "model", "model.revision": None}
    if about["merged"]:
        changes["model.quantization"] = "none"
        if recipe.model.dtype in ("float16", "bfloat16") and _written_type(staged / "model") == "float32":
            changes["model.dtype"] = "float32"  # its own weights trained, and answer, in it
    exported = recipe.replace(changes)
    _write_about(staged, exported, about, service, _asking(service, about))


def _written_type(model: Path) -> str | None:
    """The type that a model folder says its weights are in; None of a graph."""
    config = model / "config.json"
    return json.loads(config.read_text(encoding="utf-8")).get("dtype") if config.is_file() else None


def _write_about(staged: Path, recipe: Recipe, about: dict[str, Any], service: RunService, asking: Asking | None) -> None:
    write_whole(staged / "recipe.yaml", recipe.to_yaml())
    write_whole(staged / "export.json", json.dumps(about, ensure_ascii=False, indent=1))
    write_whole(staged / "model_card.md", model_card_text(recipe, about, service.result(about["run"]), asking))


def _asking(service: RunService, about: dict[str, Any]) -> Asking | None:
    if about["form"] == "onnx":
        return None
    return asking_of(answering(service, about["run"]))


def _write_graph(service: RunService, recipe: Recipe, proof: Proof, tuned: Path, staged: Path) -> None:
    from workbench.serving.tuned import tune

    whole = tune(service.pool.fresh(recipe.model.model_copy(update={"device": "cpu"})), recipe, tuple(proof.labels))
    whole.restore(tuned)
    write_onnx(recipe, whole, proof.rows, staged)


def _write_program(staged: Path, recipe: Recipe, form: Form) -> None:
    write_whole(staged / "requirements.txt", _requirements(recipe, form))
    shutil.copyfile(Path(__file__).with_name("predict_template.py"), staged / "predict.py")
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PACKAGE_PARTS:
        source = PACKAGE / part
        if source.is_dir():
            shutil.copytree(source, staged / "workbench" / part, ignore=ignore)
        else:
            (staged / "workbench").mkdir(exist_ok=True)
            shutil.copyfile(source, staged / "workbench" / part)


def _requirements(recipe: Recipe, form: Form) -> str:
    names = ["torch", "transformers", "safetensors", "numpy", "pandas", "pydantic", "pyyaml", "openpyxl"]
    if recipe.method.get("name") == "lora" and form == "folder":
        names.append("peft")
    if recipe.model.quantization != "none" and form == "folder":
        names.append("bitsandbytes")
    lines = []
    for name in names:
        try:
            lines.append(f"{name}=={version(name).split('+')[0]}")
        except PackageNotFoundError:
            lines.append(name)
    return "\n".join(lines) + "\n"


def _answers(staged: Path, proof: Proof) -> list[dict[str, Any]]:
    """What the export's predict.py answers to the proof's rows in a fresh process."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    short = [] if proof.labels else ["--tokens", str(TOKENS_COMPARED)]
    with tempfile.TemporaryDirectory() as elsewhere:
        try:
            process = subprocess.run(
                [sys.executable, str(staged / "predict.py"), "--fields-from-stdin", *short],
                input=json.dumps(proof.rows).encode("utf-8"),
                capture_output=True,
                cwd=elsewhere,
                env=environment,
                timeout=SECONDS_FOR_CHECK,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RunError(
                f"The export gave no answers to {len(proof.rows)} rows within {SECONDS_FOR_CHECK} seconds.",
                fix="Try again when this machine has less to do, or on a faster one; the run itself is unharmed.",
            ) from None
    if process.returncode != 0:
        words = process.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        raise RunError(f"The export does not run by itself: {words[-1][:300]}", fix="Nothing was exported; the run itself is unharmed.")
    return json.loads(process.stdout)
