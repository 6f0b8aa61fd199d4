"""The one door: formats told apart, renamed and oversized files refused, workbooks and Parquet read as text."""

import datetime
import io
import random
import time
import zipfile

import openpyxl
import pandas
import pytest

from workbench.data import readers
from workbench.data.formats import file_formats, register_format
from workbench.data.readers import read_table
from workbench.errors import DataError
from workbench.recipe import PRESETS

ROWS = [("很好 good", "NA"), ("bad\nline", "None"), ("t", "01"), ("u", "True"), ("=1+1", "null")]


def workbook(rows, path):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cells in book.active.iter_rows():
        for cell in cells:
            if isinstance(cell.value, str):
                cell.data_type = "s"
    book.save(path)
    return path


def test_xlsx_keeps_text(tmp_path):
    table = read_table(workbook([("text", "label"), *ROWS], tmp_path / "f.xlsx"))
    assert (table.format, table.encoding, table.columns, table.rows, table.lines) == (
        "xlsx",
        "binary",
        ("text", "label"),
        ROWS,
        [2, 3, 4, 5, 6],
    )


def test_xlsx_typed_cells_read_as_they_are_shown(tmp_path):
    path = tmp_path / "f.xlsx"
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Second")
    sheet.append(["text", "label", "more"])
    sheet.append([1, 2.0, True])
    sheet.append([7, None, None])
    sheet.append([None, None, None])
    sheet.append([1.5, datetime.date(2020, 1, 2), "x"])
    sheet["A3"].number_format = "000"
    book.save(path)
    table = read_table(path)
    assert table.rows == [("1", "2", "TRUE"), ("007", "", ""), ("1.5", "2020-01-02 00:00:00", "x")]
    assert table.lines == [2, 3, 5]


def test_parquet_keeps_text(tmp_path):
    path = tmp_path / "f.parquet"
    pandas.DataFrame({"text": [r[0] for r in ROWS] + [None], "label": [r[1] for r in ROWS] + ["x"], "n": range(6)}).to_parquet(path)
    table = read_table(path)
    assert (table.format, table.encoding, table.lines) == ("parquet", "binary", [1, 2, 3, 4, 5, 6])
    assert table.rows == [(*row, str(i)) for i, row in enumerate(ROWS)] + [("", "x", "5")]


def test_parquet_with_lists_is_refused(tmp_path):
    pandas.DataFrame({"text": [["a"]]}).to_parquet(tmp_path / "f.parquet")
    with pytest.raises(DataError, match="the column 'text' holds lists"):
        read_table(tmp_path / "f.parquet")


def test_renamed_files_say_what_they_are(tmp_path):
    book = workbook([("text", "label"), ("a", "b")], tmp_path / "f.xlsx").read_bytes()
    cases = [
        ("a.csv", book, "is an Excel workbook"),
        ("b.parquet", book, "not a Parquet file but an Excel"),
        ("c.xlsx", b"text,label\n", "something else"),
        ("d.jsonl", b"PAR1xx", "is a Parquet file"),
        ("e.csv", b"\xd0\xcf\x11\xe0abc", "old or encrypted"),
        ("f.csv", b"\x1f\x8bxyz", "gzip"),
        ("g.xlsx", b"PK\x03\x04rubbish", "not a readable Excel"),
        ("h.parquet", b"PAR1rubbish", "not a readable Parquet"),
        ("i.doc", b"x", "ending in '.doc'"),
        ("j.csv", b"", "is empty"),
        ("k.xlsx", b"", "is empty"),
    ]
    for name, data, message in cases:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=message) as caught:
            read_table(tmp_path / name)
        assert caught.value.fix and name in caught.value.message


def test_paths_that_are_no_files(tmp_path):
    (tmp_path / "reviews.csv").write_text("a\nb\n")
    for path, message in [
        (tmp_path / "revews.csv", "reviews.csv"),
        (tmp_path, "not a file"),
        ("a\x00.csv", "csv"),
        ("x" * 5000 + ".csv", "csv"),
        ("", "not a file"),
    ]:
        with pytest.raises(DataError, match=message):
            read_table(path)


def test_a_shown_name_decides_the_format(tmp_path):
    (tmp_path / "upload").write_text('{"a": "1"}')
    assert read_table(tmp_path / "upload", name="mine.jsonl").name == "mine.jsonl"


def test_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_FILE_BYTES", 20)
    (tmp_path / "f.csv").write_text("text,label\n" + "a,b\n" * 3)
    with pytest.raises(DataError, match="larger than"):
        read_table(tmp_path / "f.csv")


SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>'


@pytest.mark.parametrize("rows", [
    "<row>" + "<c/>" * 10_000_000 + "</row>", ("<row>" + "<c/>" * 1000 + "</row>") * 10_000, '<row><c r="XFD1"/></row>' * 200_000,
    '<row r="1048576"/>', " " * 200_000_000, "<x/>" * 10_000_000,
], ids=["one row", "empty cells", "far columns", "a far row", "spaces", "other tags"])  # fmt: skip
def test_a_workbook_of_a_few_kilobytes_takes_no_ten_seconds(tmp_path, rows):
    """Each is a real workbook with another sheet in it. Of processor time, since other tests may be at work beside this one."""
    whole = zipfile.ZipFile(workbook([("text", "label"), ("a", "b")], tmp_path / "whole.xlsx"))
    with zipfile.ZipFile(tmp_path / "f.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in whole.namelist():
            archive.writestr(name, SHEET.format(rows=rows) if "sheet1" in name else whole.read(name))
    started = time.process_time()
    with pytest.raises(DataError):
        read_table(tmp_path / "f.xlsx")
    assert time.process_time() - started < 10


def test_a_large_workbook_of_real_rows_is_read(tmp_path):
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(5000)]
    rows = [(" ".join(chance.choices(words, k=25)), chance.choice(("good", "bad"))) for _ in range(50_000)]
    path = workbook([("text", "label"), *rows], tmp_path / "f.xlsx")
    assert path.stat().st_size > 4_500_000
    table = read_table(path)
    assert len(table.rows) == 50_000 and tuple(table.rows[-1]) == rows[-1]


def test_the_registry_refuses_a_taken_suffix():
    assert {".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".parquet"} <= set(file_formats())
    with pytest.raises(ValueError, match="registered already"):
        register_format("other", suffixes=(".csv",), title="x")(lambda source: None)


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".csv", ".jsonl"])
def test_damaged_files_are_tables_or_data_errors(tmp_path, suffix):
    frame = pandas.DataFrame({"text": ["很好", "bad", "b c"], "label": ["a", "b", "a"]})
    buffer = io.BytesIO()
    {
        ".xlsx": lambda: frame.to_excel(buffer, index=False),
        ".parquet": lambda: frame.to_parquet(buffer),
        ".csv": lambda: frame.to_csv(buffer, index=False),
        ".jsonl": lambda: frame.to_json(buffer, orient="records", lines=True),
    }[suffix]()
    whole, generator, file = buffer.getvalue(), random.Random(0), tmp_path / f"f{suffix}"
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 6)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        file.write_bytes(data[: generator.randint(4, len(data))] if generator.random() < 0.3 else data)
        try:
            assert read_table(file).rows
        except DataError as error:
            assert error.fix


def test_embedded_data():
    """Whatever data the presets bring, none without the folder, reads as its description says."""
    rows = {"en_movie_reviews": 6000, "en_text_sources": 6000, "zh_product_reviews": 8000}
    for file in (PRESETS / "data").glob("*.csv"):
        table = read_table(file)
        assert (table.columns, table.encoding) == (("text", "label"), "utf-8")
        assert len(table) == rows.get(file.stem, len(table))
