"""What a first visit and a reload show; nothing on the way may complain in the console or leave the machine."""

import re

import pytest
from playwright.sync_api import expect

IN_SIGHT = "[...document.querySelectorAll('input, textarea, select')].filter(field => field.offsetParent).length"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_first_visit_shows_a_preset_that_could_be_trained_at_once(visit, language):
    person = visit(language)
    person.sees("summary", f"embedded:tiny-{language}").sees("model-card", f"tiny-{language}")
    assert person.page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
    assert person.page.evaluate(IN_SIGHT) <= 10, "README says so"
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


def test_a_tracker_is_remembered_over_a_reload_unless_it_sends_figures_away(visit):
    person = visit("en")
    kept_view = "localStorage.getItem('prompt-workbench-view')"
    # Opening the tab is kept too, and may be kept late.
    at_rest = f"""() => {{
        if (window.keptView !== {kept_view}) [window.keptView, window.keptSince] = [{kept_view}, Date.now()];
        return Date.now() - window.keptSince > 5000;
    }}"""
    for name, kept in (("TensorBoard", "TensorBoard"), (person.t("training.trackers.wandb-online"), person.t("training.trackers.none"))):
        person.tab("train").page.evaluate("document.documentElement.setAttribute('data-all', '')")
        person.page.wait_for_function(at_rest)
        person.choose("train-tracker", name).page.wait_for_function(f"() => {kept_view} !== window.keptView")
        assert person.reload().tab("train").value("train-tracker") == kept


def test_leaving_a_list_chooses_nothing_in_it(visit):
    person = visit("en")
    person.tab("prompt").sees("preview", person.t("prompt.top")).paste("template-0", "My verdict : {text} It was [MASK] .")
    person.sees("summary", "My verdict")
    person.find("preset").locator("input").focus()
    person.page.keyboard.press("Tab")
    person.find("preset").locator("input").click()
    person.page.keyboard.press("Escape")
    person.tab("train").tab("prompt").sees("summary", "My verdict")
    assert person.value("template-0") == "My verdict : {text} It was [MASK] ."
    person.choose("preset", person.t("presets.en-sentiment-lora")).sees_no("summary", "My verdict")


def test_a_number_with_decimals_may_be_typed_and_a_method_comes_back_as_it_was_set(visit):
    person = visit("en").tab("method").tick("method-name", "LoRA")
    rank = person.page.get_by_label(re.compile(person.t("methods.lora.fields.r.label"))).locator("visible=true").first
    rank.fill("32")
    person.sees("method-view", "32\u00b7").tick("method-name", person.t("methods.full.title")).sees_no("method-view", "32\u00b7")
    person.tick("method-name", "LoRA").sees("method-view", "32\u00b7")
    person.tab("train").write("train-epochs", "0.5").tab("method").sees("method-view", "32\u00b7")
    assert person.reload().tab("train").value("train-epochs") == "0.5"


def test_a_slider_hears_the_keys(visit):
    person = visit("en").tab("prompt")
    person.sees("preview", person.t("prompt.top"))
    slider = person.page.locator('input[type="range"]').locator("visible=true").first
    before = int(slider.input_value())
    kept = "localStorage.getItem('prompt-workbench')"
    person.page.evaluate(f"window.keptRecipe = {kept}")
    slider.focus()
    person.page.keyboard.press("ArrowRight")
    person.page.wait_for_function(f"() => {kept} !== window.keptRecipe")
    person.reload().tab("prompt")
    assert int(slider.input_value()) == before + 8


@pytest.mark.parametrize("width", [1280, 768])
def test_the_recipe_in_steps_stays_in_sight_when_a_tab_is_scrolled(visit, width):
    person = visit("en", width=width)
    person.tab("prompt").sees("preview", person.t("prompt.top"))
    person.page.mouse.move(width / 2, 600)
    person.page.mouse.wheel(0, 1500)
    person.page.wait_for_function("() => scrollY > 800")
    top = person.page.evaluate("() => document.querySelector('.pw-flow').getBoundingClientRect().top")
    assert -1 <= top <= 1, f"the steps stand {top} px from the window's top"


# Names that are seen under the pointer or read out, and the text of waiting and of menus, that hold no Chinese and are no proper names.
ENGLISH = """() => {
    const proper = /^(LoRA|Dropout|text|embedded:.*|https?:.*)$/;
    const foreign = (text) => /[A-Za-z]{3}/.test(text) && !/[\u3400-\u9fff]/.test(text) && !proper.test(text.trim());
    const named = ["aria-label", "title", "data-title", "placeholder"].flatMap((name) =>
        [...document.querySelectorAll(`[${name}]:not(.plotlyjsicon)`)].map((part) => part.getAttribute(name)));
    const told = [...document.querySelectorAll(".progress-text, [role=status], .cell-menu")].map((part) => part.textContent);
    return [...named, ...told].filter(foreign).join("; ");
}"""


def test_no_english_of_the_programs_below_is_left_on_the_chinese_page(visit):
    person = visit("zh")
    for name in ("model", "data", "prompt", "method", "train", "try", "board", "runs"):
        person.tab(name)
        if name == "data":
            person.find("labels").get_by_role("button", name=person.t("labels.title")).click()
            person.page.locator("#data-rows, #data table").first.wait_for()
        if name == "prompt":
            person.sees("preview", person.t("prompt.top")).sees("score", person.t("prompt.interval"))
        left = person.page.evaluate(ENGLISH)
        for _ in range(20):  # parts come and are renamed at the next look
            person.page.wait_for_timeout(500)
            if not (left := person.page.evaluate(ENGLISH)):
                break
        assert not left, f"{name}: {left}"


def test_what_gradio_says_of_waiting_and_in_its_menus_and_plotly_of_a_saved_picture_is_told_in_chinese(visit):
    person = visit("zh")
    made = """() => {
        const text = (kind, said) => `<div ${kind}>${said}</div>`;
        const place = document.createElement("div");
        place.id = "made";
        place.innerHTML = text('class="progress-text meta-text"', "processing |") + text('class="cell-menu" role="menu"', "Clear filters")
            + text('class="plotly-notifier"', "Snapshot succeeded - train-loss.png")
            + text('class="sr-only" role="status"', "In queue: 1 of 3");
        document.body.append(place);
    }"""
    person.page.evaluate(made)
    said = [person.t("gradio.processing"), person.t("gradio.clear_filters"), person.t("gradio.taken", file="train-loss.png")]
    expect(person.find("made")).to_have_text("".join([*said, person.t("gradio.queued", place=1, all=3)]))
    person.page.evaluate("() => { document.querySelector('#made .sr-only').firstChild.data = 'common.complete'; }")
    expect(person.find("made")).to_have_text("".join([*said, person.t("gradio.complete")]))


SLOW = """() => {
    const ask = window.fetch;
    window.fetch = async (asked, ...given) => {
        if (String(asked.url ?? asked).includes("/queue/join")) await new Promise((done) => setTimeout(done, 1500));
        return ask(asked, ...given);
    };
}"""


def test_on_a_slow_line_the_last_choice_counts_and_the_tab_in_view_is_worked_out(visit):
    person = visit("en")
    person.sees("model-card", "tiny-en").page.evaluate(SLOW)
    person.tab("data").tab("model").tab("data").sees_no("data-facts", person.t("working"))
    person.choose("preset", person.t("presets.en-sentiment-bias")).choose("preset", person.t("presets.en-sentiment-soft-prompt"))
    person.sees("summary", person.t("methods.soft_prompt.title"))
    assert person.value("preset") == person.t("presets.en-sentiment-soft-prompt")
    person.tab("method").sees("method-view", "20")
    length = person.page.get_by_label(re.compile(person.t("methods.soft_prompt.fields.length.label"))).locator("visible=true").first
    length.press("ControlOrMeta+A")
    for key in "15":
        person.page.keyboard.press(key, delay=100)
    person.sees("method-view", "15 \u00d7")
    assert length.input_value() == "15"
