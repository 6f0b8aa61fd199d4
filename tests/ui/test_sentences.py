"""What the engine says in English has its translation: every error, fix, note and word of progress, found in the source by itself."""

import re
import string
import time
from pathlib import Path

import pytest
import yaml

from tests.ui.engine_sentences import Found, Reader
from tests.ui.patterns import canonical
from workbench.errors import RecipeError, WorkbenchError
from workbench.methods import check_method, method_info, method_names
from workbench.prompts.verbalizers import check_verbalizer, verbalizer_info, verbalizer_kinds
from workbench.recipe import Recipe, recipe_from
from workbench.ui.sentences import Catalogue, Pattern, parse
from workbench.ui.text import TEXT, Words, catalogue, languages

PACKAGE = Path(TEXT).parent.parent
# Spoken to the terminal, written into exported files, or answered to a program before there is a page.
TERMINAL = (
    "cli", "commands", "model_commands", "prompt_commands", "run_commands", "bench/", "__main__", "settings", "runs/card", "runs/export",
    "ui/guard/",
)  # fmt: skip
# Said with a code and values: the page has words of its own for each code, under diagnosis.* and checks.found.*.
CODED = ("checks/", "prompts/verbalizers/manual", "prompts/verbalizers/head", "prompts/verbalizers/prototypical", "serving/calibration")
TRANSLATED = [code for code in languages() if code != "en"]
# Said by libraries and the operating system, so that no source of ours holds them.
FOREIGN = "foreign.yaml"
CHINESE = re.compile(r"[\u3400-\u9fff]")


@pytest.fixture(scope="module")
def spoken() -> dict[str, Found]:
    """Every pattern that the package can say, by its canonical form."""
    reader = Reader(PACKAGE)
    found = [*reader.errors(), *reader.others((*TERMINAL, *CODED)), *reader.progress()]
    found += [Found(text, place) for text, place in reader.phrases.items()]
    return {canonical(one.text): one for one in found}


def hole_groups(text: str) -> list[set[str]]:
    """Names of the holes in a sentence of the source, holes that touch together."""
    groups: list[set[str]] = []
    between = "from the start"
    for literal, name, _, _ in string.Formatter().parse(text):
        between += literal
        if name is None:
            continue
        groups += [set()] if between else []
        groups[-1].add(name)
        between = ""
    return groups


def patterns(language: str) -> dict[str, Pattern]:
    return {source: parse(source, target) for source, target in catalogue(language).entries.items()}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_of_the_engine_is_translated(spoken, language):
    known = {canonical(source) for source in catalogue(language).entries}
    assert [f"{one.place}: {one.text}" for form, one in spoken.items() if form not in known] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_words_that_the_engine_puts_into_holes_are_translated_with_the_sentence(spoken, language):
    """A hole that the source fills with English is marked `:said` in the catalogue."""
    entries = {canonical(source): pattern for source, pattern in patterns(language).items()}
    for form, one in spoken.items():
        for names, hole in zip(hole_groups(one.text), entries[form].holes, strict=True):
            assert not names & one.spoken or hole.kind in ("said", "number"), (one.place, one.text, names)


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_translation_outlives_its_sentence(spoken, language):
    foreign = yaml.safe_load((TEXT / language / FOREIGN).read_text(encoding="utf-8"))
    assert [source for source in catalogue(language).entries if canonical(source) not in spoken and source not in foreign] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_hold_the_same_holes(language):
    for source, pattern in patterns(language).items():
        names = [name for _, name, _, _ in string.Formatter().parse(pattern.target) if name is not None]
        assert sorted(names) == sorted(hole.name for hole in pattern.holes), source


def test_chinese_is_written_as_chinese():
    """Words beside holes and names, full-width signs between them, and an end where the English sentence has one."""
    for source, pattern in patterns("zh").items():
        text = "".join(literal for literal, _, _, _ in string.Formatter().parse(pattern.target))
        if re.search(r"[a-z]{3}", re.sub(r"JSON Lines|iPET", "", "".join(pattern.fixed))) and text:
            assert CHINESE.search(text), source
        assert not re.search(r"[\u3400-\u9fff][,;:?!.]|[,;?!](?=[\u3400-\u9fff])", text), pattern.target
        if source.endswith((".", "?")):
            assert text.endswith(("。", "？", "FILE", "]")), pattern.target


def test_a_mistake_in_a_file_is_translated_whole_under_its_line_and_name():
    with pytest.raises(RecipeError) as caught:
        recipe_from({"training": {"learning_rate": "abc"}}, source="r.yaml", text="training:\n  learning_rate: abc\n")
    said = "r.yaml：第 2 行：“training.learning_rate”是 'abc'：应是数，而这段文本不是数。"
    assert catalogue("zh")(caught.value.message) == said


def test_every_code_has_its_words():
    sources = {file: file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}
    for kind, room in (("Diagnosis", "diagnosis"), ("Finding", "checks.found")):
        codes = {code for source in sources.values() for code in re.findall(rf'\b{kind}\("(\w+)"', source)}
        assert codes
        for language in languages():
            assert [code for code in sorted(codes) if not Words(language).get(f"{room}.{code}", "")] == []


def test_a_sentence_without_translation_turns_this_red(tmp_path):
    (tmp_path / "new.py").write_text(
        "from workbench.errors import DataError\n"
        "HOW = 'Use another.' \n"
        "def f(name, rows, notes):\n"
        "    kind = 'red' if rows else 'dark green'\n"
        "    notes.append(f'{name} was seen twice.')\n"
        "    raise DataError(f'The file {name!r} is {kind}.' + ' Strange.', fix=HOW if rows else 'Give up.')\n",
        encoding="utf-8",
    )
    reader = Reader(tmp_path)
    told = ["The file {name} is red.", "The file {name} is dark green.", "Strange.", "Use another.", "Give up."]
    assert sorted(one.text for one in reader.errors()) == sorted(told)
    assert "{name} was seen twice." in [one.text for one in reader.others(())]
    known = {canonical(source) for source in catalogue("zh").entries}
    assert not {canonical(text) for text in told} & known


# What people write into names, words and templates.
ODD = [
    "{x}", "{{", "a\\b\\1", "(?P<x>.*)+$", "\u6d4b\u8bd5\u201c\u5f15\u53f7\u201d", "Stop it first.", "$`\"<b>",
    "It was [MASK] .", "",
]  # fmt: skip


def filled(fixed: tuple[str, ...], values: list[str]) -> str:
    return "".join(text + value for text, value in zip(fixed, [*values, ""], strict=True))


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize("odd", ODD)
def test_what_stands_in_a_hole_comes_through_as_it_is(language, odd):
    said = catalogue(language)
    for source, pattern in patterns(language).items():
        if not re.search("[A-Za-z]", "".join(pattern.fixed)) or any(text in odd for text in pattern.fixed[1:-1]):
            continue  # signs alone say nothing, and a value that holds what stands between two holes can be read in two ways
        values = {hole.name: "1,203" if hole.kind == "number" else odd for hole in pattern.holes}
        inside = {hole.name: said(odd) if hole.kind == "said" else values[hole.name] for hole in pattern.holes}
        assert said(filled(pattern.fixed, list(values.values()))) == pattern.target.format(**inside), source


def test_sentences_are_translated_one_by_one_and_unknown_ones_stay():
    said = Catalogue({"One {a}.": "\u4e00{a}\u3002", "Two.": "\u4e8c\u3002", "{place}: {more:said}": "{place}\uff1a{more}"})
    assert said("One x. Two.") == "\u4e00x\u3002\u4e8c\u3002"
    assert said("Two. Three. One y.") == "\u4e8c\u3002Three. \u4e00y\u3002"
    assert said("recipe: Two. One z.") == "recipe\uff1a\u4e8c\u3002\u4e00z\u3002"
    assert said("recipe: Nobody knows.  Nothing.") == "recipe: Nobody knows.  Nothing."
    assert said("One There is. Gone.") == "\u4e00There is. Gone\u3002"  # a hole may hold what looks like the end of a sentence
    assert said("") == ""


def test_english_stays_as_it_is():
    assert Words("en").said("There is no run 'x'.") == "There is no run 'x'."


@pytest.mark.parametrize("source", ["{a}{b}.", "{a} and {a}.", "{a:loud}.", "{a"])
def test_a_pattern_that_cannot_be_read_is_refused(source):
    with pytest.raises(ValueError):
        parse(source)


def test_a_long_text_takes_little_time():
    started = time.process_time()
    text = "'a' is b, not c. " * 300 + "{" * 3000
    assert Words("zh").said(text).endswith("{")
    assert time.process_time() - started < 20


WRONG = (None, "x", -1, 1.5, 10**12, float("nan"), [], {"a": 1})


def mistakes_of_recipes() -> list[str]:
    """What is said about every wrong value of every field of a recipe and of every option."""
    told: list[str] = []

    def try_it(make, *arguments, **named) -> None:
        try:
            make(*arguments, **named)
        except WorkbenchError as error:
            told.append(f"{error.message} {error.fix}")

    plain = Recipe().model_dump()
    for wrong in WRONG:
        for name, value in plain.items():
            try_it(recipe_from, {**plain, name: wrong}, source="recipe")
            for inner in value if isinstance(value, dict) else ():
                try_it(recipe_from, {**plain, name: {**value, inner: wrong}}, source="recipe")
        for name in method_names():
            for field in method_info(name).fields:
                try_it(check_method, {"name": name, field.name: wrong})
        for kind in verbalizer_kinds():
            for field in verbalizer_info(kind).fields:
                try_it(check_verbalizer, {"kind": kind, field.name: wrong})
    return told


def test_whatever_is_wrong_with_an_option_is_said_in_chinese():
    said, told = Words("zh").said, mistakes_of_recipes()
    assert len(told) > 300
    english = re.compile(r"\b(should|input|unable|valid|value|error|than|required)\b", re.IGNORECASE)
    assert [text for text in told if english.search(said(text))] == []


def test_mistakes_of_a_recipe_are_told_together():
    with pytest.raises(RecipeError) as caught:
        recipe_from({"trainin": {}, "training": {"epochs": -1}}, source="recipe")
    assert "\u201ctraining.epochs\u201d\u662f -1\uff1a\u5e94\u5927\u4e8e 0\u3002" in Words("zh").said(caught.value.message)
