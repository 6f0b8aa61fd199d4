"""What the workbench makes of any file: the loop behind `test_any_file.py` and the long round of `python -m tests.faults --only files`."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.mutations import mutated, seeds
from workbench.data.dataset import Dataset, dataset_from
from workbench.data.profile import profile
from workbench.data.readers import read_table
from workbench.errors import WorkbenchError
from workbench.methods.attached import read_weights
from workbench.models.loading import load_model
from workbench.recipe import ModelPart, load_recipe

LONGEST_SECONDS = 10.0  # of processor time: how long it takes beside it says how busy the machine is
HANGS_AFTER_SECONDS = 120.0
MOST_BYTES = 2_000_000_000
MOST_SHOWN = 20


def consume(name: str, file: Path) -> Any:
    """What the workbench does with such a file when it is given one; returns what it read."""
    if name == "recipe.yaml":
        return load_recipe(file)
    if name == "safetensors":
        return read_weights(file)
    if name == "config.json":
        return load_model(ModelPart(path=str(file.parent)))
    table = read_table(file)
    dataset: Dataset = dataset_from(table, {"text": table.columns[0], "label": table.columns[-1]})
    profile(dataset)
    return dataset


def place(name: str, folder: Path) -> Path:
    """Where the file is put; a configuration gets a tokenizer and weights beside it."""
    if name != "config.json":
        return folder / f"x.{name}"
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(30))]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizerFast"}))
    (folder / "model.safetensors").write_bytes(seeds()["safetensors"])
    return folder / "config.json"


def problems(error: WorkbenchError, folder: Path) -> list[str]:
    """Why a refusal is nothing that a person can read: a traceback, a path of this machine, nothing said, or far too much."""
    text = f"{error.message} {error.fix}"
    found = [f"{forbidden} in: {text}" for forbidden in ("Traceback", 'File "', "Error(", str(folder.parent)) if forbidden in text]
    return found if error.message.strip() and len(text) < 1500 else [*found, f"{len(text)} characters: {text}"]


@contextmanager
def alarmed(seconds: float) -> Iterator[None]:
    """Raises TimeoutError inside the block when it takes too long; a hang would otherwise end the whole round."""

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"over {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def peak_bytes(*, forget: bool = False) -> int:
    """The most memory this process ever had, or has had since it was told to forget."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def try_files(folder: Path, count: int, first: int = 0) -> dict[str, Any]:
    """Tries the mutations numbered `first` and up; a number makes the same file whenever and wherever it is tried.

    Returns:
        How many were read and refused, the slowest in processor time, the growth of the peak of memory, and what went wrong, as sentences.
    """
    load_model(ModelPart(path="embedded:tiny-zh"))  # the first load imports transformers, which is no file's fault
    originals, folder = seeds(), folder / "f"
    folder.mkdir()
    places = {name: place(name, folder) for name in originals}
    # A configuration builds a model each time, so it is tried less often than the files that are only read.
    names = [name for name in originals for _ in range(1 if name == "config.json" else 4)]
    figures: dict[str, Any] = {"files": count, "read": 0, "refused": 0, "slowest_seconds": 0.0, "by_format": dict.fromkeys(originals, 0)}
    wrong: list[str] = []
    before = peak_bytes(forget=True)
    for number in range(first, first + count):
        name = names[number % len(names)]
        places[name].write_bytes(mutated(originals[name], random.Random(number), name))
        figures["by_format"][name] += 1
        started = time.process_time()
        try:
            with alarmed(HANGS_AFTER_SECONDS):
                consume(name, places[name])
            figures["read"] += 1
        except WorkbenchError as error:
            figures["refused"] += 1
            wrong += [f"mutation {number} of {name}: {problem}"[:300] for problem in problems(error, folder)]
        except Exception as error:
            wrong.append(f"mutation {number} of {name}: {type(error).__name__}: {error}"[:300])
        figures["slowest_seconds"] = round(max(figures["slowest_seconds"], time.process_time() - started), 2)
    return {**figures, "peak_growth_bytes": peak_bytes() - before, "wrong": len(wrong), "first_wrong": wrong[:MOST_SHOWN]}
