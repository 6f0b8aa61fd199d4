"""Files that are damaged on purpose: single bits, cuts, and bytes of JSON that change."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.training.checkpoint import CheckpointFolder
from workbench.training.folder import MANIFEST, damage


def files_of(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file())


def flipped(folder: Path, count: int, seed: int = 13) -> Iterator[Path]:
    """Flips one random bit of one random file at a time, yields while it is flipped, and flips it back."""
    chance = random.Random(seed)
    files = files_of(folder)
    for number in range(count):
        file = files[number % len(files)]
        content = file.read_bytes()
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :])
        yield file
        file.write_bytes(content)


def cut(folder: Path, steps: int) -> Iterator[Path]:
    """Cuts every file at each share of its length, from nothing to all but one byte."""
    for file in files_of(folder):
        content = file.read_bytes()
        for step in range(steps):
            file.write_bytes(content[: len(content) * step // steps])
            yield file
        file.write_bytes(content)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One change as a bad disk or a person with an editor makes it: a byte replaced, removed, doubled, a piece cut or repeated."""
    place = chance.randrange(len(content) + 1)
    length = chance.choice((1, 1, 1, 8, 64))
    piece = content[place : place + length]
    return chance.choice(
        (
            content[:place] + bytes(chance.randrange(256) for _ in range(length)) + content[place + length :],
            content[:place] + content[place + length :],
            content[:place] + piece + piece + content[place + length :],
            content[:place],
            content[:place] + chance.choice((b"null", b"[]", b"{}", b"-1", b"1e999", b'"x"', b"\xff\xfe")) + content[place:],
        )
    )


def meaning(content: bytes) -> Any:
    """What JSON says, or the bytes themselves where they are none."""
    try:
        return json.loads(content)
    except ValueError:
        return content


def found_flips(folder: Path, count: int) -> int:
    """How many of `count` flipped bits are noticed."""
    return sum(damage(folder) is not None for _ in flipped(folder, count))


def found_cuts(folder: Path, steps: int) -> tuple[int, int]:
    """How many cuts are noticed, of how many."""
    outcomes = [damage(folder) is not None for _ in cut(folder, steps)]
    return sum(outcomes), len(outcomes)


def fall_backs(run: Path, count: int, seed: int = 13) -> dict[str, int]:
    """Mutates a JSON file of the newest checkpoint `count` times: each time the one before has to be chosen, with a sentence.

    A mutation that leaves the same bytes, or blanks in the manifest that mean the same, is drawn again.
    """
    chance = random.Random(seed)
    checkpoints = CheckpointFolder(run)
    newest, _ = checkpoints.newest()
    assert newest is not None
    kept = run.parent / "kept"
    shutil.copytree(newest.folder, kept)
    figures = {"mutations": 0, "fell_back_and_said_so": 0}
    names = [f.relative_to(kept) for f in files_of(kept) if f.suffix == ".json"]
    while figures["mutations"] < count:
        name = names[figures["mutations"] % len(names)]
        content = (kept / name).read_bytes()
        changed = mutated(content, chance)
        if changed == content or (name.name == MANIFEST and meaning(changed) == meaning(content)):
            continue
        figures["mutations"] += 1
        (newest.folder / name).write_bytes(changed)
        chosen, notes = checkpoints.newest()
        older = chosen is not None and chosen.progress.step < newest.progress.step
        figures["fell_back_and_said_so"] += older and len(notes) == 1 and str(newest.progress.step) in notes[0]
        (newest.folder / name).write_bytes(content)
    shutil.rmtree(kept)
    return figures
