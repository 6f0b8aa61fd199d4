"""What is installed: exact versions, above the floors under which known holes are open, and nothing that could run a stranger's code."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
FILES = (PROJECT / "requirements.txt", PROJECT / "tests" / "requirements.txt")
# gradio below 6.20 and torch below 2.6 have published holes; transformers below 5.3 ran code from a config field (CVE-2026-4372).
FLOORS = {"gradio": (6, 20), "transformers": (5, 3), "torch": (2, 6)}
# `kernels` downloads and runs compute kernels that a model names.
NEVER = ("kernels",)


def pins() -> dict[str, str]:
    lines = [line.split("#")[0].strip() for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
    return dict(line.split("==") for line in lines if line)


def test_every_version_is_exact():
    for file in FILES:
        for line in file.read_text(encoding="utf-8").splitlines():
            wanted = line.split("#")[0].strip()
            assert not wanted or re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", wanted), line


def hashed() -> dict[str, tuple[str, int]]:
    """Name -> version and how many files of it are known, from the list that the tests' command installs by."""
    found = {}
    for entry in re.split(r"\n(?=[a-z0-9])", (PROJECT / "tests" / "hashes.txt").read_text(encoding="utf-8")):
        wanted = re.match(r"([a-z0-9.-]+)==([^ ;]+)", entry)
        if wanted:
            found[wanted[1]] = (wanted[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)))
    return found


def test_the_tests_install_nothing_but_torch_without_its_hash():
    known = hashed()
    for name, pinned in pins().items():
        if name != "torch":
            assert known[re.sub(r"[_.]", "-", name.lower())][0] == pinned, f"{name}: run `bash tests/hash`"
    assert len(known) > 90 and all(files for _, files in known.values())
    command = (PROJECT / "tests" / "run").read_text(encoding="utf-8")
    assert command.index("--require-hashes --no-deps -r tests/hashes.txt") < command.index("-r requirements.txt")


@pytest.mark.parametrize("name", FLOORS)
def test_versions_are_above_their_floors_and_are_the_ones_that_run(name):
    pinned = tuple(int(part) for part in pins()[name].split(".")[:2])
    assert pinned >= FLOORS[name]
    assert version(name).split("+")[0] == pins()[name]


def test_nothing_is_asked_for_that_would_run_a_strangers_code():
    assert not {name.lower() for name in pins()} & set(NEVER)
