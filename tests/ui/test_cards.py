"""All cards at once: as one model that answers with every template, or as PET; the page says which, and Train does what it says."""

import gradio as gr
import pytest
import torch

from tests.tiny_runs import WORDS, make_model, make_recipe
from workbench.access import Principal, Role, acting_as
from workbench.errors import AccessError, DataError, RunError
from workbench.prompts.cards import Card
from workbench.prompts.library import library_entry
from workbench.runs.from_cards import cards_of, with_card
from workbench.serving.classifier import PromptClassifier
from workbench.ui.session import portable
from workbench.ui.tabs.prompt import cards, live
from workbench.ui.text import Words

T = Words("en")
TEMPLATES = ("{text} it was [MASK] .", "the film was [MASK] . {text}", "the [MASK] food {text}")
OTHER = {"pos": ["nice"], "neg": ["bad"]}


def scored(*templates, words=None):
    return [Card(template, words).scored(correct=9 - place, rows=10, loss=0.5) for place, template in enumerate(templates)]


@pytest.fixture
def few(tiny, service):
    """A recipe for which the lab, which the tests of the page share, keeps no card."""
    few = tiny.replace({"data.split.shots": 4})
    service.lab.remove(few, [card.key for card in service.lab.cards(few)])
    return few


def test_answering_together_is_one_training_and_says_so(few):
    change, said = cards.ensemble(few, scored(*TEMPLATES), T)
    assert change.kind == "train" and change.prompt.templates == list(TEMPLATES) and "3 templates" in said and "PET" not in said
    assert cards.ensemble(few.replace({"pet": {"seeds": 2}}), scored(*TEMPLATES), T)[0].kind == "train"


def test_pet_is_what_train_then_does(few, service):
    worded = {"kind": "manual", "words": {"pos": ["nice"], "neg": ["bad"]}}
    other = Card("{text} [MASK]", {**worded, "calibration": "pmi"}).scored(correct=1, rows=10, loss=1.0)
    change, said = cards.pet(few, [*scored(*TEMPLATES), other], T)
    assert change.kind == "pet" and change.prompt.templates == list(TEMPLATES)
    # 48 rows in the file, 12 validate, 2 classes x 4 shots train: 28 are left without their labels.
    assert "3 seeds, 9 models" in said and "28 unlabelled rows" in said and "1 cards" in said
    kept = cards.pet(few.replace({"pet": {"seeds": 1, "distill_epochs": 1}}), scored(*TEMPLATES[:2]), T)[0]
    assert kept.pet.seeds == 1 and kept.pet.distill_epochs == 1
    run = service.submit(kept.replace({"training.epochs": 1}))
    assert service.wait(run, 300).status == "finished"
    table = service.result(run)["table"]
    assert {row[0] for row in table["rows"]} >= {"pattern", "ensemble", "distilled"}


def test_cards_with_other_words_answer_together_and_train_as_pet_in_their_own(few, service):
    worded = Card(TEMPLATES[0], {"kind": "manual", "words": OTHER}).scored(correct=8, rows=10, loss=0.4)
    for how in (cards.pet, cards.ensemble):
        change, said = how(few, [*scored(*TEMPLATES[:2]), worded], T)
        assert change.prompt.templates == [TEMPLATES[0], TEMPLATES[0], TEMPLATES[1]] and change.prompt.template_words == [None, OTHER, None]
        assert change.prompt.verbalizer == few.prompt.verbalizer and "stay out" not in said and "3 " in said
    first, own, last = cards_of(change)
    assert own.verbalizer == worded.verbalizer and first.verbalizer == last.verbalizer == few.prompt.verbalizer
    scorer = service.lab.scorer(few)
    shown = live.score_view(service, change, 12)
    mean = torch.stack([scorer.probabilities(card, 12) for card in (first, own, last)]).mean(dim=0)
    assert shown.templates == 3 and shown.card.score == pytest.approx(float((mean.argmax(1) == scorer.truth[:12]).float().mean()))
    assert (PromptClassifier(scorer.loaded, change.prompt, scorer.labels).predict(scorer.examples[:12]) - mean).abs().max() < 1e-5
    used = with_card(change, worded)
    assert used.prompt.verbalizer == worded.verbalizer and used.prompt.template_words is None


@pytest.mark.parametrize(("name", "labels"), [("pet-rte", ("entailment", "not_entailment")), ("pet-boolq", ("True", "False"))])
def test_an_ensemble_of_the_library_is_trained_as_it_was_published(service, tmp_path, name, labels):
    make_model(tmp_path / "model", [*WORDS, "yes", "no", "true", "false"])
    rows = [f"the food was {word},is it {word},{label}" for word in WORDS[5:] for label in labels]
    (tmp_path / "pairs.csv").write_text("\n".join(["text_a,text_b,label", *rows]) + "\n")
    recipe = make_recipe(tmp_path / "tiny").replace({
        "model.path": str(tmp_path / "model"), "data.train": str(tmp_path / "pairs.csv"), "data.split": {"shots": 3, "validation": 8},
        "data.columns": {"text_a": "text_a", "text_b": "text_b", "label": "label"}, "prompt.templates": ["{text_a} {text_b} [MASK]"],
        "prompt.verbalizer": {"kind": "manual", "words": {label: [label] for label in labels}}, "prompt.max_length": 60,
        "training.epochs": 1, "pet": {"seeds": 1, "distill_epochs": 1},
    })  # fmt: skip
    entry = library_entry(name)
    service.lab.keep(recipe, entry.cards(recipe.fields, labels))
    *_, (found, _) = cards.ranking(service, recipe, lambda: False)
    change, said = cards.pet(recipe, found, T)
    pairs = {(pattern.template, entry.words[pattern.words][labels[0]][0]) for pattern in entry.patterns}
    prompt = change.prompt
    words = [prompt.verbalizer_of(number)["words"][labels[0]][0] for number in range(len(prompt.templates))]
    assert set(zip(prompt.templates, words, strict=True)) == pairs and len(set(words)) == 2 and "stay out" not in said
    run = service.submit(change)
    assert service.wait(run, 300).status == "finished", service.read(run).error
    assert len(service.result(run)["weights"]) == len(entry.patterns)


def test_pet_is_refused_where_it_cannot_be_trained(tiny, few):
    with pytest.raises(RunError, match="two templates"):
        cards.pet(few, scored(TEMPLATES[0]), T)
    with pytest.raises(RunError, match="score"):
        cards.pet(few, [Card(TEMPLATES[0])], T)
    with pytest.raises(DataError, match="no unlabelled rows"):
        cards.pet(tiny, scored(*TEMPLATES), T)  # every row of the file is trained or validated on
    with acting_as(Principal("visitor", Role.VISITOR)), pytest.raises(AccessError):
        cards.pet(few, scored(*TEMPLATES), T)


def test_any_two_cards_are_set_beside_each_other(few, service):
    """Differences pressed on one card, then on another; before, every card was set beside the best alone."""
    kept = service.lab.keep(few, scored(*TEMPLATES))
    best, second, third = kept
    alone = cards.difference(service, few, third, "", T)
    assert (alone.first, alone.second, alone.chosen) == (third, best, False)
    pair = cards.difference(service, few, third, cards.digest(second), T)
    assert (pair.first, pair.second, pair.chosen) == (second, third, True)
    assert pair.rows == service.lab.scorer(few).disagreements(second, third, pair.of)
    for before in (cards.digest(third), "gone"):
        assert not cards.difference(service, few, third, before, T).chosen
    assert T("cards.differ_best") in cards.difference_html(alone, T) and T("cards.differ_chosen") in cards.difference_html(pair, T)


def test_the_ranking_is_a_chart_of_the_measured_cards_with_their_intervals(few, service, pages):
    worded = Card(TEMPLATES[0], {"kind": "manual", "words": OTHER}).scored(correct=5, rows=16, loss=0.7)
    found = [*scored(*TEMPLATES[:2]), worded, Card("{text} [MASK]")]
    plot, *others = cards.ranking_figure(found, with_card(few, worded), T).data
    assert not others and list(plot.x) == [0.9, 0.8, 5 / 16], "the card without a score has no point"
    assert list(plot.customdata) == [10, 10, 16]
    assert plot.y[0] == f"1. {TEMPLATES[0]}" and plot.y[2].startswith(f"3. {TEMPLATES[0]}") and "nice" in plot.y[2]
    for place, card in enumerate(found[:3]):
        low, high = card.interval
        assert plot.x[place] - plot.error_x.arrayminus[place] == pytest.approx(low)
        assert plot.x[place] + plot.error_x.array[place] == pytest.approx(high)
    assert plot.marker.color[0] == plot.marker.color[1] != plot.marker.color[2], "what is in use is set off"
    show = {fn.api_name: fn.fn for fn in pages("en").fns.values()}["cards_chart"]
    assert show(None, portable(few).model_dump()) == [{"visible": False, "__type__": "update"}, None]
    service.lab.keep(few, scored(*TEMPLATES))
    shown, figure = show(None, portable(few).model_dump())
    assert shown["visible"] and figure.layout.xaxis.title.text == T("cards.accuracy") and figure.layout.meta["y"] == T("cards.template")


def test_the_page_remembers_the_first_card_of_a_pair_until_the_second(few, service, pages):
    kept = service.lab.keep(few, scored(*TEMPLATES))
    act = {fn.api_name: fn.fn for fn in pages("en").fns.values()}["cards_act"]
    draft, picked = portable(few).model_dump(), ""
    for card, left in ((kept[2], cards.digest(kept[2])), (kept[1], ""), (kept[1], cards.digest(kept[1])), (kept[1], cards.digest(kept[1]))):
        *_, note, _, picked = act(None, gr.EventData(None, {"act": "differ", "card": cards.digest(card)}), draft, picked)
        assert picked == left and T("cards.differ_title") in note


def test_the_button_sets_the_recipe_and_the_tab_train_shows_it(few, pages, service):
    blocks = pages("en")
    handlers = {fn.api_name: fn for fn in blocks.fns.values()}
    service.lab.keep(few, scored(*TEMPLATES))
    draft = portable(few).model_dump()
    fields, *_, note, _ = handlers["cards_pet"].fn(None, draft)
    assert fields["pet"]["seeds"] == 3 and "PET" in note
    shown = handlers["cards_pet_shown"]
    boxes = dict(zip([output.elem_id for output in shown.outputs], shown.fn(None, fields), strict=True))
    assert boxes["train-pet"]["value"] is True and boxes["template-2"]["value"] == TEMPLATES[2]
