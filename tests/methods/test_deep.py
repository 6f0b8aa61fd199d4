"""Deep prompts: equal to the same pairs passed as a cache, exact under checkpointing, padding and generation, put on and off exactly."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers as hf
from transformers import DynamicCache

from tests.methods.tuned import digest, disturb, load, logits, prompt
from workbench.errors import MethodError
from workbench.methods import attach
from workbench.methods.deep_method import prefix_parameters, start_ids
from workbench.models.families import family_of
from workbench.models.positions import position_count

MASKED = ["bert", "roberta", "albert", "distilbert", "electra"]
DECODERS = ["qwen2", "qwen3", "llama", "gpt2", "gemma3_text"]
IDS = torch.tensor([[2, 7, 4, 8, 3], [2, 9, 11, 8, 3]])


def by_hand(loaded, pairs: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Logits with the pairs handed over as a cache of earlier tokens."""
    batch = [tuple(part.expand(ids.shape[0], -1, -1, -1) for part in layer) for layer in pairs]
    with torch.no_grad():
        return loaded.model(input_ids=ids, past_key_values=DynamicCache(batch)).logits


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoders_prefix_is_the_same_pairs_passed_as_past_key_values(family: str) -> None:
    loaded = load(family)
    attached = attach(loaded, {"name": "p_tuning_v2", "length": 3})
    disturb(attached)
    pairs = attached.pairs()
    ours = logits(loaded, IDS.tolist())
    attached.detach()
    assert torch.allclose(ours, by_hand(loaded, pairs, IDS), atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_that_starts_from_text_answers_as_if_the_text_stood_in_front(family: str) -> None:
    loaded = load(family)
    with torch.no_grad():
        whole = loaded.model(input_ids=torch.cat([torch.tensor([[7, 8, 7]] * 2), IDS], dim=1)).logits[:, 3:]
    attach(loaded, {"name": "prefix_tuning", "length": 3, "text": "it was"})
    assert torch.allclose(logits(loaded, IDS.tolist()), whole, atol=1e-5)


@pytest.mark.parametrize("family", MASKED)
def test_an_encoders_prefix_is_attention_over_longer_keys_and_values(family: str) -> None:
    """The reference runs transformers' own eager attention with pairs put in front of the key and value maps' output."""
    loaded = load(family)
    attached = attach(loaded, {"name": "p_tuning_v2", "length": 3})
    disturb(attached)
    ours, pairs = logits(loaded, IDS.tolist()), attached.pairs()
    attached.detach()
    loaded.model.set_attn_implementation("eager")
    calls = {"n": 0}
    attention = loaded.family.layers(loaded.model)[0].get_submodule(loaded.family.query.rpartition(".")[0])
    source = sys.modules[type(attention).__module__]
    plain = source.eager_attention_forward

    def reference(module, query, key, value, attention_mask, **kwargs):
        layer = pairs[calls["n"]].unsqueeze(1).expand(-1, key.shape[0], -1, -1, -1)
        calls["n"] += 1
        return plain(module, query, torch.cat([layer[0], key], 2), torch.cat([layer[1], value], 2), None, **kwargs)

    source.eager_attention_forward = reference
    try:
        theirs = logits(loaded, IDS.tolist())
    finally:
        source.eager_attention_forward = plain
    assert calls["n"] == 2
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("family", [*MASKED, *DECODERS])
@pytest.mark.parametrize("name", ["p_tuning_v2", "prefix_tuning"])
def test_closed_formula_and_only_pairs_are_kept(family: str, name: str, tmp_path: Path) -> None:
    loaded = load(family)
    before = digest(loaded.model)
    attached = attach(loaded, {"name": name, "length": 3, "inner": 5}, prompt=prompt("{text} it was [MASK]"))
    kv_width = attached.deep.shape[2] * attached.deep.shape[4]
    extra = {"width": 32, "inner": 5} if name == "prefix_tuning" else {}
    assert attached.trainable_parameters == prefix_parameters(3, 2, kv_width, **extra)
    disturb(attached)
    tuned = logits(loaded)
    attached.save_final(tmp_path)
    attached.detach()
    assert digest(loaded.model) == before and loaded.model.config._attn_implementation == "sdpa"
    again = attach(loaded, {"name": name, "length": 3, "inner": 5}, prompt=prompt("{text} it was [MASK]"))
    again.restore(tmp_path)
    assert torch.allclose(logits(loaded), tuned, atol=1e-6)
    assert again.trainable_parameters == prefix_parameters(3, 2, kv_width)


@pytest.mark.parametrize("family", ["bert", "qwen2", "gpt2"])
def test_gradients_are_the_same_with_checkpointing(family: str) -> None:
    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        loaded = load(family)
        torch.manual_seed(0)
        attached = attach(loaded, {"name": "prefix_tuning", "length": 3, "inner": 8, "init": "random"})
        if checkpointing:
            loaded.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        loaded.model.train()
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for attention in attached.deep._modules:
            if hasattr(attention, "attention_dropout") and isinstance(attention.attention_dropout, float):
                attention.attention_dropout = 0.0
        options = {"use_cache": False} if loaded.kind == "causal" else {}
        loaded.model(input_ids=IDS, **options).logits.logsumexp(-1).sum().backward()
        return [p.grad for _, p in attached.parameters()]

    for one, two in zip(gradients(False), gradients(True), strict=True):
        assert one.abs().sum() > 0 and torch.allclose(one, two, atol=1e-6)


# On the left only where a model can be told its positions: RoBERTa counts them from the ids, DistilBERT takes none.
SIDES = [*((family, "right") for family in ("bert", "albert", "roberta", "distilbert", "qwen2", "gpt2"))]
SIDES += [(family, "left") for family in ("bert", "albert", "qwen2", "llama", "gpt2")]


@pytest.mark.parametrize(("family", "side"), SIDES)
def test_padding_on_either_side_changes_nothing(family: str, side: str) -> None:
    loaded = load(family)
    disturb(attach(loaded, {"name": "p_tuning_v2", "length": 3}))
    alone = logits(loaded, IDS[:1].tolist())
    pad, none, ones = torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 5, dtype=torch.long)
    if side == "right":
        padded = logits(loaded, torch.cat([IDS[:1], pad], 1).tolist(), attention_mask=torch.cat([ones, none], 1))[:, :5]
    else:
        mask = torch.cat([none, ones], 1)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        padded = logits(loaded, torch.cat([pad, IDS[:1]], 1).tolist(), attention_mask=mask, position_ids=positions)[:, 2:]
    assert torch.allclose(padded, alone, atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_generate_equals_the_loop_without_a_cache(family: str) -> None:
    loaded = load(family)
    disturb(attach(loaded, {"name": "prefix_tuning", "length": 3, "inner": 8}))
    ids = IDS[:1]
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    ours = loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)
    grown = ids
    for _ in range(5):
        with torch.no_grad():
            grown = torch.cat([grown, loaded.model(input_ids=grown, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(ours, grown)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "gpt2"])
def test_peft_opens_a_prefix_and_gives_our_logits(family: str, tmp_path: Path) -> None:
    from peft import PeftModel

    loaded = load(family)
    attached = attach(loaded, {"name": "prefix_tuning", "length": 3, "inner": 8})
    disturb(attached)
    ours = logits(loaded, IDS.tolist())
    attached.save_final(tmp_path)
    other = PeftModel.from_pretrained(load(family).model, tmp_path).eval()
    with torch.no_grad():
        theirs = other(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_prefix_longer_than_an_encoder_starts_from_text_read_in_pieces(family: str) -> None:
    loaded = load(family)
    most = position_count(loaded.model.config)
    attached = attach(loaded, {"name": "p_tuning_v2", "length": most + 5, "text": "w1 w2 w3"})
    pairs = attached.pairs()
    assert pairs.shape[3] == most + 5 and torch.isfinite(logits(loaded)).all()
    # The second piece begins at the first position again: its first tokens go on where the words were.
    again = attached.deep.record(start_ids(loaded.tokenizer, attached.options, None)[most:])
    assert torch.allclose(pairs[:, :, :, most:], again)


def test_a_decoder_without_a_position_left_is_refused() -> None:
    loaded = load("gpt2")
    before = digest(loaded.model)
    with pytest.raises(MethodError, match="1024 positions"):
        attach(loaded, {"name": "prefix_tuning", "length": 1024})
    assert digest(loaded.model) == before


def test_an_architecture_that_hides_its_attention_is_refused_by_name() -> None:
    loaded = load("mpnet")
    before = digest(loaded.model)
    with pytest.raises(MethodError, match="mpnet models does not go through"):
        attach(loaded, {"name": "p_tuning_v2"})
    assert digest(loaded.model) == before
    attach(loaded, {"name": "soft_prompt"}).detach()


def test_a_model_that_goes_past_its_backbone_is_refused_by_name() -> None:
    """OPT calls the decoder inside its backbone; a prefix that only shows when the backbone is called would train nothing."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64}
    model = hf.OPTForCausalLM(hf.OPTConfig(vocab_size=128, **sizes)).eval()
    loaded = replace(load("gpt2"), model=model, family=family_of(model, "causal"))
    before = digest(model)
    for name in ("prefix_tuning", "p_tuning_v2"):
        with pytest.raises(MethodError, match="opt models does not go through"):
            attach(loaded, {"name": name})
        assert digest(model) == before
    attach(loaded, {"name": "lora"}).detach()


@pytest.mark.parametrize("config", [hf.MambaConfig, hf.RwkvConfig])
def test_a_model_without_attention_is_refused_a_prefix_by_name_and_keeps_a_soft_prompt(config, tmp_path) -> None:
    model = hf.AutoModelForCausalLM.from_config(config(vocab_size=128, hidden_size=32, num_hidden_layers=2), trust_remote_code=False)
    loaded = replace(load("gpt2"), model=model, family=family_of(model, "causal"))
    with pytest.raises(MethodError, match="does not go through"):
        attach(loaded, {"name": "prefix_tuning"})
    attached = attach(loaded, {"name": "soft_prompt", "length": 2})
    attached.save(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
