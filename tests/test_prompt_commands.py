import json

import pytest

from workbench.cli import main


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
