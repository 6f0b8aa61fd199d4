"""Any file: read, or refused in a sentence; never a traceback, a hang or a memory spike (reliability rows 40, 41, 44, 56).

`python -m pytest tests/faults/test_any_file.py --mutations 10000` is the long round; 500 are tried on every push.
"""

import io
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from tests.faults.mutations import CONFIG, mutated, seeds
from workbench.data.dataset import dataset_from
from workbench.data.profile import profile
from workbench.data.readers import read_table
from workbench.errors import WorkbenchError
from workbench.methods.attached import read_weights
from workbench.models.loading import load_model
from workbench.recipe import ModelPart, load_recipe

PROJECT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 10.0
MOST_BYTES = 2_000_000_000


def consume(name: str, file: Path) -> None:
    """What the workbench does with such a file when it is given one."""
    if name == "recipe.yaml":
        load_recipe(file)
    elif name == "safetensors":
        read_weights(file)
    elif name == "config.json":
        load_model(ModelPart(path=str(file.parent)))
    else:
        table = read_table(file)
        columns = {"text": table.columns[0], "label": table.columns[-1]}
        profile(dataset_from(table, columns))


def place(name: str, folder: Path) -> Path:
    """Where the file is put; a configuration gets a tokenizer and weights beside it."""
    if name != "config.json":
        return folder / f"x.{name}"
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(30))]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizerFast"}))
    (folder / "model.safetensors").write_bytes(seeds()["safetensors"])
    return folder / "config.json"


def sentence(error: WorkbenchError, folder: Path) -> str:
    text = f"{error.message} {error.fix}"
    for forbidden in ("Traceback", 'File "', "Error(", str(folder.parent)):
        assert forbidden not in text, text
    assert error.message.strip() and len(text) < 1500
    return text


def test_mutated_files_are_read_or_refused(request, tmp_path):
    count = request.config.getoption("--mutations")
    load_model(ModelPart(path="embedded:tiny-zh"))  # the first load imports transformers, which is no file's fault
    originals, process = seeds(), psutil.Process()
    rounds = {name: 0 for name in originals}
    before = process.memory_info().rss
    slowest, refused = 0.0, 0
    # A configuration builds a model each time, so it is tried less often than the files that are only read.
    names = [name for name in originals for _ in range(1 if name == "config.json" else 4)]
    folder = tmp_path / "f"
    folder.mkdir()
    places = {name: place(name, folder) for name in originals}
    for number in range(count):
        rng = random.Random(number)
        name = names[number % len(names)]
        places[name].write_bytes(mutated(originals[name], rng, name))
        rounds[name] += 1
        started = time.monotonic()
        try:
            consume(name, places[name])
        except WorkbenchError as error:
            sentence(error, folder)
            refused += 1
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}: {type(error).__name__}: {error}") from error
        slowest = max(slowest, time.monotonic() - started)
        assert slowest < LONGEST_SECONDS, f"mutation {number} of {name} took {slowest:.1f} s"
    assert process.memory_info().rss - before < MOST_BYTES
    assert refused > 0 and all(rounds.values())
    print(f"{count} files, {refused} refused, slowest {slowest:.2f} s, {rounds}")


def test_the_seeds_themselves_are_read(tmp_path):
    for name, content in seeds().items():
        if name == "config.json":
            continue
        file = place(name, tmp_path)
        file.write_bytes(content)
        consume(name, file)


@pytest.mark.parametrize("size", [4_000_000_000])
def test_a_bomb_in_a_workbook_is_refused_before_it_is_unpacked(tmp_path, size):
    """A member whose directory says 4 GB: the sum is checked before a byte is unpacked."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * 1_000_000)
    data = bytearray(out.getvalue())
    start = data.rindex(b"PK\x01\x02")
    data[start + 24 : start + 28] = size.to_bytes(4, "little")
    (tmp_path / "x.xlsx").write_bytes(bytes(data))
    with pytest.raises(WorkbenchError):
        read_table(tmp_path / "x.xlsx")


@pytest.mark.parametrize(("suffix", "content"), [
    ("json", b"[" * 100_000), ("jsonl", b'{"a":' * 100_000), ("yaml", b"a: " + b"[" * 50_000),
    ("yaml", b"a: &a [x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nname: [*c,*c,*c,*c,*c,*c]"),
])  # fmt: skip
def test_deep_and_swollen_text_is_refused_quickly(tmp_path, suffix, content):
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(WorkbenchError):
        load_recipe(file) if suffix == "yaml" else read_table(file)
    assert time.monotonic() - started < LONGEST_SECONDS


@pytest.mark.parametrize("name", [
    "pytorch_model.bin", "model.bin", "adapter_model.bin", "model.pt", "model.pth", "weights.pkl", "training_args.bin", "optimizer.pt",
    "scheduler.pt", "rng_state.pth", "tuned.ckpt", "model.safetensors",
])  # fmt: skip
def test_a_pickle_is_never_run_whatever_it_is_called(tmp_path, name):
    """The canary is a pickle that makes a folder when it is loaded; protocol 0, written by hand so that nothing here imports pickle."""
    canary = tmp_path / "canary"
    model = tmp_path / "model"
    model.mkdir()
    (model / name).write_bytes(b"cos\nmkdir\n(S'" + str(canary).encode() + b"'\ntR.")
    (model / "config.json").write_text(json.dumps(CONFIG))
    (model / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    with pytest.raises(WorkbenchError) as refusal:
        load_model(ModelPart(path=str(model)))
    assert refusal.value.fix and not canary.exists()


@pytest.mark.parametrize("field", [
    {"auto_map": {"AutoModelForMaskedLM": "evil.Evil"}}, {"_attn_implementation_internal": "evil/kernels"},
    {"attn_implementation": "evil/kernels"}, {"_attn_implementation": "evil/kernels:x"}, {"experts_implementation": "evil/kernels"},
])  # fmt: skip
@pytest.mark.parametrize("typed", [None, "y\ny\ny\n"], ids=["closed", "yes"])
def test_code_in_a_configuration_is_refused_and_asks_nobody(tmp_path, field, typed):
    """In a process of its own, because a question on the terminal would hang this one."""
    canary = tmp_path / "canary"
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | field))
    for name in ("vocab.txt", "tokenizer_config.json", "model.safetensors"):
        place("config.json", tmp_path)
        assert (tmp_path / name).exists()
    code = (
        "import sys, time\nfrom workbench.errors import WorkbenchError\nfrom workbench.models.loading import load_model\n"
        "from workbench.recipe import ModelPart\nimport transformers, torch\nt = time.monotonic()\n"
        "try:\n    load_model(ModelPart(path=sys.argv[1]))\n"
        "except WorkbenchError as e:\n    print(e.message)\nprint(time.monotonic() - t)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], input=typed, stdin=subprocess.DEVNULL if typed is None else None, text=True,
        capture_output=True, timeout=120, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    refusal, seconds = done.stdout.strip().splitlines()[-2:]
    assert refusal.endswith(".") and float(seconds) < 20 and not canary.exists()
