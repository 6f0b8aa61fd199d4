"""Markup in everything that a person, a file or a model names: labels, columns, rows, file names, templates, label words, tokens, notes,
a run's name and a chat. A person goes through every tab, in both languages, and nothing of it is anything but text (reliability row 46)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.app_process import AppProcess
from tests.browser.person import Person
from tests.tiny_runs import WORDS, make_model
from tests.training.test_generation import recipe_for, save_qwen
from workbench.recipe import Recipe, recipe_from
from workbench.runs.service import RunService
from workbench.ui.sharing import token_of


def evil(place: str) -> str:
    """What would put an element into the page, or run, where it is not told apart from the page's own: no braces, brackets or slashes,
    since templates and file names take none."""
    return f"<img src=x data-evil={place} onerror=alert(1)>"


def worse(place: str) -> str:
    """The same with what gradio's templates, Markdown and charts would read as theirs."""
    return evil(place) + "<script>alert(1)</script><a href='//evil.example'>a</a>[b](javascript:alert(1)){{alert(1)}}${alert(1)}"


LABELS = (worse("label-one"), worse("label-two"))
COLUMNS = {"text": worse("column-text"), "label": worse("column-label")}
# A row's text stands there token by token.
SHOWN = re.compile(r"alert\s*\(\s*1")
# Every element that the texts above could have become, wherever it stands.
FOUND = """() => [...document.querySelectorAll("*")].filter(
    element => [...element.attributes].some(({name, value}) =>
        name === "data-evil" || name === "onerror" || (/href$/.test(name) && /evil[.]example|javascript:/.test(value)))
).map(element => element.outerHTML.slice(0, 200))"""


@dataclass(frozen=True)
class Home:
    """A data root with a finished training, board and chat of such texts, and the training's recipe."""

    root: Path
    recipe: Recipe


def write_rows(file: Path) -> None:
    with open(file, "w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow([COLUMNS["text"], COLUMNS["label"]])
        for number in range(40):
            words = f"{'the ' * (number // 5)}{('lovely', 'awful')[number % 2]} {'food ' * (number % 5)}"
            rows.writerow([words + worse(f"row-{number}"), LABELS[number % 2]])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("inert")
    tokens = [evil(f"token-{number}") for number in range(40)]
    marks = ["<", ">", "=", "(", ")", "-", "img", "src", "x", "data", "evil", "word", "alert", "onerror", "0", "1"]
    model = make_model(folder / evil("model"), [*WORDS, *marks, *tokens])
    write_rows(folder / f"{evil('file')}.csv")
    recipe = recipe_from({
        "name": worse("run"), "task": "classification", "model": {"path": str(model), "device": "cpu"},
        "data": {"train": str(folder / f"{evil('file')}.csv"), "columns": COLUMNS, "split": {"validation": 12, "shots": 8}},
        "prompt": {
            "templates": [f"{{text}} {evil('template')} [MASK]"], "max_length": 64,
            "verbalizer": {"kind": "manual", "words": {label: [evil(f"word-{number}")] for number, label in enumerate(LABELS)}},
        },
        "method": {"name": "lora"}, "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.003},
    }, source="test")  # fmt: skip
    board = {"kind": "board", "shots": [4], "seeds": 1, "test": 12, "validation": 8, "paradigms": {"classical": ["naive_bayes"]}}
    save_qwen(folder / "qwen" / "model")
    said = [{"instruction": worse("question"), "output": worse("answer")} for _ in range(16)]
    (folder / "qwen" / "rows.jsonl").write_text("\n".join(map(json.dumps, said)), encoding="utf-8")
    chat = recipe_for(folder / "qwen", {"name": worse("chat"), "training.epochs": 1, "training.evaluate_every": 2})
    service = RunService(folder / "root")
    for wanted in (chat, recipe.replace({"job": board, "name": worse("board")}), recipe):
        run = service.submit(wanted)
        assert service.wait(run, 240).status == "finished", service.read(run).error
        service.annotate(run, tags=evil("tag"), note=worse("note"))
    service.close()
    return Home(folder / "root", recipe)


@pytest.fixture(scope="module")
def page(home: Home) -> Iterator[AppProcess]:
    app = AppProcess(home.root)
    yield app
    app.close()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_markup_is_text_on_every_tab(visit, home, page, tmp_path, language):
    person = visit(language, to=page)
    dialogs: list[str] = []
    person.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    person.page.evaluate("token => history.replaceState(null, '', `#recipe=${token}`)", token_of(home.recipe))
    person.reload().sees("summary", "data-evil=file")
    found = {}
    for look in (at_model, at_data, at_prompt, at_method, at_train, at_try, at_chat, at_board, at_runs):
        look(person, tmp_path)
        found[look.__name__] = person.page.evaluate(FOUND)
    assert {name: elements for name, elements in found.items() if elements} == {} and dialogs == []


def at_model(person: Person, folder: Path) -> None:
    person.tab("model").sees("model-card", "data-evil=model").press("model-load").sees("model-status", "data-evil=model")


def at_data(person: Person, folder: Path) -> None:
    person.tab("data").sees("data-facts", "data-evil=file").sees("data-rows", "data-evil=row-").sees("data-rows", "data-evil=column-text")
    # A chart that reads a label as markup shows less than the label.
    person.sees("data-labels", "<img src=x data-evil=label-one")


def at_prompt(person: Person, folder: Path) -> None:
    person.tab("prompt").sees("preview", SHOWN).sees("preview", "data-evil=label-").sees("preview", "data-evil=token-")
    person.press("keep-card").sees("cards", "data-evil=template")
    person.page.get_by_text(person.t("import.title")).click()
    person.paste("import-text", worse("import")).press("import-read").waits_for("imported", "place => place.innerText.trim() !== ''")
    person.paste("template-0", f"{{text}} {worse('typed')}").sees("preview", "data-evil=typed")
    person.paste("template-0", f"{{text}} {evil('template')} [MASK]").sees("preview", SHOWN)


def at_method(person: Person, folder: Path) -> None:
    person.tab("method").sees("method-view", person.t("method.trainable"))


def at_train(person: Person, folder: Path) -> None:
    person.tab("train").sees("train-status", "data-evil=run").sees("train-confusion", "data-evil=label-two")
    person.press("checks-ask").waits_for("checks-found", "place => place.innerText.trim() !== ''")


def at_try(person: Person, folder: Path) -> None:
    person.tab("try").press("try-example").sees("try-answer", "data-evil=label-").sees("try-answer", "data-evil=word-")


def at_chat(person: Person, folder: Path) -> None:
    person.write("chat-text-0", worse("asked")).press("chat-send")
    person.sees("chat-base", "data-evil=asked").sees("chat-tuned", "data-evil=asked")


def at_board(person: Person, folder: Path) -> None:
    person.tab("board").sees("board-status", "data-evil=board").sees("board-detail", "<img src=x data-evil=")
    person.press("board-example").press("board-ask").sees("board-answers", "data-evil=label-")


def at_runs(person: Person, folder: Path) -> None:
    person.tab("runs").sees("runs-table", "data-evil=run").sees("runs-table", "data-evil=note")
    person.sees("runs-table", "<img src=x data-evil=ta")  # long tags are shortened
