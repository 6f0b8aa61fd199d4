"""Whoever asks the page while a model trains leaves the training's random numbers alone."""

import pytest
import torch
from torch import nn

from tests.serving.test_tuned import EXAMPLES, LABELS, WORDS, load, recipe
from workbench.methods import method_names
from workbench.prompts.verbalizers import verbalizer_kinds
from workbench.serving.label_words import search_label_words
from workbench.serving.own_numbers import own_numbers
from workbench.serving.preview import preview
from workbench.serving.tuned import tune


def drawn_within(work) -> bool:
    before = torch.get_rng_state()
    work()
    return not torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("method", method_names())
def test_attaching_a_method_to_answer_draws_nothing_from_the_trainings_numbers(method):
    template = "{text} [SOFT*2] was [MASK]" if method == "p_tuning" else "{text} it was [MASK]"
    options = recipe({"kind": "manual", "words": WORDS}, template, method)
    loaded = load("bert")
    assert not drawn_within(lambda: tune(loaded, options, LABELS))


@pytest.mark.parametrize("kind", verbalizer_kinds())
def test_neither_does_a_verbalizer_that_learns(kind):
    words = {"words": WORDS} if kind in ("manual", "soft") else {}
    options, loaded = recipe({"kind": kind, **words}, method="full"), load("bert")
    assert not drawn_within(lambda: tune(loaded, options, LABELS))
    assert not drawn_within(lambda: preview(loaded, options.prompt, LABELS, EXAMPLES[:1], k=3, fit_on=EXAMPLES))


def test_nor_a_search_for_words():
    options, loaded = recipe({"kind": "manual", "words": WORDS}), load("bert")
    assert not drawn_within(lambda: search_label_words(loaded, options.prompt, LABELS, EXAMPLES, words_per_label=2))


def test_what_is_drawn_apart_is_drawn_all_the_same_and_the_same_each_time():
    def drawn():
        with own_numbers():
            weights = nn.Linear(3, 3).weight.detach()
            return [weights, torch.randn(3), torch.rand(2, 2), nn.init.trunc_normal_(torch.empty(4)), torch.randperm(5)]

    first, second = drawn(), drawn()
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert len(set(first[1].tolist())) == 3
    before = torch.get_rng_state()
    given = torch.Generator().manual_seed(3)
    with own_numbers():
        assert torch.equal(torch.randn(3, generator=given), torch.randn(3, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(before, torch.get_rng_state())
