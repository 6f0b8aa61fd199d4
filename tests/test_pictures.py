"""README's pictures are there, small enough to be read on any line, and say in words what they show."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.pictures import PLACE, STEPS

PROJECT = Path(__file__).resolve().parent.parent
SHOWN = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (PROJECT / "README.md").read_text(encoding="utf-8"))
MOST_BYTES, MOST_PIXELS = 120_000, 1280


@pytest.mark.parametrize(("said", "place"), SHOWN, ids=[place.rsplit("/", 1)[-1] for _, place in SHOWN])
def test_a_picture_is_there_small_and_described(said, place):
    file = PROJECT / place
    assert file.stat().st_size < MOST_BYTES and len(said) > 20
    if file.suffix == ".png":
        with Image.open(file) as image:
            assert image.width <= MOST_PIXELS


def test_every_step_of_the_story_is_shown_and_no_picture_lies_there_unseen():
    shown = {Path(place).name for _, place in SHOWN}
    assert {f"story-{step}-{name}.png" for step, name in enumerate(STEPS, start=1)} <= shown
    assert {file.name for file in PLACE.iterdir()} <= shown
