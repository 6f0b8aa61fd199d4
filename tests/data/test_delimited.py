"""Comma-, tab- and semicolon-separated files: exact values, right line numbers, one sentence for each mistake."""

import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.formats import Source
from workbench.data.formats.delimited import read_csv, sniff_delimiter
from workbench.data.readers import read_table
from workbench.errors import DataError

LABELS = ["NA", "None", "null", "nan", "01", "1.0", "1", "True", "true", "-", "1e5", "2020-01-01", "#N/A", "=1+1"]


def read(content, name="f.csv", **options):
    data = content if isinstance(content, bytes) else content.encode()
    return read_csv(Source(name, ".csv", data, **options))


def test_labels_survive_exactly(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("text,label\n" + "".join(f"t{i},{label}\n" for i, label in enumerate(LABELS)))
    table = read_table(file)
    assert [row[1] for row in table.rows] == LABELS
    assert (table.format, table.encoding, table.columns, table.lines[:2]) == ("csv", "utf-8", ("text", "label"), [2, 3])


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_delimiters_and_line_ends(tmp_path, delimiter, end, suffix):
    file = tmp_path / f"f{suffix}"
    rows = [["text", "label"], ["one, two; three\tfour", "a"], ["five", "b"], ["six; seven, eight", "a"]]
    body = end.join(delimiter.join(f'"{v}"' if re.search("[,;\t]", v) else v for v in row) for row in rows)
    file.write_bytes(body.encode())
    table = read_table(file)
    assert [list(table.columns), *map(list, table.rows)] == rows
    assert table.lines == [2, 3, 4]


def test_quoted_newlines_keep_line_numbers_right():
    table = read('text,label\n"a\nb\r\nc",x\n\nplain,y\n"d ""e""",x\n')
    assert table.rows == [("a\nb\r\nc", "x"), ("plain", "y"), ('d "e"', "x")]
    assert table.lines == [2, 6, 7]


def test_line_separators_inside_text_do_not_split_rows():
    assert read("text,label\na\u2028b\x0bc\x85d,x\n").rows == [("a\u2028b\x0bc\x85d", "x")]


@pytest.mark.parametrize(
    "content, message",
    [
        ("text,label\na,x\nb,c,y\n", r"f\.csv, line 3: 3 fields where the header has 2"),
        ("text,label\na,x\nb\n", r"line 3: 1 field where the header has 2"),
        ('text,label\na,x\n"b,y\nc,x\n', r"line 3: a quote opens"),
        ('text,label\n"good,x\nbad,y\n"ok",x\n', r"line 2: a quote opens"),
        ('text,label\n"a\nb",x\n"c" d,y\n', r"line 4: a quote opens"),
        ('text,label\n"good,x\nbad"\nok,x\n', r"line 2 to 3: 1 field"),
        ("text,text\na,x\n", r"line 1: the column name 'text' stands twice"),
        ("text, text\na,x\n", r"stands twice"),
        ("", r"f\.csv is empty"),
        ("\n \n", r"f\.csv is empty"),
        ("\ufeff", r"f\.csv is empty"),
        ("text,label\n", r"has a header but no rows"),
        ("text,label", r"has a header but no rows"),
        ("text,label\na\x00,x\n", r"line 2: there is a NUL byte"),
        ('text,label\n"' + "x" * 1_000_001 + '",a\n', r"line 2: a field is longer"),
        (",".join(f"c{i}" for i in range(5000)) + "\n" + "," * 4999 + "\n", r"more than 4,096 columns"),
    ],
)
def test_mistakes_are_one_sentence_with_a_fix(content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert caught.value.fix.endswith(".") and caught.value.message.endswith(".") and "\n" not in str(caught.value)


def test_ragged_rows_in_tabs_name_the_line():
    with pytest.raises(DataError, match="line 3: 3 fields"):
        read("text\tlabel\na\tb\nc\td\te\n")


def test_commas_in_semicolon_files_do_not_win():
    assert sniff_delimiter("text;label\na, b;x\nc, d;y\n") == ";"
    assert sniff_delimiter("text\n a, b\n") == ","


def test_a_nameless_column_gets_its_number():
    assert read(",text\n0,a\n").columns == ("column 1", "text")


values = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(values, values.filter(bool)), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_what_csv_writes_is_read_back(rows):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *rows])
    assert read(buffer.getvalue(), encoding="utf-8").rows == rows


@given(st.binary(max_size=200) | st.text('ab",;\t\n\r\x00é好', max_size=60).map(str.encode))
@settings(max_examples=400, deadline=None)
def test_any_file_is_a_table_or_a_data_error(data):
    try:
        table = read(data)
    except DataError:
        return
    assert all(len(row) == len(table.columns) for row in table.rows) and len(table.rows) == len(table.lines) > 0
