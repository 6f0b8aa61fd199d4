"""The main job as a person does it, in English and in Chinese: from an empty folder to an answer about a sentence of one's own."""

import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person


@dataclass(frozen=True)
class Job:
    """What a person of one language chooses, pastes and asks; `mark` is a word of the pasted template that the preset's lacks."""

    preset: str
    file: str
    labels: tuple[str, str]
    template: str
    mark: str
    sentence: str


JOBS = {
    "en": Job(
        "en-sentiment-lora", "en_movie_reviews.csv", ("positive", "negative"), "My verdict : {text} It was [MASK] .", "verdict",
        "A wonderful film, moving and funny, one of the best I have seen.",
    ),
    "zh": Job(
        "zh-sentiment-lora", "zh_product_reviews.csv", ("好评", "差评"), "{text}用了一周，觉得很[MASK]。", "一周",
        "质量很好，用着非常满意，下次还会再买。",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("language", JOBS)
def test_from_an_empty_folder_to_an_answer(start, visit, language):
    job, person = JOBS[language], visit(language, to=start())
    looks_at_model_and_data(person, job)
    writes_a_template(person, job)
    run = trains_with_a_pause(person, job)
    asks(person, job)
    person.tab("runs").sees("runs-table", person.t("status.finished"))
    assert run in person.text("runs-table")


def looks_at_model_and_data(person: Person, job: Job) -> None:
    person.tab("train").sees("train-status", person.t("train.empty"))
    person.choose("preset", person.t(f"presets.{job.preset}")).sees("summary", job.file).sees("summary", "LoRA")
    model = f"tiny-{person.language}"
    person.tab("model").sees("model-card", model).press("model-load").sees("model-status", model)
    person.tab("data").sees("data-facts", job.file).sees("data-rows", job.labels[0]).sees("data-rows", job.labels[1])
    # `_fullData`: what is drawn; `data` holds packed arrays.
    person.waits_for("data-labels", "plot => plot.querySelector('.js-plotly-plot')?._fullData[0].y.length === 2")
    person.waits_for("data-lengths", "plot => plot.querySelector('.js-plotly-plot')?._fullData[0].y.length > 5")


def writes_a_template(person: Person, job: Job) -> None:
    person.tab("prompt").sees("preview", person.t("prompt.top")).sees_no("preview", job.mark)
    before = person.text("preview")
    # Tokens stand apart, so the characters of a word may too.
    person.paste("template-0", job.template).sees("preview", re.compile(r"\s*".join(job.mark))).sees("summary", job.mark)
    assert person.text("preview") != before
    cards = person.find("preview").locator(".pw-card")
    assert cards.count() == person.find("preview").locator(".pw-verdict").count() > 0
    person.tab("method").sees("method-view", person.t("method.trainable")).sees("method-view", person.t("method.what_trains"))


def trains_with_a_pause(person: Person, job: Job) -> str:
    """Starts, sees the curve move, pauses, reloads, resumes; the run's id."""
    settings = {"train-shots": "8", "train-validation": "24", "train-epochs": "40"}  # long enough to be paused on a busy machine
    person.tab("train")
    for place, value in settings.items():
        person.write(place, value)
    person.press("train-start").sees_status("running")
    run = person.find("train-status").locator("code").inner_text()
    grows(person, 2)
    grows(person, max(person.points("train-loss")))
    person.press("train-pause").sees_status("paused")
    drawn = person.points("train-loss")

    person.reload().sees_status("paused").sees("train-status", run)
    grows(person, max(drawn) - 1)
    # The chart may have been a drawing behind when it was looked at, never the other way round.
    assert all(now >= then for now, then in zip(person.points("train-loss"), drawn, strict=True))
    assert {place: person.value(place) for place in settings} == settings
    person.tab("prompt").sees("preview", person.t("prompt.top"))
    assert person.value("template-0") == job.template

    person.tab("train").press("train-resume").sees_status("finished", seconds=600).sees("train-confusion", job.labels[0])
    assert person.find("train-status").locator("code").inner_text() == run
    assert max(person.points("train-loss")) > max(drawn)
    assert max(person.points("train-accuracy")) > 6, "one evaluation per epoch"
    return run


def grows(person: Person, points: int) -> None:
    """Waits until a line of the loss chart has more points."""
    person.waits_for("train-loss", f"plot => plot.querySelector('.js-plotly-plot')?._fullData?.some(line => line.x.length > {points})")


def asks(person: Person, job: Job) -> None:
    person.tab("try").waits_for("try-run", f"place => place.querySelector('input').value.includes('{job.preset}')")
    person.write("try-text-0", job.sentence).press("try-ask").sees("try-answer", person.t("try.tuned"))
    answers = person.find("try-answer").locator(".pw-answer")
    expect(answers).to_have_count(2)
    assert set(answers.all_inner_texts()) <= set(job.labels)
    base, tuned = person.find("try-answer").locator(".pw-card > .pw-bars").all_inner_texts()
    assert all(label in base and label in tuned for label in job.labels)
    assert base != tuned, "the tuned model answers as the untouched one"
