"""What a first visit and a reload show; nothing on the way may complain in the console or leave the machine."""

import pytest
from playwright.sync_api import expect


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_first_visit_shows_a_preset_that_could_be_trained_at_once(visit, language):
    person = visit(language)
    person.sees("summary", f"embedded:tiny-{language}").sees("model-card", f"tiny-{language}")
    assert person.page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
    person.tab("data").sees("data-upload", {"en": "Click to Upload", "zh": "点击上传"}[language])  # gradio's own words follow the page's


def test_a_pasted_template_counts_and_is_there_again_after_a_reload_in_either_language(visit):
    person = visit("en")
    person.tab("prompt").sees("preview", person.t("prompt.top")).paste("template-0", "My verdict : {text} It was [MASK] .")
    person.sees("summary", "My verdict").sees("preview", "verdict")
    person.reload().sees("summary", "My verdict").sees("preview", "verdict")
    assert person.value("template-0") == "My verdict : {text} It was [MASK] ."
    person.switch("zh").sees("summary", "My verdict").sees("preview", person.t("prompt.top"))


def test_after_a_paste_the_person_may_go_on_at_once(visit):
    person = visit("en")
    went_on = """async ([from, to]) => {
        const [pasted, next] = [from, to].map((id) => document.querySelector(`#${id} textarea, #${id} input`));
        pasted.focus();
        pasted.dispatchEvent(new ClipboardEvent("paste", {bubbles: true}));
        next.focus();
        await new Promise((done) => setTimeout(done, 50));
        return document.activeElement === next;
    }"""
    person.tab("data").find("labels").get_by_role("button", name=person.t("labels.title")).click()
    person.find("labels-rows").locator("textarea").wait_for()
    assert person.page.evaluate(went_on, ["labels-rows", "labels-classes"])


def test_a_notice_speaks_the_pages_language(visit):
    person = visit("zh")
    person.tab("data").find("labels").get_by_role("button", name=person.t("labels.title")).click()
    person.press("labels-begin")
    notice = person.page.get_by_test_id("toast-body").first
    expect(notice.locator(".toast-title")).to_have_text(person.t("errors.title"))
    expect(notice.get_by_role("button", name=person.t("errors.close"), exact=True)).to_be_visible()
