"""Files of a person's own in the tab Data: one in an encoding that has to be told by its characters, and one to validate with."""

import csv

import pytest
from playwright.sync_api import expect

ROWS = [
    ("这部电影真的非常好看，值得一看再看。", "好评"), ("房间有霉味，隔音很差，非常失望。", "差评"), ("下次还会选择这里。", "好评"),
    ("退货手续很麻烦，客服也不理人。", "差评"),
]  # fmt: skip


def write(file, rows):
    with open(file, "w", encoding="gbk", newline="") as stream:
        csv.writer(stream).writerows([("评论", "类别"), *rows])
    return file


def give(person, elem_id, file):
    """Chooses a file of this machine by a button of the page."""
    with person.page.expect_file_chooser() as asked:
        person.press(elem_id)
    asked.value.set_files(file)


@pytest.mark.slow
def test_a_gbk_file_is_read_and_another_one_validates(visit, tmp_path):
    train, held = write(tmp_path / "reviews.csv", ROWS * 10), write(tmp_path / "held.csv", [*ROWS, ("没有标签", "")])
    person = visit("zh").tab("data").sees("data-facts", "zh_product_reviews.csv")
    encoding = person.find("data-encoding")
    expect(encoding).to_be_hidden()
    give(person, "data-upload", train)
    judged = person.t("data.encoding_judged", encoding="gb18030")
    person.sees("data-facts", "reviews.csv").sees("data-facts", judged).sees("data-rows", ROWS[1][0])
    expect(encoding).to_be_visible()
    assert person.value("data-label") == "类别"
    person.choose("data-encoding", person.t("data.encodings.big5")).sees_no("data-rows", ROWS[1][0])
    person.choose("data-encoding", person.t("data.encodings.gb18030")).sees("data-rows", ROWS[1][0])
    person.find("data-more").get_by_role("button").first.click()
    give(person, "data-validation-upload", held)
    told = person.t("data.validation_rows", file="held.csv", count="4")
    person.sees("data-more-status", told).sees("data-more-status", person.t("data.validation_left_out", count="1"))
    person.reload().sees("data-rows", ROWS[1][0])
    person.find("data-more").get_by_role("button").first.click()
    person.sees("data-more-status", told).choose("data-validation", person.t("data.validation_none"))
    person.sees_no("data-more-status", "held.csv")
