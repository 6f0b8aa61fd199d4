"""What the page names after the engine's registries has its words in every language, and no English is left in the page's own code."""

import ast
import re
import typing
from pathlib import Path

import pytest

from tests.tiny_runs import STATUSES
from workbench.methods import method_info, method_names
from workbench.methods.learnt import What
from workbench.models.card import model_card
from workbench.paradigms.paradigm import find_paradigm, paradigm_names
from workbench.prompts.verbalizers import verbalizer_info, verbalizer_kinds
from workbench.recipe import TrainingPart
from workbench.runs import pet
from workbench.runs.jobs import job_kinds, seeds, sweep
from workbench.ui.tabs.model import QUANTIZATIONS, SOURCES
from workbench.ui.tabs.prompt.verbalizer import UNLISTED
from workbench.ui.text import TEXT, _entries, languages

UI = Path(TEXT).parent
# The same in every language: functions, number formats, and the names that papers and programs gave.
NAMES = {"relu", "gelu", "tanh", "swish", "float32", "float16", "bfloat16"}
PROPER = re.compile(
    r"P-tuning( v2)?|TextCNN|Dropout|OpenPrompt|LM-BFF|PET|RMSNorm|SwiGLU|GeGLU|GELU"
    r"|LoRA|DoRA|McNemar|BitFit|Top-p|bfloat16|BLEU|ROUGE-L"
)
SHOWN = {"label", "info", "title", "placeholder"}
WRITERS = {"sentence", "heading", "lead", "explained"}


def missing(keys: list[str]) -> list[str]:
    return [f"{code}: {key}" for code in languages() for key in keys if key not in _entries(code)]


def option_keys(group: str, owner: str, fields: typing.Iterable) -> list[str]:
    keys = []
    for field in fields:
        own = f"{group}.{owner}.fields.{field.name}"
        place = own if f"{own}.label" in _entries("en") else f"{group}.any.fields.{field.name}"
        keys += [f"{place}.label", f"{place}.help", *(f"{place}.choices.{choice}" for choice in field.choices if choice not in NAMES)]
    return keys


def test_methods_and_their_options():
    for name in method_names():
        assert missing([f"methods.{name}.title", f"methods.{name}.description"]) == []
        assert missing(option_keys("methods", name, method_info(name).fields)) == []


def test_verbalizers_and_their_options():
    for kind in verbalizer_kinds():
        fields = [field for field in verbalizer_info(kind).fields if field.name not in UNLISTED]
        assert missing([f"verbalizers.{kind}.title", f"verbalizers.{kind}.description", *option_keys("verbalizers", kind, fields)]) == []


def test_jobs_and_what_their_tables_say():
    columns = {*seeds.COLUMNS, *pet.COLUMNS, *sweep.COLUMNS, "words", "source", *source_columns()}
    assert missing([*(f"jobs.kinds.{kind}" for kind in ("train", *job_kinds())), *(f"jobs.words.{name}" for name in columns)]) == []


def source_columns() -> set[str]:
    """Columns of tables that a job writes out where it makes them."""
    found: set[str] = set()
    for file in (UI.parent / "runs").rglob("*.py"):
        for written in re.findall(r'"columns": \[([^\]]*)\]', file.read_text(encoding="utf-8")):
            found |= set(re.findall(r'"(\w+)"', written))
    return found


def test_states_stages_and_units():
    models = "\n".join(file.read_text(encoding="utf-8") for file in (UI.parent / "models").rglob("*.py"))
    stages = set(re.findall(r'(?:report|progress)\("(\w+)"', models))
    assert len(stages) > 4
    keys = [*(f"status.{name}" for name in STATUSES), *(f"model.stage_{name}" for name in stages)]
    keys += [*(f"data.unit_{name}" for name in ("tokens", "words", "characters")), *(f"learnt.{what}" for what in typing.get_args(What))]
    keys += [*(f"model.source_{name}" for name in SOURCES), *(f"model.quantization_{name}" for name in QUANTIZATIONS)]
    assert missing(keys) == []


def test_paradigms_and_their_methods():
    for name in paradigm_names():
        assert missing([f"board.paradigms.{name}.title", f"board.paradigms.{name}.story"]) == []
        for method in find_paradigm(name).known():
            assert missing([f"board.methods.{method}"]) == [] or missing([f"methods.{method}.title"]) == []


@pytest.mark.parametrize("model", ["embedded:tiny-en", "embedded:tiny-zh", "embedded:tiny-qwen"])
def test_parts_of_a_model(model):
    card = model_card(model)
    assert missing([f"card.part_{part}" for part in card.parameters_by_part] + [f"card.kind_{card.kind}"]) == []


def test_schedulers():
    names = typing.get_args(TrainingPart.model_fields["scheduler"].annotation)
    assert missing([f"training.any.fields.scheduler.choices.{name}" for name in names]) == []


def test_what_stands_in_the_chinese_file_is_chinese():
    left = {
        key: text
        for key, text in _entries("zh").items()
        if re.search(r"[A-Za-z]{3}", re.sub(r"\{\w*\}", "", text)) and not re.search(r"[\u3400-\u9fff]", text)
    }
    assert {key: text for key, text in left.items() if not PROPER.fullmatch(text) and not key.endswith(".paper")} == {}


def test_chinese_signs_are_full_width():
    wrong = re.compile(r"[\u3400-\u9fff][,;:?!](?!\d)|[,;?!](?=[\u3400-\u9fff])")
    assert {key: text for key, text in _entries("zh").items() if wrong.search(text)} == {}


def words_in(node: ast.expr) -> bool:
    """Whether two words in a row stand in a literal; a name, a path or an id is one."""
    texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return any(re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", re.sub(r"<[^>]*>?", "", text)) for text in texts)


def literals(source: str) -> list[str]:
    """Words of a language that are given to something a person sees."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = [keyword.value for keyword in node.keywords if keyword.arg in SHOWN]
        given += node.args[:1] if called in WRITERS or ast.unparse(node.func).startswith("gr.") else []
        # What is looked up by a key is no literal.
        given = [value for value in given if not isinstance(value, ast.Call)]
        found += [f"line {node.lineno}: {ast.unparse(value)}" for value in given if words_in(value)]
    return found


def test_no_words_of_a_language_stand_in_the_page_s_code():
    # What browsers and other programs are told is English.
    pages = [file for file in UI.rglob("*.py") if file.name not in ("server.py", "programs.py")]
    told = {file.name: literals(file.read_text(encoding="utf-8")) for file in pages}
    assert {name: found for name, found in told.items() if found} == {}


@pytest.mark.parametrize("source", ['gr.Button("Press me")', 'gr.Textbox(label="Your text")', 'sentence(f"Well done {name}")'])
def test_a_literal_is_found(source):
    assert len(literals(source)) == 1


def test_problems_are_shown_in_the_page_s_language():
    """Whoever shows an error passes the page's words along, or takes its sentence through `said`."""
    for file in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            given = ast.unparse(node)
            if node.func.id == "problem":
                assert re.search(r"\bt\)$", given), f"{file.name}: {given}"
            if node.func.id in ("sentence", "esc") and re.search(r"\b(error|card)\.(message|fix|problem)|step\.problem", given):
                assert "said(" in given, f"{file.name}: {given}"
