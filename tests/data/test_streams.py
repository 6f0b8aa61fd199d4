"""Large files read row by row: the rows, the split and the complaints of small ones."""

import csv
import json

import pytest

from workbench.data import streams
from workbench.data.dataset import load_splits
from workbench.data.streams import ExampleStream, is_large, split_stream
from workbench.errors import DataError
from workbench.recipe import DataPart

COLUMNS = {"text": "review", "label": "stars"}
ROWS = [(f"row {n}, “good”\nor not {n % 37}", ("good", "bad", "so so")[n * n % 5 % 3]) for n in range(300)]


def write(folder, suffix, rows=ROWS, encoding="utf-8"):
    file = folder / f"rows{suffix}"
    with file.open("w", encoding=encoding, newline="") as stream:
        if suffix == ".jsonl":
            stream.writelines(json.dumps({"review": text, "stars": label}, ensure_ascii=False) + "\n" for text, label in rows)
        else:
            writer = csv.writer(stream, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerows([("id", "review", "stars"), *((n, *row) for n, row in enumerate(rows))])
    return file


@pytest.mark.parametrize(("suffix", "encoding"), [(".csv", "utf-8-sig"), (".tsv", "gb18030"), (".jsonl", "utf-8")])
def test_the_rows_and_the_split_are_those_of_a_table(tmp_path, suffix, encoding):
    data = DataPart(train=str(write(tmp_path, suffix, [*ROWS, ("no label", " "), ROWS[7]], encoding)), columns=COLUMNS)
    data.split.validation, data.split.shots = 40, None
    small, large = load_splits(data), split_stream(data)
    assert [e.fields for e in large.validation.examples] == [e.fields for e in small.validation.examples]
    rows = list(large.training_rows())
    assert sorted(e.guid for e in rows) == sorted(e.guid for e in small.train.examples) and large.rows == len(rows)
    assert large.labels == small.labels and sum(large.counts.values()) == len(rows)
    assert {e.content for e in large.train.examples} <= {e.content for e in rows}
    assert any("1 row without text or label" in note for note in large.notes)


def test_only_files_too_large_for_a_table_are_streams(tmp_path, monkeypatch):
    file = write(tmp_path, ".csv")
    assert not is_large(DataPart(train=str(file)))
    monkeypatch.setattr(streams, "LARGE_BYTES", 1000)
    assert is_large(DataPart(train=str(file))) and not is_large(DataPart(train=str(tmp_path / "none.csv")))
    assert not is_large(DataPart(train=str(file), only={"label": "a"}))
    (tmp_path / "rows.json").write_text(" " * 2000)
    assert not is_large(DataPart(train=str(tmp_path / "rows.json")))


def test_what_is_wrong_in_a_file_is_said_with_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "SAMPLE_BYTES", 5000)
    file = write(tmp_path, ".csv")
    with pytest.raises(DataError, match="no column 'text' for 'text'"):
        list(ExampleStream(str(file), {"text": "text", "label": "stars"}))
    with file.open("ab") as stream:
        stream.write(b"1,\xff\xfe\xfd,good\n")
    with pytest.raises(DataError, match="after line .*: the bytes are not utf-8"):
        list(ExampleStream(str(file), COLUMNS))
    short = write(tmp_path, ".tsv")
    short.write_text(short.read_text() + "7\tonly two\n")
    with pytest.raises(DataError, match="2 fields where the header has 3"):
        list(ExampleStream(str(short), COLUMNS))
    data = DataPart(train=str(file), columns=COLUMNS)
    data.split.shots = 16
    with pytest.raises(DataError, match=r"data\.split\.shots needs a training file of at most 100 MB"):
        split_stream(data)
