"""The guided story's steps over a real service and a tiny model: what each shows, what its one button does, where a reload finds it."""

from dataclasses import asdict, replace
from xml.etree import ElementTree

import pytest

from tests.tiny_runs import make_recipe
from workbench.errors import RunError
from workbench.recipe import preset_names
from workbench.runs.boards import BoardModels
from workbench.ui.session import Watch
from workbench.ui.story import guide, pictures, preset, scenes
from workbench.ui.story.guide import TRAIN, TRY, Place, Teller, forward, place_of, slide
from workbench.ui.text import Words, languages

T = Words("en")
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [e.text for e in ElementTree.fromstring(picture[picture.index("<svg") : picture.index("</svg>") + 6]).iter(f"{SVG}text")]


@pytest.fixture
def boards():
    return BoardModels()


def test_every_language_has_its_preset():
    assert all(preset(code).name in preset_names() for code in languages())
    assert preset("xx") is None


@pytest.mark.parametrize("kept", [None, "x", {}, {"step": 9, "run": 3, "text": ["a"], "open": "yes"}, {"step": "2"}, {"step": True}])
def test_what_makes_no_sense_begins_at_the_beginning(kept):
    assert place_of(kept) == Place()


def test_a_place_comes_back_from_the_browser():
    place = Place(4, "run", "a film", open=True)
    assert place_of(asdict(place)) == place
    assert len(place_of({"text": "a" * 5000}).text) == guide.MOST_LETTERS


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_step_says_its_sentence_and_draws_what_the_model_says(service, tiny, finished, boards, language):
    t = Words(language)
    for step in range(1, guide.STEPS + 1):
        shown = slide(service, boards, tiny, Place(step, finished), t)
        assert t(f"story.title_{step}") in shown.text and shown.text.count("aria-current") == 1
        assert len(texts(shown.picture)) > 5 and shown.next == t(f"story.next_{step}", rows=scenes.training_rows(tiny))
    assert 'class="pw-term"' in slide(service, boards, tiny, Place(2), t).text, "a word of the trade leads to its sentence"


def test_the_pictures_hold_the_models_own_figures(service, tiny, finished, boards):
    blank = scenes.blank(service, tiny, T)
    drawn = texts(pictures.blank_picture(blank, T))
    assert [word for word, _ in blank.row.top[0].tokens if word not in drawn] == [] and T("prompt.role_mask") in drawn
    reading = scenes.reading(service, tiny)
    drawn = texts(pictures.words_picture(reading, T))
    assert {word for words in reading.row.label_words.values() for word in words} <= set(drawn)
    assert {f"{share * 100:.1f}%" for share in reading.row.class_probabilities.values()} <= set(drawn)
    assert "[CLS]" not in texts(pictures.prompt_picture(reading, T))
    run = scenes.training(service, finished)
    drawn = " ".join(texts(pictures.training_picture(run, 32, T)))
    assert f"{run.train[1][-1]:.2f}" in drawn and T("train.step_of", step=run.step, total=run.total_steps) in drawn
    best = max(event["accuracy"] for event in run.evaluations)
    assert f"{best * 100:.1f}%".replace("100.0%", "100%") in drawn


def test_a_review_that_the_model_gets_wrong_is_chosen(service, tiny):
    reading = scenes.reading(service, tiny)
    assert scenes.answer_of(reading.row.class_probabilities) != reading.label


def test_a_step_without_its_run_says_what_to_do(service, tiny, boards):
    with pytest.raises(RunError):
        slide(service, boards, tiny, Place(TRY), T)
    gone = slide(service, boards, tiny, Place(TRAIN, "no-such-run"), T)
    assert gone.next == T("story.next_3", rows=scenes.training_rows(tiny)) and not gone.live


def test_one_button_leads_through(service, tmp_path, boards):
    recipe = make_recipe(tmp_path, training__epochs=400)
    assert [forward(service, recipe, Place(step), T).step for step in (1, 2)] == [2, 3]
    place = forward(service, recipe, Place(3), T)
    assert place.step == TRAIN and place.run
    assert forward(service, recipe, Place(3), T).run == place.run, "a second page joins the run"
    shown = slide(service, boards, recipe, place, T)
    assert shown.live and "data-busy" in shown.picture
    with pytest.raises(RunError):
        forward(service, recipe, place, T)
    service.stop(place.run)
    service.wait(place.run, 120)
    assert T("story.halted") in slide(service, boards, recipe, place, T).picture
    assert forward(service, recipe, place, T) == place and service.read(place.run).status in ("queued", "running")
    service.stop(place.run)
    service.wait(place.run, 120)


def test_a_finished_run_is_not_trained_again_and_the_end_is_the_beginning(service, tiny, finished):
    place = forward(service, tiny, Place(3, finished), T)
    assert place == Place(TRAIN, finished)
    place = forward(service, tiny, place, T)
    assert place == Place(TRY, finished)
    assert forward(service, tiny, place, T) == Place()


def test_looking_ends_with_the_step(service, tiny, finished, boards):
    teller = Teller(service, boards, tiny, T)
    training = replace(Place(TRAIN, finished), open=True)
    picture, timer, seen = teller.look(asdict(training), Watch())
    assert "<svg" in picture and timer["active"] is False and seen.run == finished
    assert all(part["__type__"] == "update" for part in teller.look(asdict(training), seen)), "nothing is new"
    for left in (replace(training, step=3), replace(training, open=False)):
        assert teller.look(asdict(left), seen)[1]["active"] is False


def test_the_handlers_give_one_update_for_each_part(service, tiny, finished, boards):
    teller = Teller(service, boards, tiny, T)
    kept = asdict(Place(TRY, finished, open=True))
    assert len(teller.begin(kept)) == len(teller.go_back(kept)) == len(teller.restore(kept)) == 10
    assert len(teller.go_on(kept, Watch())) == len(teller.go_on(asdict(Place()), Watch())) == 11
    answered, picture = teller.ask(kept, "  the film was nice ")
    assert answered["text"] == "the film was nice" and T("story.after") in texts(picture)
    with pytest.raises(RunError):
        teller.ask(kept, " ")
    closed, timer = teller.close(kept)
    assert closed["open"] is False and closed["step"] == TRY and timer["active"] is False


def test_a_story_whose_run_is_gone_goes_on_before_its_training(service, tiny, finished, boards):
    teller = Teller(service, boards, tiny, T)
    kept = asdict(Place(TRY, "20200101-0000-aaaaaa", open=True))
    for shown in (teller.begin(kept), teller.restore(kept)):
        assert (shown[0]["step"], shown[0]["run"]) == (TRAIN - 1, None)
    assert teller.begin(asdict(Place(TRY, finished)))[0]["step"] == TRY
