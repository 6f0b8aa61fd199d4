"""cloze_logits against the model's own full logits, for every family, with tied and untied heads."""

from __future__ import annotations

from threading import Thread

import pytest
import torch

from tests.models.tiny import ARCHITECTURES, CAUSAL, GENERIC, VOCABULARY, make_model
from workbench.models.cloze import cloze_logits, hidden_at
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel

WORDS = torch.tensor([7, 3, 99, 7])


def loaded_model(name: str, tied: bool = True) -> LoadedModel:
    kind = "causal" if name in CAUSAL else "masked"
    model = make_model(name, tied=tied)
    return LoadedModel(model, None, family_of(model, kind), kind, name, "", torch.device("cpu"))


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(4, VOCABULARY, (3, 9))
    attention = torch.ones_like(ids)
    ids[1, 6:], attention[1, 6:] = 0, 0
    return ids, attention, torch.tensor([[2, 8], [5, 1], [0, 3]])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_equal_to_full_logits(name: str, tied: bool) -> None:
    loaded = loaded_model(name, tied)
    ids, attention, positions = batch()
    with torch.no_grad():
        full = loaded.model(input_ids=ids, attention_mask=attention).logits
        expected = torch.stack([full[row, positions[row]] for row in range(3)])
        rows, nothing = cloze_logits(loaded, ids, attention, positions, WORDS)
        normalized, normalizer = cloze_logits(loaded, ids, attention, positions, WORDS, normalizer=True)
        everything, _ = cloze_logits(loaded, ids, attention, positions, None)
    assert nothing is None and normalizer is not None
    assert expected.abs().max() > 0.01
    assert torch.allclose(rows, expected[..., WORDS], atol=1e-5)
    assert torch.allclose(normalized, expected[..., WORDS], atol=1e-5)
    assert torch.allclose(everything, expected, atol=1e-5)
    assert torch.allclose(normalizer, expected.logsumexp(-1), atol=1e-5)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_same_gradients_as_full_logits(name: str) -> None:
    loaded = loaded_model(name)
    ids, attention, positions = batch()
    cloze_logits(loaded, ids, attention, positions, WORDS)[0].log_softmax(-1)[..., 0].sum().backward()
    ours = {n: p.grad.clone() for n, p in loaded.model.named_parameters() if p.grad is not None}
    loaded.model.zero_grad()
    full = loaded.model(input_ids=ids, attention_mask=attention).logits
    expected = torch.stack([full[row, positions[row]] for row in range(3)])[..., WORDS]
    expected.log_softmax(-1)[..., 0].sum().backward()
    theirs = {n: p.grad for n, p in loaded.model.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys() and len(ours) > 10
    for parameter, gradient in theirs.items():
        assert torch.allclose(ours[parameter], gradient, rtol=1e-3, atol=1e-4), parameter


def test_what_another_thread_reads_meanwhile_is_not_caught() -> None:
    loaded = loaded_model("mpnet")
    ids, attention, positions = batch()
    with torch.no_grad():
        expected = hidden_at(loaded, ids, attention, positions)
        other = Thread(target=lambda: loaded.model(input_ids=ids[:, :4]))

        def meanwhile(*_: object) -> None:
            if not other.ident:
                other.start()
                other.join()

        hook = loaded.model.register_forward_hook(meanwhile)  # runs when the product has been passed by, and before the answer is read
        found = hidden_at(loaded, ids, attention, positions)
        hook.remove()
    assert other.ident and torch.equal(found, expected)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - GENERIC))
def test_only_asked_rows_are_multiplied(name: str) -> None:
    loaded = loaded_model(name)
    calls: list[object] = []
    loaded.family.output_module(loaded.model).register_forward_hook(lambda *args: calls.append(args))
    assert loaded.family.rows_only
    cloze_logits(loaded, *batch(), WORDS)
    assert not calls


def test_wrapped_by_peft_and_with_an_adapted_head() -> None:
    from peft import LoraConfig, get_peft_model

    loaded = loaded_model("roberta")
    ids, attention, positions = batch()
    before = cloze_logits(loaded, ids, attention, positions, WORDS)[0]
    loaded.model = get_peft_model(loaded.model, LoraConfig(target_modules=["query", "decoder"], init_lora_weights=False)).eval()
    full = loaded.model(input_ids=ids, attention_mask=attention).logits
    expected = torch.stack([full[row, positions[row]] for row in range(3)])[..., WORDS]
    found = cloze_logits(loaded, ids, attention, positions, WORDS)[0]
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, before, atol=1e-2)


NARROW = ["bert", "roberta", "xlm-roberta", "electra", "llama", "mistral", "qwen2", "qwen3"]


@pytest.mark.parametrize("name", NARROW)
def test_the_last_layer_is_computed_at_the_asked_positions_only(name: str) -> None:
    """Counted: what enters the last layer's feed-forward part; equal to the whole layer's answer to 1e-6, padded or not."""
    loaded = loaded_model(name)
    seen: list[torch.Size] = []
    layer = loaded.family.layers(loaded.model)[-1]
    layer.get_submodule(loaded.family.feed_forward[0]).register_forward_pre_hook(lambda module, given: seen.append(given[0].shape))
    ids, attention, positions = batch()
    for mask in (attention, torch.ones_like(attention)):
        with torch.no_grad():
            narrow = cloze_logits(loaded, ids, mask, positions, WORDS)[0]
            full = loaded.model(input_ids=ids, attention_mask=mask).logits
        expected = torch.stack([full[row, positions[row]] for row in range(3)])[..., WORDS]
        assert (narrow - expected).abs().max() < 1e-6 * max(1.0, float(expected.abs().max()))
    assert [shape[1] for shape in seen] == [2, 9, 2, 9]


def test_a_layer_that_somebody_listens_to_or_that_is_recomputed_stays_whole() -> None:
    loaded = loaded_model("bert")
    layer, seen = loaded.family.layers(loaded.model)[-1], []
    expected = cloze_logits(loaded, *batch(), WORDS)[0]
    handle = layer.register_forward_hook(lambda module, given, output: seen.append(output.shape))
    assert torch.allclose(cloze_logits(loaded, *batch(), WORDS)[0], expected, atol=1e-6) and seen == [torch.Size([3, 9, 32])]
    handle.remove()
    loaded.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    loaded.model.train()
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    scores = cloze_logits(loaded, *batch(), WORDS)[0]
    scores.sum().backward()
    assert torch.allclose(scores, expected, atol=1e-5)


def test_copies_and_other_threads_of_a_narrowed_model_answer_whole() -> None:
    import copy
    import threading

    from workbench.models.last_layer import encoder_layer_at, looking_at

    loaded = loaded_model("bert")
    ids, attention, positions = batch()
    layer = loaded.family.layers(loaded.model)[-1]
    shapes: list[torch.Size] = []
    with torch.no_grad(), looking_at(layer, positions, encoder_layer_at):
        other = threading.Thread(target=lambda: shapes.append(loaded.model.bert(ids, attention).last_hidden_state.shape))
        other.start()
        other.join()
        assert loaded.model.bert(ids, attention).last_hidden_state.shape == (3, 2, 32)
    twin = copy.deepcopy(loaded.model)
    assert shapes == [(3, 9, 32)] and twin.bert(ids, attention).last_hidden_state.shape == (3, 9, 32)
    assert type(layer).__name__ == "BertLayer"
