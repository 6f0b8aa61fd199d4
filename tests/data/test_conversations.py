"""Instruction data in the layouts that people have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.data.conversations import Turn, conversations, guess_columns, load_conversations, questions
from workbench.data.readers import read_table
from workbench.errors import DataError
from workbench.recipe import DataPart

SHAREGPT = [
    {"from": "system", "value": "be kind"},
    {"from": "human", "value": "hi"},
    {"from": "gpt", "value": "hello"},
    {"from": "human", "value": "你好"},
    {"from": "gpt", "value": "您好"},
    {"from": "human", "value": "nobody answers this"},
]


def write(folder: Path, name: str, rows: list[dict]) -> Path:
    file = folder / name
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(lines) if name.endswith("jsonl") else "[" + ",".join(lines) + "]", encoding="utf-8")
    return file


def test_alpaca(tmp_path: Path) -> None:
    rows = [{"instruction": "add", "input": "1 2", "output": "3"}, {"instruction": "say", "input": "", "output": " "}]
    file = write(tmp_path, "a.json", rows)
    table = read_table(file)
    assert guess_columns(table) == {"instruction": "instruction", "input": "input", "response": "output"}
    first, second = conversations(table, {})
    assert first.fields == {"instruction": "add", "input": "1 2"} and first.turns == (Turn("assistant", "3"),)
    assert second.turns == ()


@pytest.mark.parametrize("column", ["conversations", "messages"])
def test_lists_of_messages(tmp_path: Path, column: str) -> None:
    rows = SHAREGPT
    if column == "messages":
        rows = [{"role": {"human": "user", "gpt": "assistant"}.get(m["from"], m["from"]), "content": m["value"]} for m in SHAREGPT]
    (row,) = conversations(read_table(write(tmp_path, "s.jsonl", [{column: rows}])), {"messages": column})
    assert row.system == "be kind" and row.fields == {"message": "hi"}
    assert [turn.text for turn in row.turns] == ["hello", "你好", "您好"]


def test_split_and_notes(tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": f"a{i}"} for i in range(20)] + [{"question": "q", "answer": ""}]
    data = DataPart(train=str(write(tmp_path, "q.jsonl", rows)), columns={}, split={"validation": 5, "shots": 8})
    splits = load_conversations(data)
    assert len(splits.validation) == 5 and len(splits.train) == 8 and "1 row without" in splits.notes[0]
    assert not {row.content for row in splits.train} & {row.content for row in splits.validation}


def test_mistakes_name_the_place(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a.jsonl", [{"text": "x", "label": "y"}]))
    with pytest.raises(DataError, match="answers"):
        conversations(table, {"text": "text"})
    with pytest.raises(DataError, match="no column 'outputs'"):
        conversations(table, {"text": "text", "response": "outputs"})
    table = read_table(write(tmp_path, "b.jsonl", [{"messages": [{"role": "judge", "content": "x"}]}]))
    with pytest.raises(DataError, match="line 1.*judge"):
        conversations(table, {"messages": "messages"})
    with pytest.raises(DataError, match="list of messages"):
        conversations(read_table(write(tmp_path, "c.jsonl", [{"messages": "plain text"}])), {"messages": "messages"})


def test_only_the_rows_that_hold_a_value_are_read(tmp_path: Path) -> None:
    rows = [{"mood": "good" if i % 3 else "bad", "answer": f"a{i}"} for i in range(12)]
    columns = {"mood": "mood", "response": "answer"}
    splits = load_conversations(DataPart(train=str(write(tmp_path, "q.jsonl", rows)), columns=columns, only={"mood": "good"}))
    assert len(splits.train) + len(splits.validation) == 8
    assert {row.fields["mood"] for row in [*splits.train, *splits.validation]} == {"good"}


def test_a_message_may_have_parts_or_nothing_and_nothing_else_than_text(tmp_path: Path) -> None:
    def said(content: object) -> str:
        rows = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]
        (row,) = conversations(read_table(write(tmp_path, "s.jsonl", [{"messages": rows}])), {"messages": "messages"})
        return "".join(turn.text for turn in row.turns)

    assert said(None) == "" and said([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]) == "one\ntwo" and said(3) == "3"
    for strange in ([{"type": "image_url", "image_url": {"url": "x"}}], {"a": 1}, True):
        with pytest.raises(DataError, match="line 1.*something else than text"):
            said(strange)


def test_what_is_asked_needs_no_answer_and_ends_with_the_last_question(tmp_path):
    rows = [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}]},
        {"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"conversations": None},
    ]
    file = tmp_path / "asked.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    first, second, third = questions(read_table(file), {}, ("message",))
    assert (first.fields, [turn.text for turn in first.turns]) == ({"message": "a"}, ["b", "c"])
    assert (second.system, second.turns[-1].role) == ("s", "assistant") and third.fields == {"message": ""}


def test_questions_of_other_layouts_are_found_without_their_answers(tmp_path):
    file = tmp_path / "asked.csv"
    file.write_text("Instruction,input\nsay,a\n", encoding="utf-8")
    (row,) = questions(read_table(file), {}, ("instruction", "input"))
    assert (row.fields, row.turns) == ({"instruction": "say", "input": "a"}, ())
    file.write_text("ask,reply\nsay,a\n", encoding="utf-8")
    (row,) = questions(read_table(file), {"q": "ask", "response": "reply"}, ("q",))
    assert (row.fields, row.turns[0].text) == ({"q": "say"}, "a")
