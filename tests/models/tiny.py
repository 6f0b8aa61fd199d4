"""Tiny random models of every family, made from configurations, and folders that hold them with a real tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

VOCABULARY = 128
TOKENS = 120  # fewer than the model has rows, as in most published models
BODY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": VOCABULARY}
GROUPED = BODY | {"num_key_value_heads": 2, "head_dim": 8}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": VOCABULARY}

# name -> (configuration class, model class, options); the families of transformers that the workbench has a file for.
ARCHITECTURES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "bert": (hf.BertConfig, hf.BertForMaskedLM, BODY),
    "roberta": (hf.RobertaConfig, hf.RobertaForMaskedLM, BODY),
    "xlm-roberta": (hf.XLMRobertaConfig, hf.XLMRobertaForMaskedLM, BODY),
    "albert": (hf.AlbertConfig, hf.AlbertForMaskedLM, BODY | {"embedding_size": 16}),
    "distilbert": (hf.DistilBertConfig, hf.DistilBertForMaskedLM, DISTIL),
    "electra": (hf.ElectraConfig, hf.ElectraForMaskedLM, BODY | {"embedding_size": 16}),
    "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM, GROUPED),
    "qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM, GROUPED),
    "llama": (hf.LlamaConfig, hf.LlamaForCausalLM, GROUPED),
    "mistral": (hf.MistralConfig, hf.MistralForCausalLM, GROUPED),
    "gemma": (hf.GemmaConfig, hf.GemmaForCausalLM, GROUPED),
    "gemma2": (hf.Gemma2Config, hf.Gemma2ForCausalLM, GROUPED | {"final_logit_softcapping": 0.5}),
    "gemma3_text": (hf.Gemma3TextConfig, hf.Gemma3ForCausalLM, GROUPED | {"final_logit_softcapping": 0.5}),
    "gpt2": (hf.GPT2Config, hf.GPT2LMHeadModel, {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCABULARY}),
    # Those of GENERIC.
    "mpnet": (hf.MPNetConfig, hf.MPNetForMaskedLM, BODY),
    "modernbert": (hf.ModernBertConfig, hf.ModernBertForMaskedLM, BODY | {"sep_token_id": 3, "cls_token_id": 2}),
    "phi": (hf.PhiConfig, hf.PhiForCausalLM, BODY),
}
GENERIC = {"mpnet", "modernbert", "phi"}  # without a file of their own
CAUSAL = {name for name, (_, cls, _) in ARCHITECTURES.items() if not cls.__name__.endswith("MaskedLM")}


def make_model(name: str, *, tied: bool = True, seed: int = 0) -> Any:
    """A random model of a family, in evaluation mode, every parameter moved away from its neat initial value."""
    config_class, model_class, options = ARCHITECTURES[name]
    torch.manual_seed(seed)
    model = model_class(config_class(**options, tie_word_embeddings=tied, bos_token_id=2, eos_token_id=3, pad_token_id=0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def make_tokenizer() -> Any:
    """A word tokenizer over 120 words in BERT's manner."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "great", "bad", "it", "was", "."]
    words += [f"w{i}" for i in range(TOKENS - len(words))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
    )


def save_model(folder: Path, name: str = "bert", *, dtype: torch.dtype = torch.float32) -> Path:
    """A complete model folder as `save_pretrained` writes it."""
    make_model(name).to(dtype).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
