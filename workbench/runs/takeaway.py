"""What can be taken away from a run: a folder that answers, a merged model, the adapter alone, or the ways to train it again.

    folder, merged   what `export` makes, proven against the run before it is there
    onnx             a graph for onnxruntime, proven in the same way
    adapter          the tuned weights as they lie in the run, with recipe, card and fingerprint of the data
    recipe           recipe.yaml
    script           a plain Python script that trains the recipe and answers
    command          one line for the command line
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING, Any, Literal

from workbench.access import refuse_visitors
from workbench.errors import RunError
from workbench.models.transfer import Progress, untold
from workbench.recipe import PROJECT, Recipe
from workbench.settings import DISK_FLOOR_BYTES

if TYPE_CHECKING:
    from workbench.runs.service import RunService

Kind = Literal["folder", "merged", "onnx", "adapter", "recipe", "script", "command"]
KINDS: tuple[Kind, ...] = ("folder", "merged", "onnx", "adapter", "recipe", "script", "command")
# ONNX graphs are for models that choose between classes.
WRITING_KINDS = tuple(kind for kind in KINDS if kind != "onnx")


@dataclass(frozen=True)
class Parcel:
    """A file to take away; `difference` is the largest one between its probabilities and the run's, where that was compared."""

    file: Path
    difference: float | None = None
    rows: int = 0


def take_away(service: RunService, run_id: str, kind: Kind, to: Path, progress: Progress = untold) -> Parcel:
    """Makes one file in the folder `to`: an archive, or a text.

    Args:
        progress: as `export_run`, and told the stage pack.

    Raises:
        RunError: nothing is tuned yet, the disk has no room for it, or the export does not answer as the run does.
        AccessError: a visitor asks for a model.
    """
    recipe = shareable(service.read(run_id, 1 << 60).recipe)
    name = f"{run_id}-{kind}"
    to.mkdir(parents=True, exist_ok=True)
    texts = {"recipe": (".yaml", recipe.to_yaml), "script": (".py", lambda: script(recipe)), "command": (".sh", lambda: command(recipe))}
    if kind in texts:
        suffix, text = texts[kind]
        file = to / f"{name}{suffix}"
        file.write_text(text(), encoding="utf-8")
        return Parcel(file)
    refuse_visitors("take models away")
    from workbench.runs.export import export_run

    _refuse_full_disk(to, 2 * export_bytes(service, run_id, kind))  # the folder, and beside it its archive

    with tempfile.TemporaryDirectory(dir=to) as staging:
        folder = Path(staging) / name
        answer = export_run(service, run_id, folder, kind, progress)
        progress("pack", None)
        return Parcel(_packed(folder, to), answer["largest_difference"], answer["rows_compared"])


def export_bytes(service: RunService, run_id: str, kind: Kind) -> int:
    """About how much an export takes before it is packed: the tuned weights, and those of the base model where they go along."""
    from workbench.models.loading import find_model
    from workbench.runs.export import LARGEST_COPIED_BASE_BYTES

    model = service.store.answer_recipe(run_id).model
    tuned, base = _bytes_in(service.tuned_folder(run_id)), _bytes_in(Path(find_model(model.path, model.revision)))
    goes_along = kind in ("merged", "onnx") or (kind == "folder" and base <= LARGEST_COPIED_BASE_BYTES)
    return tuned + (base if goes_along else 0)


def script(recipe: Recipe) -> str:
    """A Python script that trains the recipe and asks it, with nothing to fill in."""
    content = pformat(recipe.model_dump(), width=100, sort_dicts=False)
    writes = ["for text in run.write(sys.argv[1:]):", "    print(text)"]
    chooses = ["for answer in run.predict(sys.argv[1:]):", "    print(answer.label, answer.probabilities)"]
    answering = writes if recipe.task == "generation" else chooses
    lines = [
        "# trains this recipe again, then answers the texts on the command line; the workbench lies beside it or is installed",
        "import sys", "", "from workbench import train", "", f"RECIPE = {content}", "", "run = train(RECIPE, runs=\"runs\")",
        "print(run.id, run.metrics)", *answering, "",
    ]  # fmt: skip
    return "\n".join(lines)


def command(recipe: Recipe) -> str:
    """Lines for a shell that write the recipe and train it."""
    text, mark = recipe.to_yaml(), "END"
    while mark in text:
        mark += "_"
    return f"cat > recipe.yaml <<'{mark}'\n{text}{mark}\npython -m workbench train recipe.yaml\n"


def shareable(recipe: Recipe) -> Recipe:
    """The recipe without folders of this machine: files of the project relative to it, others by their names."""
    return recipe.with_places(_known)


def fingerprint(path: str) -> dict[str, Any]:
    """Name, bytes and SHA-256 of a data file; only the name where it is gone."""
    file = Path(path)
    try:
        with open(file, "rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return {"name": file.name, "bytes": file.stat().st_size, "sha256": digest}
    except OSError:
        return {"name": file.name}


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0


def _refuse_full_disk(folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + DISK_FLOOR_BYTES:
        raise RunError(
            f"This takes {needed_bytes / 1e6:,.0f} MB on the server's disk, which has {free / 1e6:,.0f} MB free.",
            fix="Free disk space, or take the tuned weights alone.",
        )


def _packed(folder: Path, to: Path) -> Path:
    return Path(shutil.make_archive(str(to / folder.name), "zip", folder.parent, folder.name))


def _known(value: str) -> str:
    path = Path(value)
    if not path.is_absolute():
        return value
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name
