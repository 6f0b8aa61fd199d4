"""A SentencePiece BPE model file read into a fast tokenizer that gives the same ids, without the sentencepiece package.

The file is a protocol buffer (sentencepiece_model.proto): pieces with score and type, the trainer's options and the normaliser's. Pieces
are merged in the order of their scores, best first, which is what the fast BPE does with ranks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import ModelError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BPE_TYPE = 2
BLANK = "\u2581"


@dataclass
class SentencePieceFile:
    """What a `tokenizer.model` says. `pieces` are (text, score, type) in the order of their ids."""

    pieces: list[tuple[str, float, int]] = field(default_factory=list)
    model_type: int = 1
    byte_fallback: bool = False
    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True


def read_sentencepiece(file: Path) -> SentencePieceFile:
    """Reads a model file.

    Raises:
        ModelError: not a SentencePiece file, or one that is not a BPE.
    """
    found = SentencePieceFile()
    try:
        for number, value in _fields(file.read_bytes()):
            if number == 1:
                found.pieces.append(_piece(value))
            elif number == 2:
                options = dict(_fields(value))
                found.model_type, found.byte_fallback = options.get(3, 1), bool(options.get(35, 0))
            elif number == 3:
                options = dict(_fields(value))
                found.charsmap = options.get(2, b"")
                found.add_dummy_prefix = bool(options.get(3, 1))
                found.remove_extra_whitespaces = bool(options.get(4, 1))
    except (OSError, ValueError, IndexError, TypeError, struct.error):
        raise ModelError(f"{file.name} is not a readable SentencePiece model.", fix="Copy or download the model's files again.") from None
    if not found.pieces or found.model_type != BPE_TYPE:
        raise ModelError(f"{file.name} is not a SentencePiece BPE model.", fix="Choose a checkpoint with its published tokenizer.")
    return found


def fast_tokenizer(file: Path) -> Any:
    """A `tokenizers.Tokenizer` with the ids of a SentencePiece BPE file."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

    spm = read_sentencepiece(file)
    vocabulary = {text: index for index, (text, _, _) in enumerate(spm.pieces)}
    unknown = next((text for text, _, kind in spm.pieces if kind == UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(vocabulary, _merges(spm, vocabulary), unk_token=unknown, fuse_unk=True, byte_fallback=spm.byte_fallback)
    )
    steps: list[Any] = [normalizers.Precompiled(spm.charsmap)] if spm.charsmap else []
    if spm.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex("^ +| +$"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spm.add_dummy_prefix:
        steps.append(normalizers.Prepend(BLANK))
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", BLANK)])
    ends = [decoders.Strip(" ", 1, 0)] if spm.add_dummy_prefix else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), *ends])
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text, _, kind in spm.pieces if kind in (UNKNOWN, CONTROL)])
    # A piece with blanks in it stands in normalized text only.
    added = [AddedToken(text, normalized=BLANK in text) for text, _, kind in spm.pieces if kind == USER_DEFINED]
    tokenizer.add_tokens(added)
    return tokenizer


def _merges(spm: SentencePieceFile, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to make a piece from two others, by the piece's score from the best on."""
    usable = {text for text, _, kind in spm.pieces if kind in (NORMAL, USER_DEFINED)}
    ranked: list[tuple[float, int, int, tuple[str, str]]] = []
    for text, score, kind in spm.pieces:
        if kind != NORMAL:
            continue
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in usable and right in usable:
                ranked.append((-score, vocabulary[left], vocabulary[right], (left, right)))
    return [pair for *_, pair in sorted(ranked)]


def _piece(value: bytes) -> tuple[str, float, int]:
    options = dict(_fields(value))
    score = struct.unpack("<f", options[2])[0] if 2 in options else 0.0
    return options.get(1, b"").decode("utf-8"), score, options.get(3, NORMAL)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of one protocol buffer message: integers for varints, bytes for everything else."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position + size > len(data):
            raise ValueError("a field that ends behind the file")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
