"""JSON Lines and JSON: values as they are written, line numbers, refusals."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.formats import Source
from workbench.data.formats.json_lines import read_json, read_jsonl
from workbench.errors import DataError


def lines(content):
    return read_jsonl(Source("f.jsonl", ".jsonl", content.encode("utf-8", "surrogatepass")))


def whole(content):
    return read_json(Source("f.json", ".json", content.encode("utf-8", "surrogatepass")))


def test_values_keep_their_written_form():
    table = lines('{"text": "NA", "label": 1.0}\n\n{"text": null, "label": true}\r\n{"label": "01", "text": "a\u2028b", "more": -0}\n')
    assert table.columns == ("text", "label", "more")
    assert table.rows == [("NA", "1.0", ""), ("", "true", ""), ("a\u2028b", "01", "-0")]
    assert table.lines == [1, 3, 4]


def test_lists_and_streams_have_line_numbers():
    rows = '{"text": "a",\n "label": "x"}%s\n{"text": "b", "label": "y"}'
    for content in ("[\n" + rows % "," + "\n]\n", "\n" + rows % ""):
        table = whole(content)
        assert (table.format, table.rows, table.lines) == ("json", [("a", "x"), ("b", "y")], [2, 4])


def test_a_number_of_many_digits_is_text():
    assert lines('{"a": ' + "9" * 10_000 + "}").rows[0][0] == "9" * 10_000


GOOD = '{"text": "a", "label": "x"}'


@pytest.mark.parametrize(
    "content, message",
    [
        (GOOD + '\n{"text": "b", "label"\n', r"f\.jsonl, line 2: this is not valid JSON"),
        (GOOD + "\n[1]\n", r"line 2: a row is a list"),
        (GOOD + "\n3\n", r"line 2: a row is a text or number"),
        (GOOD + '\n{"text": {"a": 1}}\n', r"line 2: the field 'text' is an object"),
        (GOOD + '\n{"text": ["a"]}\n', r"line 2: the field 'text' is a list"),
        (GOOD + '\n{"text": "a", "text": "b"}\n', r"line 2: the key 'text' stands twice"),
        (GOOD + GOOD, r"line 1: something follows"),
        ("[" * 100_000, r"line 1: (values are nested too deeply|this is not valid JSON)"),
        ('{"a":' * 100_000, r"line 1: (values are nested too deeply|this is not valid JSON)"),
        ('{"text": "\\ud800"}', r"line 1: column 'text' holds half of a surrogate pair"),
        ('{"text": "\\u0000"}', r"line 1: column 'text' holds a NUL"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("{}", "no fields"),
    ],
)
def test_mistakes_in_lines(content, message):
    with pytest.raises(DataError, match=message) as caught:
        lines(content)
    assert caught.value.fix


@pytest.mark.parametrize(
    "content, message",
    [
        (f"[{GOOD},\n{GOOD}\n", r"f\.json, line 3: a comma or the closing bracket"),
        (f"[{GOOD},\n]", r"line 2: this is not valid JSON"),
        (f"[{GOOD}]\n]", r"line 2: something follows"),
        (f"[{GOOD}\n{GOOD}]", r"line 2: a comma"),
        ('{"data": [1]}', "the field 'data' is a list"),
        ("[]", "0 rows"),
        ("[", "not valid JSON"),
        ('"text"', "a row is a text"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
)
def test_mistakes_in_lists(content, message):
    with pytest.raises(DataError, match=message):
        whole(content)


values = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(values, values), min_size=1))
@settings(max_examples=100, deadline=None)
def test_what_json_writes_is_read_back(rows):
    objects = [{"text": text, "label": label} for text, label in rows]
    assert whole(json.dumps(objects, ensure_ascii=False, indent=1)).rows == rows
    assert lines("\n".join(map(json.dumps, objects))).rows == rows


@given(st.text('{}[]":,\\ \nabu0d8e-.1', max_size=80))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_table_or_a_data_error(content):
    for read in (lines, whole):
        with contextlib.suppress(DataError):
            assert read(content).rows
