"""Nobody needs a spreadsheet: from pasted lines to labels, a trained model, and the rows it is still unsure of; and charts as files."""

import csv
import re
from pathlib import Path

import pytest

from tests.browser.person import Person

CLASSES = ("正面", "负面")
GOOD = (
    "质量很好，用着非常满意，下次还会再买。", "物流很快，包装也好。", "味道不错，家人都喜欢。", "性价比高，推荐。",
    "衣服颜色和图片一样，很好看。", "孩子很喜欢，好评。",
)  # fmt: skip
BAD = (
    "太差了，用两天就坏。", "客服态度恶劣，再也不来。", "屏幕有划痕，退货了。", "声音太小，听不清。", "和描述不符，假货。",
    "很失望，不值这个价。",
)  # fmt: skip


@pytest.mark.slow
def test_from_pasted_lines_to_a_trained_model_and_what_it_is_unsure_of(start, visit):
    app = start()
    person = visit("zh", to=app)
    open_part(person)
    assert person.value("labels-classes") == "好评, 差评", "the preset's classes are offered"
    person.paste("labels-rows", "\n".join((*GOOD, "", *BAD))).write("labels-classes", "，".join(CLASSES)).press("labels-begin")
    person.sees("labels-card", person.t("labels.by_prompt")).sees("labels-card", "0 / 12")

    person.page.evaluate("document.activeElement.blur()")
    for number in range(1, 8):
        text = person.find("labels-card").locator(".pw-label-text").inner_text()
        person.page.keyboard.press("1" if text in GOOD else "2")
        person.sees("labels-card", f"{number} / 12")
    person.page.keyboard.press("u")
    person.sees("labels-card", "6 / 12")
    person.page.keyboard.press("Control+z")
    person.sees("labels-card", "5 / 12")
    for number in range(6, 9):
        text = person.find("labels-card").locator(".pw-label-text").inner_text()
        person.find("labels-card").get_by_role("button", name=CLASSES[text not in GOOD]).click()
        person.sees("labels-card", f"{number} / 12")

    person.press("labels-train").sees("summary", "labels.csv").sees_no("summary", "zh_product")
    assert person.page.get_by_role("tab", name=person.t("train.tab"), exact=True).get_attribute("aria-selected") == "true"
    person.press("train-start").sees_status("finished", 300)
    charts_are_files(person)
    charts_fit_on_paper(person)
    person.tab("data").sees("labels-card", person.t("labels.unsure_run", run="zh-sentiment-lora")).sees("data-facts", "labels.csv")

    person.reload()
    open_part(person)
    person.sees("labels-card", "8 / 12").sees("labels-card", person.t("labels.by_run", run="zh-sentiment-lora").strip())
    with person.page.expect_download() as download:
        person.press("labels-save")
    rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == 8 and all((row["text"] in GOOD) == (row["label"] == CLASSES[0]) for row in rows)


def open_part(person: Person) -> None:
    person.tab("data").sees("data-facts", ".csv")
    person.find("labels").get_by_role("button", name=person.t("labels.title")).click()
    person.waits_for("labels-classes", "place => place.querySelector('input, textarea')?.value")


def charts_are_files(person: Person) -> None:
    """The loss as a picture in either format, and as the points that are drawn."""
    bar = person.find("train-loss").locator(".pw-export")
    for name, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with person.page.expect_download() as download:
            bar.get_by_role("button", name=re.compile(name)).click()
        assert Path(download.value.path()).read_bytes().startswith(start) and download.value.suggested_filename.startswith("train-loss.")
    with person.page.expect_download() as download:
        bar.get_by_role("button", name=re.compile("csv")).click()
    header, *rows = csv.reader(Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines())
    assert header[:2] == ["series", person.t("train.step")]
    losses = [float(row[2]) for row in rows if row[0] == person.t("train.batch_loss")]
    assert len(losses) == max(person.points("train-loss")) and all(loss > 0 for loss in losses)


def charts_fit_on_paper(person: Person) -> None:
    """For the printer a chart is told its size on the screen, so that it scales, and what is folded away opens."""
    person.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    sizes = "place => [...place.querySelectorAll('.main-svg')].every(chart => chart.viewBox.baseVal.width === chart.width.baseVal.value)"
    person.waits_for("train-loss", sizes)
    assert person.page.evaluate("document.querySelector('details.pw-own-recipe').open")
    person.page.evaluate("dispatchEvent(new Event('afterprint'))")
