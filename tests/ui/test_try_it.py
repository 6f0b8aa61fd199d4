"""The tab Try it: which run answers, which of its own rows are on offer, and the words on which an answer hangs."""

import re
from collections import Counter

import gradio as gr
import pytest

from workbench.checks import Finding, check_codes
from workbench.data.dataset import load_splits
from workbench.paradigms.flips import Flip, flips
from workbench.ui.findings import TABS, fix_text
from workbench.ui.hard_sentences import hard_sentences, sentence_of
from workbench.ui.own_rows import choices, own_rows, whole_row
from workbench.ui.session import Watch, portable
from workbench.ui.tabs.prompt import machine
from workbench.ui.tabs.try_it import choices as listed
from workbench.ui.tabs.try_it import chosen_run, flips_html
from workbench.ui.text import TEXT, Words

T = Words("en")

FOUND = [("newest", "run-3"), ("older", "run-2"), ("oldest", "run-1")]


@pytest.mark.parametrize(
    ("current", "watched", "answers"),
    [
        ("run-1", "run-2", "run-1"),
        (None, "run-2", "run-2"),
        (None, None, "run-3"),
        ("deleted", None, "run-3"),
        ("deleted", "running without weights", "run-3"),
    ],
)
def test_the_chosen_run_answers_else_the_one_in_train_else_the_newest(current, watched, answers):
    assert chosen_run(FOUND, current, Watch(run=watched)) == answers


def test_runs_are_listed_with_their_methods_own_name_and_fixes_with_the_fields(service, finished):
    chinese = Words("zh")
    assert any(chinese("methods.full.title") in name for name, run in listed(service, chinese) if run == finished)
    fixes = [
        {"prompt.max_length": 200}, {"training.learning_rate": "auto"}, {"training.early_stopping": {"metric": "loss", "patience": 3}},
        {"prompt.verbalizer.calibration": "contextual"}, {"data.split.shots": 16, "data.split.validation": 200}, {"data.validation": None},
        {"prompt.max_new_tokens": 64},
    ]  # fmt: skip
    told = [fix_text(Finding("any", "", {}, fix), chinese) for fix in fixes]
    assert told[0] == f"\u8bd5\u8bd5\u201c{chinese('prompt.max_length')}\u201d\u8bbe\u4e3a 200"
    assert not any(word in text for text in told for word in ("prompt.", "training.", "data.", "None", "contextual"))


def test_every_finding_has_a_click_be_it_to_the_tab_where_a_person_mends_it(tiny, pages):
    always = {"one_class", "rate_large", "rate_small", "rate_below", "rate_above", "by_heart", "skew"}  # these always set a field
    assert set(check_codes()) == {*TABS, *always}
    draft = portable(tiny).model_dump()  # 36 of 48 rows train, which leaves none to measure on beside the 12
    handlers = {fn.api_name: fn for fn in pages("en").fns.values()}
    told, shown, *buttons = handlers["checks"].fn(None, draft, Watch())
    seen = [button["value"] for button in buttons if button["visible"]]
    assert len(seen) == len(shown) == told.count("<li>") > 0
    place = next(place for place, finding in enumerate(shown) if finding.code == "few_validation_rows")
    assert not shown[place].fix and seen[place] == f"{T('checks.mend.few_validation_rows')}: {T('data.tab')}"
    press = handlers[f"checks_try_{place + 1}"]
    answer = dict(zip([output.elem_id for output in press.outputs], press.fn(None, draft, shown), strict=True))
    assert answer["tabs"]["selected"] == "data" and "value" not in answer["checks-found"]
    assert press.fn(None, draft, shown)[0] == draft, "the recipe stays as it is"
    cut = Finding("truncation", "", {}, {"prompt.max_length": 200})
    fields, *_ = press.fn(None, draft, [cut] * 6)
    assert fields["prompt"]["max_length"] == 200


def test_without_runs_none_answers():
    assert chosen_run([], None, Watch()) is None


def test_the_rows_on_offer_are_the_runs_own_and_fill_every_box(service, finished, tiny):
    offered = own_rows(service, finished)
    held_out = {example.line: example for example in load_splits(tiny.data).validation.examples}
    assert offered and {row.line for row in offered} <= set(held_out)
    assert all(held_out[row.line].label == row.label and row.text in held_out[row.line].fields["text"] for row in offered)
    counts = Counter(row.kind for row in offered)
    assert set(counts) <= {"surest_wrong", "highest_loss", "surest_right"} and max(counts.values()) <= 2
    title, line = choices(offered, T)[0]
    assert ": " in title and whole_row(tiny, line) == held_out[int(line)].fields and whole_row(tiny, "9999") == {}


def test_a_run_that_kept_no_such_rows_offers_some_of_each_label(service, tiny):
    run = service.submit(machine.asked(tiny.replace({"data.split.shots": 4}), "words", {"count": 1, "rows": 4}))
    assert service.wait(run, 120).status == "finished"
    assert Counter(row.label for row in own_rows(service, run)) == {"pos": 2, "neg": 2}


def test_every_word_on_which_the_answer_hangs_is_found(service, finished):
    predictor = service.predictor(finished)
    fields = {"text": "the film food was lovely"}
    answer = predictor.predict([fields])[0].label
    found, tried = flips(predictor, fields, service.pool.get(predictor.recipe.model))
    assert tried == 5
    words = fields["text"].split()
    for flip in found:
        text = " ".join(flip.instead if word == flip.piece else word for word in words)
        (again,) = predictor.predict([{"text": text.replace("  ", " ").strip()}])
        assert (flip.fields["text"].split()) == text.split()
        assert again.label == flip.label != answer and again.probabilities[flip.label] == pytest.approx(flip.probability, abs=1e-5)
    alone = {word for word in words if predictor.predict([{"text": " ".join(w for w in words if w != word)}])[0].label != answer}
    assert {flip.piece for flip in found if not flip.instead} == alone
    assert not [flip for flip in flips(predictor, fields)[0] if flip.instead], "without a model that guesses words are only left out"


def test_what_decides_is_drawn_and_every_text_is_inert():
    shown = flips_html([Flip("<b>", "", "neg", 0.75, {"text": ""}), Flip("good", "bad", "neg", 0.7, {"text": "bad"})], 4, "pos", T)
    assert "<b>" not in shown and "&lt;b&gt;" in shown
    assert "75.0%" in shown and T("try.flip_left_out") in shown and "bad" in shown
    assert shown.count("data-flip=") == 2 and 'data-flip="1"' in shown
    assert "4" in flips_html([], 4, "pos", T)


def test_the_button_asks_the_run_and_the_list_fills_the_boxes(pages, service, finished):
    handlers = {fn.api_name: fn.fn for fn in pages("en").fns.values()}
    asked = "the film food was lovely"
    said, turned = handlers["try_which"](None, finished, Watch(), asked, "", "", "")
    assert T("try.flips") in said and len(turned) == said.count("data-flip=") > 0
    changed = handlers["try_flip"](None, gr.EventData(None, {"flip": 0}), turned)
    assert changed == turned[0] and changed[0] != asked and changed[1:] == ["", "", ""], "the changed text can be changed further"
    line = str(own_rows(service, finished)[0].line)
    filled = handlers["try_hard"](None, finished, line, Watch())
    asking = handlers["try_run"](None, finished)
    offered = [title for title, key in asking[-3]["choices"] if ":" in key]
    assert len(offered) == 10 and offered[0] == T("try.hard_one", kind=T("try.hard_negation"), label="pos", text="Not a bad film at all.")
    assert handlers["try_hard"](None, finished, "en:0", Watch()) == ["Not a bad film at all.", "", "", ""]
    assert filled[0] and filled[1:] == ["", "", ""]


def test_what_spoke_for_an_answer_and_against_it_are_told_apart_without_colour_and_without_red_and_green():
    style = (TEXT.parent / "style.css").read_text(encoding="utf-8")
    pro, contra = (re.search(rf"[.]pw-{side} {{([^}}]*)}}", style)[1] for side in ("for", "against"))
    assert "dotted" in contra and "dotted" not in pro and "underline" in re.search(r"[.]pw-reason {([^}]*)}", style)[1]
    assert not any(colour in T("board.ask_help") for colour in ("green", "red)"))
    # Blue above red in the one, red above blue in the other: what eyes without red or green still see.
    (_, _, blue), (red, _, other) = ([int(part) for part in re.search(r"rgb[(](\d+) (\d+) (\d+)", rule).groups()] for rule in (pro, contra))
    assert blue > 150 and red > 150 and other < 50


def test_hard_sentences_are_for_two_labels_of_sentiment_and_in_the_language_that_is_read():
    chinese = hard_sentences(["\u597d\u8bc4", "\u5dee\u8bc4"], "\u5f88\u597d\u3002")
    assert {one.expected for one in chinese} == {"\u597d\u8bc4", "\u5dee\u8bc4"} and sentence_of(chinese[3].key) == chinese[3].text
    for language, found in (("en", hard_sentences(["Negative", "Positive"], "a film")), ("zh", chinese)):
        assert {one.kind for one in found} == {"negation", "irony", "turn", "comparison", "typo"}, language
        assert all(Words(language).get(f"try.hard_{one.kind}", "") for one in found)
    for labels in (["sports", "politics"], ["positive", "negative", "neutral"], ["positive", "pos"], []):
        assert hard_sentences(labels, "a film") == []
    assert sentence_of("12") == sentence_of("en:99") == sentence_of("../x:1") == ""
