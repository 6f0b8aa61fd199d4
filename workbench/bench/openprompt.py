"""OpenPrompt as a peer, in an environment of its own: it needs a transformers that cannot stand beside the workbench's.

The environment is made once, in the cache folder of the person, from the package index that pip is set to; torch and numpy are those
of this environment, lent by a .pth file. Where it cannot be made, the bench says why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.bench.measure import Figures
from workbench.data.dataset import InputExample
from workbench.errors import WorkbenchError
from workbench.models.loading import LoadedModel

PACKAGES = (
    "openprompt==1.0.1", "transformers==4.30.2", "tokenizers==0.13.3", "huggingface-hub==0.36.2", "yacs==0.1.8", "tensorboardX==2.6.5",
    "rouge==1.0.1", "dill==0.4.1", "nltk==3.10.4", "sentencepiece==0.2.3", "six==1.17.0", "protobuf==7.36.2",
)  # fmt: skip
SIDE = Path(__file__).with_name("openprompt_side.py")
OPENPROMPT = "OpenPrompt 1.0.1"
READY = "ready"
MOST_SECONDS = 3600


def environment(say: Callable[[str], None], root: Path | None = None) -> Path:
    """The Python of an environment with OpenPrompt, made when it is not there yet.

    Raises:
        WorkbenchError: the packages cannot be had, or do not work here.
    """
    home = root or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prompt-workbench" / "openprompt"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (home / READY).is_file():
        return python
    say(f"making an environment for {OPENPROMPT} in {home}")
    _checked([sys.executable, "-m", "venv", "--clear", str(home)])
    _checked([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *PACKAGES])
    own = _checked([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]).strip()
    import torch

    # Read behind the environment's own packages: what stands there comes first, the rest is this environment's.
    Path(own, "beneath.pth").write_text(str(Path(torch.__file__).parents[1]), encoding="utf-8")
    (home / READY).write_text("", encoding="utf-8")
    return python


def openprompt_sides(
    loaded: LoadedModel, words: dict[str, list[str]], examples: list[InputExample], folder: Path, python: Path, *, batch: int, rate: float
) -> dict[str, Callable[[], Figures]]:
    """"train" and "predict": each a process of its own that does the work once and answers with what it measured itself."""
    place = folder / "openprompt"
    loaded.model.save_pretrained(place / "model")
    loaded.tokenizer.save_pretrained(place / "model")
    classes = list(words)
    rows = {
        "texts": [example.fields["text"] for example in examples], "labels": [classes.index(str(example.label)) for example in examples],
        "classes": classes, "words": words,
    }  # fmt: skip
    (place / "rows.json").write_text(json.dumps(rows), encoding="utf-8")

    def side(work: str) -> Callable[[], Figures]:
        return lambda: _figures(answer(python, place, work, batch, rate))

    return {work: side(work) for work in ("train", "predict")}


def answer(python: Path, place: Path, work: str, batch: int, rate: float) -> dict[str, Any]:
    """What the other side's process says: its seconds, and the class probabilities where it predicts."""
    return json.loads(_checked([str(python), "-I", str(SIDE), str(place), work, str(batch), str(rate)]).strip().splitlines()[-1])


def _figures(found: dict[str, Any]) -> Figures:
    return Figures(found["cpu_seconds"], found["seconds"], 0, 0, 1)


def _checked(command: list[str]) -> str:
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": ""}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, env=quiet, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkbenchError(f"{OPENPROMPT} cannot be run here: {type(error).__name__}.", fix="") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise WorkbenchError(f"{OPENPROMPT} cannot be had here: {last[:200]}", fix="") from None
    return done.stdout
