"""Damaged files: seeds of every format that the workbench reads, and what storage, editors and enemies do to them."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable

import numpy as np
import pandas as pd
from safetensors.numpy import save

RECIPE = """name: a
model: {path: "embedded:tiny-en"}
data: {train: presets/data/en_movie_reviews.csv, columns: {text: text, label: label}, split: {shots: 16, validation: 200, seed: 13}}
prompt: {templates: ["{text} It was [MASK] ."], verbalizer: {kind: manual, words: {positive: [great], negative: [bad]}}, max_length: 96}
method: {name: lora, r: 8}
training: {epochs: 2}
"""
CONFIG = {
    "architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16, "pad_token_id": 0,
}  # fmt: skip
# What a parser meets in the wild: marks, nulls, huge numbers, code in many dialects, half characters.
FRAGMENTS = [
    b"\x00", b'"', b"'", b",", b"\t", b"\r", b"\n", b"\r\n", b"{", b"}", b"[", b"]", b":", b"&a", b"*a",
    b"!!python/object/apply:os.system ['x']", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\xf0\x9f",
    b"=HYPERLINK(1)", b"<img src=x onerror=alert(1)>", b"NaN", b"Infinity", b"1e999", b"-0", b"null", b"true", b"__proto__", b"9" * 400,
    b"[" * 5000, b'{"a":' * 3000, b"{text|", b"[MASK][MASK]", b"..", b"/etc/passwd", b"%n%s", b"PK\x03\x04", b"PAR1", b"\x1f\x8b",
]  # fmt: skip


def seeds() -> dict[str, bytes]:
    """One small valid file per format, by its suffix; `recipe.yaml` and `config.json` are read by their own readers."""
    table = pd.DataFrame({"text": ["good film", "这本书很好", 'a "quoted", line', ""], "label": ["1", "0", "NA", "01"]})
    sheet, parquet = io.BytesIO(), io.BytesIO()
    table.to_excel(sheet, index=False)
    table.to_parquet(parquet)
    csv = table.to_csv(index=False)
    return {
        "csv": csv.encode(), "gbk.csv": csv.encode("gb18030"), "utf16.csv": csv.encode("utf-16"),
        "tsv": table.to_csv(index=False, sep="\t").encode(),
        "json": table.to_json(orient="records", force_ascii=False).encode(), "jsonl": table.to_json(orient="records", lines=True).encode(),
        "xlsx": sheet.getvalue(), "parquet": parquet.getvalue(), "recipe.yaml": RECIPE.encode(), "config.json": json.dumps(CONFIG).encode(),
        "safetensors": save({"a.weight": np.ones((4, 3), np.float32), "b": np.zeros(5, np.float16)}),
    }  # fmt: skip


def mutated(data: bytes, rng: random.Random, name: str) -> bytes:
    """The file after one to four accidents."""
    for _ in range(rng.randint(1, 4)):
        accident = rng.choice(ACCIDENTS)
        data = accident(data, rng) if data else data
    # Bytes of a zip's members are compressed, so damage rarely reaches the XML: now and then it is done inside.
    return _inside_zip(data, rng) if name == "xlsx" and rng.random() < 0.5 else data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _drop(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 40) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(FRAGMENTS) + data[place:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randint(1, 200)]
    return data[:start] + part * rng.choice((2, 10, 1000)) + data[start:]


def _numbers(data: bytes, rng: random.Random) -> bytes:
    """A four-byte length becomes the largest, the smallest or nothing: headers of binary formats."""
    place = rng.randrange(max(1, len(data) - 4))
    return data[:place] + rng.choice((b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80")) + data[place + 4 :]


def _inside_zip(data: bytes, rng: random.Random) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return data
    chosen = rng.choice(sorted(members))
    members[chosen] = rng.choice(ACCIDENTS)(members[chosen] or b"x", rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


ACCIDENTS: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _cut, _drop, _insert, _insert, _repeat, _numbers)
