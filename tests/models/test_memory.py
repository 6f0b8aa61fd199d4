"""The estimate against what autograd really keeps."""

from __future__ import annotations

import torch
import transformers as hf

from workbench.models.card import model_card
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel
from workbench.models.memory import estimate_bytes

SHAPE = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512, "vocab_size": 100}


def kept_bytes(model: torch.nn.Module, batch: int, length: int) -> int:
    """Bytes that one forward pass of the backbone keeps for its backward pass, weights not counted, shared storage once."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = model(input_ids=torch.randint(4, 100, (batch, length)))
    total = sum(storage.nbytes() for storage in kept.values())
    del outputs
    return total


def loaded_of(model: object, kind: str) -> LoadedModel:
    return LoadedModel(model, None, family_of(model, kind), kind, "x", "", torch.device("cpu"))


def test_activations_of_an_encoder_and_a_decoder() -> None:
    bert = hf.BertForMaskedLM(hf.BertConfig(**SHAPE)).train()
    qwen = hf.Qwen2ForCausalLM(hf.Qwen2Config(**SHAPE, num_key_value_heads=2)).train()
    for model, kind in ((bert, "masked"), (qwen, "causal")):
        measured = kept_bytes(model.base_model, 4, 64)
        card = model_card(loaded_of(model, kind))
        estimated = estimate_bytes(card, trainable_parameters=card.parameters, batch_size=4, length=64).activations
        assert 0.9 < estimated / measured < 1.1


def test_weights_gradients_and_optimizer() -> None:
    bert = hf.BertForMaskedLM(hf.BertConfig(**SHAPE))
    card = model_card(loaded_of(bert, "masked"))
    full = estimate_bytes(card, trainable_parameters=card.parameters)
    assert full.weights == 4 * card.parameters == full.gradients == full.optimizer // 2
    assert full.total == full.weights + full.gradients + full.optimizer + full.activations
    few = estimate_bytes(card, trainable_parameters=1000, quantization="nf4", gradient_checkpointing=True)
    assert few.total < full.total and few.activations < full.activations / 2
