"""Recipes are started while another one trains: they wait in sight, can be watched, moved and taken out, by the page's own buttons."""

import pytest
from playwright.sync_api import expect

NEXT, LAST = "en-sentiment-lora", "en-sentiment-adapter"


@pytest.mark.slow
def test_what_waits_is_watched_moved_to_the_front_and_taken_out(start, visit):
    person = visit("en", to=start())
    person.choose("preset", person.t("presets.en-sentiment-bias")).sees("summary", person.t("methods.bias.title"))
    person.tab("train").write("train-shots", "400").write("train-epochs", "200").press("train-start").sees_status("running")
    first = person.find("train-status").locator("code").inner_text()
    expect(person.find("train-queue")).to_be_hidden()
    for name, method in ((NEXT, "lora"), (LAST, "adapter")):
        person.choose("preset", person.t(f"presets.{name}")).sees("summary", person.t(f"methods.{method}.title"))
        person.sees("train-start", person.t("train.enqueue")).press("train-start").sees("queue-runs", name)
    place = {number: person.t("queue.place", place=number) for number in (1, 2)}
    waiting = person.page.get_by_role("radio", name=LAST)
    person.sees("queue-runs", person.t("queue.in_view")).sees("train-status", first)
    expect(waiting).to_be_checked()
    expect(person.page.get_by_role("radio", name=f"{place[1]} \u00b7 {NEXT}")).to_be_visible()
    person.press("queue-first")
    expect(person.page.get_by_role("radio", name=f"{place[1]} \u00b7 {LAST}")).to_be_checked()
    expect(person.page.get_by_role("radio", name=f"{place[2]} \u00b7 {NEXT}")).to_be_visible()
    person.press("queue-watch").sees("train-status", LAST).sees_status("queued")
    person.page.get_by_role("radio", name=first[-6:]).check()
    person.press("queue-watch").sees("train-status", first).sees_status("running")
    person.reload().sees("queue-runs", f"{place[2]} \u00b7 {NEXT}")
    for name in (LAST, NEXT):
        person.page.get_by_role("radio", name=name).check()
        person.press("queue-leave")
        expect(person.page.get_by_role("radio", name=name)).to_be_hidden()
    expect(person.find("train-queue")).to_be_hidden()
    person.press("train-stop").sees_status("stopped").sees("train-start", person.t("train.start"))
    person.tab("runs").sees("runs-table", NEXT).sees("runs-table", LAST)
