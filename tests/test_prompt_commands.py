"""Commands about prompts before any training; what scoring sends on is what the page's buttons make."""

import json

import pytest

from tests.tiny_runs import make_data, make_recipe
from workbench.cli import main
from workbench.data.dataset import load_splits
from workbench.models.loading import load_model
from workbench.prompts.cards import Card
from workbench.prompts.formats import notation
from workbench.recipe import load_recipe
from workbench.runs.from_cards import cards_of
from workbench.runs.service import RunService
from workbench.serving.scoring import CardScorer, compare
from workbench.ui.tabs.prompt.cards import ensemble, pet
from workbench.ui.tabs.prompt.live import view
from workbench.ui.text import Words

TWO = ["{text} it was [MASK] .", "the [MASK] film {text}"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recipe of two templates, 4 rows per class to train on and 60 to score on."""
    folder = tmp_path_factory.mktemp("prompts")
    recipe = make_recipe(folder, data__split__shots=4, data__split__validation=60, prompt__templates=TWO)
    make_data(folder / "data.csv", rows=120)
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    return folder


def call(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def test_a_template_of_another_tool_is_read_and_written(tmp_path, capsys):
    runs = ("--runs", tmp_path / "none")
    file = tmp_path / "template.txt"
    file.write_text('{"placeholder": "text_a"} It was {"mask"}.\n', encoding="utf-8")
    code, answer, err = call(capsys, "import-template", file, *runs)
    assert code == 0 and answer["from"] == "openprompt" and answer["templates"] == ["{text_a} It was [MASK]."], err
    code, answer, _ = call(capsys, "import-template", file, "--to", "lm-bff", *runs)
    assert code == 0 and answer["templates"] == ["*cls**sent_0*_It_was*mask*.*sep+*"]
    code, answer, err = call(capsys, "import-template", "{'0':'terrible','1':'great'}", "--recipe", "en-sentiment-lora", *runs)
    assert answer["verbalizers"] == [{"negative": ["terrible"], "positive": ["great"]}] and "Note: Classes were taken" in err


@pytest.mark.parametrize("to", ["pet", "openprompt-words", "lm-bff"])
def test_label_words_are_written_in_another_tools_notation_and_read_back(to, tmp_path, capsys):
    words, runs = {"negative": ["terrible"], "positive": ["great"]}, ("--runs", tmp_path / "none")
    code, answer, err = call(capsys, "import-template", json.dumps(words), "--to", to, *runs)
    assert code == 0 and answer["to"] == to and answer["words"] == [notation(to).write_words(words)], err
    assert answer["words"][0].strip() in err
    code, answer, err = call(capsys, "import-template", answer["words"][0], "--from", to, *runs)
    assert code == 0 and answer["verbalizers"] == [words] and answer["words"] == [], err


def test_a_notation_without_label_words_writes_the_template_and_says_so(tmp_path, capsys):
    runs = ("--runs", tmp_path / "none")
    both = "*cls**sent_0*_It_was*mask*.*sep+*\t{'0':'terrible','1':'great'}"
    code, answer, err = call(capsys, "import-template", both, "--to", "openprompt", *runs)
    assert code == 0 and len(answer["templates"]) == 1 and answer["words"] == [], err
    assert "0: terrible" in err and "Note: Label words are not written as OpenPrompt" in err
    code, answer, err = call(capsys, "import-template", "{'0':'terrible','1':'great'}", "--to", "openprompt", *runs)
    assert code == 2 and answer is None and "Label words are not written as OpenPrompt" in err


def test_from_one_tool_to_another_the_second_text_stays_the_second(tmp_path, capsys):
    rows = [f"it rains {i},it is {word},{label}" for i in range(9) for word, label in (("wet", "yes"), ("dry", "no"))]
    (tmp_path / "pairs.csv").write_text("\n".join(["premise,hypothesis,label", *rows]), encoding="utf-8")
    recipe = tmp_path / "pairs.yaml"
    columns = "columns: {premise: premise, hypothesis: hypothesis, label: label}"
    recipe.write_text(
        f"name: pairs\nmodel: {{path: 'embedded:tiny-en'}}\ndata: {{train: {tmp_path / 'pairs.csv'}, {columns}}}\n"
        "prompt: {templates: ['{premise} [MASK] {hypothesis}'], verbalizer: {kind: manual, words: {'yes': [good], 'no': [bad]}}}\n",
        encoding="utf-8",
    )
    asked = ("import-template", "{text_b} ? [MASK] , {text_a}", "--recipe", recipe, "--runs", tmp_path / "none")
    code, answer, err = call(capsys, *asked)
    assert code == 0 and answer["templates"] == ["{hypothesis} ? [MASK] , {premise}"], err
    code, answer, err = call(capsys, *asked, "--to", "lm-bff")
    assert code == 0 and answer["templates"] == ["*cls**sent_1*_?*mask*_,*+sent_0**sep+*"], err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import-template", '{"mask"}'], "no column"),
        (["import-template", "agnews 0", "--to", "pett"], "Did you mean 'pet'"),
        (["library", "pet-rt"], "pet-rte"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words, tmp_path, capsys):
    code, answer, err = call(capsys, *arguments, "--runs", tmp_path / "none")
    assert code == 2 and answer is None and words in err and "Traceback" not in err


def test_the_library_is_listed_with_sources(tmp_path, capsys):
    code, answer, _ = call(capsys, "library", "--runs", tmp_path / "none")
    assert code == 0 and all(row["source"] for row in answer["library"]) and len(answer["library"]) >= 15
    code, answer, err = call(capsys, "library", "zh-sentiment", "--runs", tmp_path / "none")
    assert code == 0 and "FewCLUE" in err and len(answer["library"][0]["patterns"]) >= 6


def test_many_templates_are_scored_on_few_rows_first_as_the_lab_does(place, capsys):
    templates = [f"{'film ' * (n % 7)}{{text}} {'the ' * (n // 7)}[MASK] ." for n in range(14)]
    assigned = f"prompt.templates={json.dumps(templates)}"
    code, answer, err = call(capsys, "score", place / "recipe.yaml", "--set", assigned, "--runs", place / "none")
    assert code == 0, err
    # 60 rows in rounds of 25, 50 and 60; 12 of 14 cards go through to the end.
    assert sorted(row["rows"] for row in answer["templates"]) == [25] * 2 + [60] * 12 and answer["examples"] == 60
    assert all(row["score"] == row["metrics"]["accuracy"] for row in answer["templates"])
    recipe = load_recipe(place / "recipe.yaml", {"prompt.templates": templates})
    splits = load_splits(recipe.data)
    scorer = CardScorer(load_model(recipe.model), recipe.prompt, splits.labels, splits.validation.examples)
    *_, ranking = compare(scorer, cards_of(recipe), 60)
    assert [answer["templates"][i]["template"] for i in answer["ranking"]] == [card.template for card in ranking]
    assert answer["ensemble"]["rows"] == 25 and sorted(answer["ensemble"]["members"]) == list(range(14)), "rows that all of them have read"


def test_the_pages_cards_are_scored_and_what_was_scored_becomes_cards(place, tmp_path, capsys):
    recipe, other = load_recipe(place / "recipe.yaml"), Card("{text} [MASK]", None, source="search")
    service = RunService(tmp_path)
    service.lab.keep(recipe, [other, *cards_of(recipe)[:1]])
    service.close()
    code, answer, err = call(capsys, "score", place / "recipe.yaml", "--kept", "--runs", tmp_path)
    assert code == 0, err
    assert [(row["template"], row["source"]) for row in answer["templates"]] == [*((t, "recipe") for t in TWO), (other.template, "search")]
    service = RunService(tmp_path, writable=False)
    assert [card.score for card in service.lab.cards(recipe)] == [None, None], "nothing is kept unasked"
    code, answer, err = call(capsys, "score", place / "recipe.yaml", "--kept", "--keep", "--runs", tmp_path)
    assert code == 0, err
    cards = service.lab.cards(recipe)
    assert [card.template for card in cards] == [answer["templates"][i]["template"] for i in answer["ranking"]]
    assert [card.score for card in cards] == [answer["templates"][i]["score"] for i in answer["ranking"]] and cards[0].rows == 60
    service.close()


def test_what_was_found_is_written_as_the_buttons_of_the_page_make_it(place, tmp_path, capsys):
    files = {flag: tmp_path / f"{flag}.yaml" for flag in ("best", "together", "pet")}
    asked = [part for flag, file in files.items() for part in (f"--{flag}", file)]
    code, answer, err = call(capsys, "score", place / "recipe.yaml", *asked, "--runs", tmp_path / "root")
    assert code == 0 and answer["written"] == {flag: str(file) for flag, file in files.items()}, err
    recipe = load_recipe(place / "recipe.yaml")
    ranked = [TWO[i] for i in answer["ranking"]]
    scored = [Card(template, recipe.prompt.verbalizer).scored(correct=9 - n, rows=10, loss=0.5) for n, template in enumerate(ranked)]
    assert load_recipe(files["best"]).prompt.templates == ranked[:1]
    assert load_recipe(files["together"]) == ensemble(recipe, scored, Words("en"))[0]
    assert load_recipe(files["pet"]) == pet(recipe, scored, Words("en"))[0] and load_recipe(files["pet"]).kind == "pet"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--keep", "--data", "data.csv"], "validation rows"),
        (["--best", "nowhere/best.yaml"], "no folder"),
        (["--pet", "pet.yaml", "--set", "data.split.shots=null"], "no unlabelled rows"),
        (["--set", "task=generation"], "no label words"),
    ],
)
def test_what_cannot_be_scored_or_sent_on_is_refused_before_the_work(place, arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, answer, err = call(capsys, "score", place / "recipe.yaml", *arguments, "--runs", tmp_path / "none")
    assert code == 2 and answer is None and words in err and list(tmp_path.iterdir()) == []


def test_a_preview_on_the_command_line_is_the_pages(place, tmp_path, capsys):
    recipe = load_recipe(place / "recipe.yaml")
    command = ("preview", place / "recipe.yaml", "--page", "1", "--set", "prompt.max_length=12", "--runs", tmp_path / "none")
    code, answer, err = call(capsys, *command, "--attention")
    assert code == 0 and not (tmp_path / "none").exists(), err
    service = RunService(tmp_path / "root")
    shown = view(service, recipe.replace({"prompt.max_length": 12}), 1, attention=True)
    service.close()
    assert answer["labels"] == list(shown.labels) and len(answer["rows"]) == 3
    for said, row in zip(answer["rows"], shown.rows, strict=True):
        assert said["example"] == {"line": row.example.line, "label": row.example.label, "fields": row.example.fields}
        (said_prompt,) = said["prompts"]
        assert [(t["text"], t["role"], t["cut"]) for t in said_prompt["tokens"]] == [(t.text, t.role, t.cut) for t in row.tokens]
        assert [t["attention"] for t in said_prompt["tokens"]] == pytest.approx([t.attention for t in row.tokens], abs=1e-6)
        assert [word for word, _ in said["top"][0]["tokens"]] == [word for word, _ in row.top[0].tokens] and len(row.top[0].tokens) == 10
        assert said["label_words"]["pos"] == pytest.approx(row.label_words["pos"], abs=1e-6)
        assert said["masses"]["1"] == pytest.approx(row.masses[1], abs=1e-6)
        assert said["class_probabilities"] == pytest.approx(row.class_probabilities, abs=1e-6)
        assert f"Line {row.example.line}, {row.example.label}: [CLS]" in err
    assert any(token["cut"] for row in answer["rows"] for token in row["prompts"][0]["tokens"]) and "tokens cut" in err
    code, answer, _ = call(capsys, *command, "--rows", "1", "--top", "2")
    assert code == 0 and len(answer["rows"]) == 1 and len(answer["rows"][0]["top"][0]["tokens"]) == 2
    assert all(token["attention"] is None for token in answer["rows"][0]["prompts"][0]["tokens"]), "only when asked for"


def test_a_preview_in_chinese_is_readable(tmp_path, capsys):
    assert main(["preview", "zh-sentiment-hard-prompt", "--rows", "1", "--runs", str(tmp_path / "none")]) == 0
    out, err = capsys.readouterr()
    assert "总" in out and "label words: 好" in err and "\\u" not in out


def test_a_preview_with_words_that_rows_teach_has_its_training_rows(place, tmp_path, capsys):
    learnt = "prompt.verbalizer={kind: automatic, words_per_label: 1}"
    code, answer, err = call(capsys, "preview", place / "recipe.yaml", "--set", learnt, "--rows", "1", "--runs", tmp_path / "none")
    assert code == 0 and all(answer["rows"][0]["label_words"].values()), err


@pytest.mark.parametrize(("arguments", "words"), [(["--rows", "-1"], "rows"), (["--set", "task=generation"], "no label words")])
def test_what_has_no_preview_is_one_sentence(place, arguments, words, tmp_path, capsys):
    code, answer, err = call(capsys, "preview", place / "recipe.yaml", *arguments, "--runs", tmp_path / "none")
    assert code == 2 and answer is None and words in err and "Traceback" not in err
