"""Any file: read, or refused in a sentence; never a traceback, a hang or a memory spike (reliability rows 40, 41, 44, 56).

`python -m pytest tests/faults/test_any_file.py --mutations 10000` is the long round; 500 are tried on every push.
"""

import io
import json
import os
import subprocess
import sys
import time
import zipfile

import pytest

from tests.faults.any_file import LONGEST_SECONDS, MOST_BYTES, consume, peak_bytes, place, try_files
from tests.faults.mutations import CONFIG, seeds
from workbench.data.readers import read_table
from workbench.errors import WorkbenchError
from workbench.models.loading import load_model
from workbench.recipe import PROJECT, ModelPart, load_recipe


def test_mutated_files_are_read_or_refused(request, tmp_path):
    count = request.config.getoption("--mutations")
    figures = try_files(tmp_path, count)
    assert figures["first_wrong"] == []
    assert figures["slowest_seconds"] < LONGEST_SECONDS and figures["peak_growth_bytes"] < MOST_BYTES
    # A round that refuses everything, or nothing, has tried something else than damaged files.
    assert figures["read"] + figures["refused"] == count and min(figures["read"], figures["refused"]) > count // 20
    assert all(figures["by_format"].values())


def test_the_seeds_themselves_are_read(tmp_path):
    for name, content in seeds().items():
        if name == "config.json":  # its weights are those of no model
            continue
        file = place(name, tmp_path)
        file.write_bytes(content)
        found = consume(name, file)
        if name == "recipe.yaml":
            assert found.method == {"name": "lora", "r": 8}
        elif name == "safetensors":
            assert {key: tuple(value.shape) for key, value in found.items()} == {"a.weight": (4, 3), "b": (5,)}
        else:
            texts = [example.fields["text"] for example in found.examples]
            assert texts == ["good film", "这本书很好", 'a "quoted", line', ""], name
            assert [example.label for example in found.examples] == ["1", "0", "NA", "01"], name


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


@pytest.mark.parametrize("length", [5_000, 900_000])
def test_a_bomb_in_columns_is_refused_and_takes_no_memory(tmp_path, length):
    """A Parquet file whose dictionary holds one text that every row points at: kilobytes that stand for gigabytes."""
    from pyarrow import DictionaryArray, array, parquet, table

    rows = 300_000_000 // length
    texts = DictionaryArray.from_arrays(array([0] * rows, "int32"), array(["x" * length]))
    parquet.write_table(table({"text": texts, "label": array(["a"] * rows)}), tmp_path / "x.parquet", compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    before = peak_bytes(forget=True)
    with pytest.raises(WorkbenchError, match="unpack to over"):
        read_table(tmp_path / "x.parquet")
    assert peak_bytes() - before < 100_000_000


def test_a_workbook_full_of_nothing_is_refused_or_read_within_bounds(tmp_path):
    """A sheet of 60 MB of zeros that deflate to 60 kB: under the limit, so it is unpacked, and then refused for what it is."""
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 60_000_000)
    assert (tmp_path / "x.xlsx").stat().st_size < 100_000
    before = peak_bytes(forget=True)
    with pytest.raises(WorkbenchError):
        read_table(tmp_path / "x.xlsx")
    assert peak_bytes() - before < MOST_BYTES


@pytest.mark.parametrize(("suffix", "content"), [
    ("json", b"[" * 100_000), ("jsonl", b'{"a":' * 100_000), ("yaml", b"a: " + b"[" * 50_000),
    ("yaml", b"a: &a [x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nname: [*c,*c,*c,*c,*c,*c]"),
])  # fmt: skip
def test_deep_and_swollen_text_is_refused_quickly(tmp_path, suffix, content):
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(content)
    started = time.process_time()
    with pytest.raises(WorkbenchError):
        load_recipe(file) if suffix == "yaml" else read_table(file)
    assert time.process_time() - started < LONGEST_SECONDS


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
    {"attn_implementation": "flash_attention_2"}, {"_attn_implementation": "flash_attention_3"},
    {"model_type": "gemma3n", "architectures": ["Gemma3nForCausalLM"]}, {"model_type": "reformer"},
], ids=str)  # fmt: skip
def test_a_configuration_that_cannot_be_built_here_is_a_sentence(tmp_path, field):
    place("config.json", tmp_path).write_text(json.dumps(CONFIG | field))
    with pytest.raises(WorkbenchError) as refusal:
        load_model(ModelPart(path=str(tmp_path)))
    assert refusal.value.fix


FIELDS = [
    {"auto_map": {"AutoModelForMaskedLM": "evil.Evil"}}, {"_attn_implementation_internal": "evil/kernels"},
    {"attn_implementation": "evil/kernels"}, {"_attn_implementation": "evil/kernels:x"}, {"experts_implementation": "evil/kernels"},
    {"_attn_implementation": {"": "evil/kernels"}}, {"text_config": {"attn_implementation": {"a": ["sdpa", {"b": "evil/kernels"}]}}},
]  # fmt: skip
LOADS = """
import json, sys, time, torch, transformers
from workbench.errors import WorkbenchError
from workbench.models.loading import load_model
from workbench.recipe import ModelPart
for folder in sys.argv[1:]:
    started = time.process_time()
    try:
        load_model(ModelPart(path=folder))
        said = "loaded"
    except WorkbenchError as error:
        said = error.message
    print(json.dumps([said, time.process_time() - started]))
"""


@pytest.mark.parametrize("typed", [None, "y\ny\ny\n"], ids=["closed", "yes"])
def test_code_in_a_configuration_is_refused_and_asks_nobody(tmp_path, typed):
    """In a process of its own, because a question on the terminal would hang this one; each answer within two seconds of its time."""
    canary, folders = tmp_path / "canary", []
    for number, field in enumerate(FIELDS):
        folders.append(tmp_path / f"model-{number}")
        folders[-1].mkdir()
        (folders[-1] / "evil.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
        place("config.json", folders[-1]).write_text(json.dumps(CONFIG | field))
        for name in ("vocab.txt", "tokenizer_config.json", "model.safetensors"):
            assert (folders[-1] / name).exists()
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *map(str, folders)], input=typed, stdin=subprocess.DEVNULL if typed is None else None, text=True,
        capture_output=True, timeout=300, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.strip().splitlines()]
    assert len(answers) == len(FIELDS) and not canary.exists()
    # The first one imports what transformers puts off.
    assert all(said.endswith("never done here.") for said, _ in answers) and all(seconds < 2 for _, seconds in answers[1:])
