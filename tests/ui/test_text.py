"""The words of the page: both languages say the same things, and every key is used."""

import re
import string
from pathlib import Path

import pytest
import yaml

from workbench.models.families import families
from workbench.recipe import preset_names
from workbench.ui.text import TEXT, Words, _entries, languages

SOURCES = [p for p in Path(TEXT.parent).rglob("*.py")]
USE = re.compile(r"""\bt(?:\.get)?\(\s*f?"([^"]+)\"""")
# Filled in from data: presets by their name, methods and their fields by the registry, parts of a model by the card,
# gradio's own words by themselves.
OPEN = ("presets.", "methods.", "verbalizers.", "card.part_", "card.features.", "gradio.")


def test_languages_hold_the_same_keys():
    english = set(_entries("en"))
    for code in languages():
        assert set(_entries(code)) == english


def test_no_key_is_written_twice():
    def check(node: yaml.Node, place: str) -> list[str]:
        if not isinstance(node, yaml.MappingNode):
            return []
        keys = [key.value for key, _ in node.value]
        below = [found for key, value in node.value for found in check(value, f"{place}{key.value}.")]
        return below + [f"{place}{key}" for key in set(keys) if keys.count(key) > 1]

    for code in languages():
        assert check(yaml.compose((TEXT / f"{code}.yaml").read_text(encoding="utf-8")), f"{code}: ") == []


def test_both_languages_fill_in_the_same_values():
    for key, text in _entries("en").items():
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name and name.isidentifier()}
        for code in languages():
            other = {name for _, name, _, _ in string.Formatter().parse(_entries(code)[key]) if name and name.isidentifier()}
            assert other == names, key


def uses() -> set[str]:
    return {found for source in SOURCES for found in USE.findall(source.read_text(encoding="utf-8"))}


def test_every_used_key_is_there():
    for use in uses():
        if "{" in use:
            assert any(key.startswith(use.split("{")[0]) for key in _entries("en")), use
        elif not use.startswith(OPEN):
            assert use in _entries("en"), use


def test_every_key_is_used():
    exact = {use for use in uses() if "{" not in use}
    prefixes = tuple(use.split("{")[0] for use in uses() if "{" in use) + OPEN
    unused = [key for key in _entries("en") if key not in exact and key != "language" and not key.startswith(prefixes)]
    assert unused == []


def test_values_are_filled_in():
    assert Words("en")("train.step_of", step=3, total=20) == "Step 3 of 20"
    assert Words("zh")("train.step_of", step=3, total=20) == "第 3 / 20 步"


def test_sentences_in_a_line_are_set_as_their_language_sets_them():
    assert Words("en").line("More learns more.", "", "Safe: 5.") == "More learns more. Safe: 5."
    assert Words("zh").line("越多越好。", "稳妥值：5。") == "越多越好。稳妥值：5。"


def test_an_unknown_key_is_a_bug():
    with pytest.raises(KeyError):
        Words("en")("no.such.key")
    assert Words("en").get("no.such.key", "given") == "given"


def test_every_preset_and_every_feature_of_a_model_has_its_words():
    features = {name for family in families() for name in family.features}
    for code in languages():
        words = Words(code)
        assert [name for name in preset_names() if words.get(f"presets.{name}", "") == ""] == []
        assert sorted(name for name in features if words.get(f"card.features.{name}", "") == "") == []
