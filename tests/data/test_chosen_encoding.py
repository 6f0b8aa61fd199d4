"""The encoding that a recipe names is used for every file of the recipe, in whichever way the file is read."""

import csv
from itertools import islice

import pytest

from workbench.data.conversations import load_conversations
from workbench.data.dataset import load_splits
from workbench.data.encoding import OFFERED, chosen_encoding, decode
from workbench.data.readers import read_table
from workbench.data.streams import ExampleStream, split_stream
from workbench.errors import EncodingError
from workbench.paradigms.split import board_rows
from workbench.recipe import PRESETS, DataPart, Recipe, load_recipe

# As people write them; 裏, 恒 and 銹 are not in plain Big5, yet in the files that Windows and browsers call by that name.
GOOD = [
    "這部電影真的非常好看，演員的表現也很好，值得一看再看。",
    "飯店的位置很方便，櫃檯人員親切，下次還會選擇這裏。",
    "鍵盤的手感比想像中好，打字聲音小，在圖書館也能使用。",
    "恒生指數那一章寫得清楚，初學者讀起來不會吃力。",
]
BAD = [
    "用了兩個星期就生銹，客服的態度又差，非常失望。",
    "房間有霉味，隔音很差，半夜還聽得到走廊的腳步聲。",
    "劇情拖泥帶水，看到一半就睡著了，不建議花錢進戲院。",
    "收到的時候螢幕有刮痕，退貨的手續還特別麻煩。",
]


def simplified(most=40):
    """Reviews that come with the workbench, as far as GBK can write them."""
    with (PRESETS / "data" / "zh_product_reviews.csv").open(encoding="utf-8", newline="") as stream:
        return [(row["text"], row["label"]) for row in islice(csv.DictReader(stream), most)]


def write(file, rows, codec, header=("text", "label")):
    with file.open("w", encoding=codec, newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return str(file)


def traditional():
    return [*((text, "好") for text in GOOD), *((text, "差") for text in BAD)]


def files(folder, codec, encoding):
    """A data part whose three files are written in one encoding, with the first rows of each class held out in a file of their own."""
    rows = traditional()
    held, train = [rows[0], rows[4]], [*rows[1:4], *rows[5:]]
    return DataPart(
        train=write(folder / "train.csv", train, codec),
        validation=write(folder / "validation.csv", held, codec),
        unlabeled=write(folder / "rows.csv", [(text,) for text in (GOOD[0], BAD[0])], codec, ("text",)),
        encoding=encoding,
        split={"shots": None},
    )


NAMED = [("big5hkscs", "big5"), ("cp950", "Big5"), ("gbk", "gb18030"), ("gbk", "gbk"), ("utf-16", "utf-16")]


@pytest.mark.parametrize(("codec", "encoding"), NAMED)
def test_training_validation_and_unlabelled_rows(tmp_path, codec, encoding):
    splits = load_splits(files(tmp_path, codec, encoding))
    assert sorted(e.fields["text"] for e in splits.train.examples) == sorted([*GOOD[1:], *BAD[1:]])
    assert [e.fields["text"] for e in splits.validation.examples] == [GOOD[0], BAD[0]] and splits.labels == ("好", "差")
    assert [e.fields["text"] for e in splits.unlabeled.examples] == [GOOD[0], BAD[0]]


def test_big5_is_refused_until_it_is_named_and_the_complaint_says_where(tmp_path):
    data = files(tmp_path, "big5hkscs", "auto")
    with pytest.raises(EncodingError) as caught:
        load_splits(data)
    assert "data.encoding" in caught.value.fix and "Data tab" in caught.value.fix and "big5)" in caught.value.fix, "by the name offered"
    with pytest.raises(EncodingError, match="the bytes are not utf-8"):
        load_splits(data.model_copy(update={"encoding": "utf-8"}))


def test_gbk_that_comes_with_real_reviews_is_read_as_written_found_or_named(tmp_path):
    rows = simplified()
    data = DataPart(train=write(tmp_path / "reviews.csv", rows, "gb18030"))
    for encoding in ("auto", "gb18030", "gb2312"):
        table = read_table(data.train, encoding=encoding)
        assert table.rows == rows and table.encoding == "gb18030"


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, codec, mark):
    file = tmp_path / "marked.csv"
    file.write_bytes((("\ufeff" if mark else "") + "text,label\n很好,好\n很差,差\n").encode(codec))
    assert read_table(file, encoding=codec).columns == ("text", "label")
    assert [e.label for e in ExampleStream(str(file), {"text": "text", "label": "label"}, codec)] == ["好", "差"]


def test_a_stream_reads_what_a_table_reads(tmp_path):
    data = files(tmp_path, "big5hkscs", "big5")
    small, large = load_splits(data), split_stream(data)
    assert sorted(e.content for e in large.training_rows()) == sorted(e.content for e in small.train.examples)
    assert [e.fields for e in large.validation.examples] == [e.fields for e in small.validation.examples]
    with pytest.raises(EncodingError):
        list(ExampleStream(data.train, data.columns))


def test_boards_and_conversations(tmp_path):
    data = files(tmp_path, "big5hkscs", "big5")
    texts = {e.fields["text"] for e in board_rows(data, 2).test}
    assert texts and texts <= {*GOOD, *BAD}
    columns = {"question": "label", "response": "text"}
    splits = load_conversations(data.model_copy(update={"columns": columns}))
    assert {row.turns[0].text for row in splits.validation} == {GOOD[0], BAD[0]}


def test_a_file_that_comes_later_may_be_utf8_whatever_the_recipe_names(tmp_path):
    rows = traditional()
    old, new = write(tmp_path / "old.csv", rows, "big5hkscs"), write(tmp_path / "new.csv", rows, "utf-8-sig")
    assert read_table(old, encoding="big5", strict=False).rows == read_table(new, encoding="big5", strict=False).rows == rows
    with pytest.raises(EncodingError):
        read_table(new, encoding="big5")


@pytest.mark.parametrize("encoding", OFFERED)
def test_every_encoding_that_is_offered_exists_and_reads_what_it_wrote(encoding):
    codec = chosen_encoding(b"", name="f.csv", encoding=encoding)
    text = {"cp1251": "Отличный фильм", "euc_kr": "정말 재미있는 영화", "latin-1": "größe", "cp1252": "“café…”"}.get(encoding, "非常に良い")
    if encoding in ("gb18030", "big5"):
        text = GOOD[0]
    assert decode(text.encode(codec), name="f.csv", encoding=encoding) == (text, codec)


def test_recipes_name_it_and_older_ones_find_it(tmp_path):
    (tmp_path / "old.yaml").write_text("name: old\ndata: {train: x.csv}\n", encoding="utf-8")
    assert load_recipe(tmp_path / "old.yaml").data.encoding == "auto"
    assert load_recipe(tmp_path / "old.yaml", {"data.encoding": "big5"}).data.encoding == "big5"
    assert "encoding: auto" in Recipe().to_yaml()
