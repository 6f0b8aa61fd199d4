"""A model folder on disk: whether it can be used, what kind of model it holds, and a fingerprint of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from workbench.data.table import shorten
from workbench.errors import ModelError
from workbench.models.baichuan import is_baichuan, llama_config

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
UNSAFE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5")
# Pre-training classes that hold a masked-LM head beside another one.
WITH_MASKED_HEAD = ("BertForPreTraining", "AlbertForPreTraining")
SAMPLES, SAMPLE_BYTES = 16, 4096


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as plain values.

    Raises:
        ModelError: no such file, with a guess at what the folder is instead; or not JSON.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise ModelError(f"{folder.name} is not a model folder: there is no config.json{_instead(folder)}.", fix=_fix_for(folder))
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        raise ModelError(f"config.json in {folder.name} is not readable JSON.", fix="Copy or download the model's files again.") from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelError(f"config.json in {folder.name} does not say which model type it is.", fix="Choose a transformers model folder.")
    return config


def check_folder(folder: Path, config: dict[str, Any]) -> str:
    """The model's kind, "masked" or "causal", after everything that loading needs was found.

    Raises:
        ModelError: own code, an unknown type, no language-model head, no safetensors, no tokenizer.
    """
    kind = check_config(folder, config)
    check_weights(folder)
    check_tokenizer_files(folder)
    return kind


def check_tokenizer_files(folder: Path) -> None:
    """Raises ModelError when a model folder holds nothing that a tokenizer could be read from."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{folder.name} holds no tokenizer.", fix="Put the model's tokenizer.json (or vocab.txt) and tokenizer_config.json beside it."
        )


def check_config(folder: Path, config: dict[str, Any]) -> str:
    """The model's kind from its configuration alone.

    Raises:
        ModelError: own code, a type that transformers does not know, no language-model head.
    """
    from transformers import CONFIG_MAPPING

    if is_baichuan(config):
        llama_config(config)  # says why a 13B model cannot be converted either
        raise ModelError(
            f"{folder.name} is a Baichuan checkpoint in its own layout, which has to be converted once.",
            fix="Convert it in the Model tab, or with: python -m workbench convert FOLDER --to DIR, and choose that folder.",
        )
    if "auto_map" in config or "auto_map" in _tokenizer_config(folder):
        raise ModelError(
            f"{folder.name} wants to run Python code of its own (auto_map), which is never done here.",
            fix="Choose a version of the model whose architecture is part of transformers.",
        )
    kernel = _kernel_reference(config)
    if kernel is not None:
        raise ModelError(
            f"config.json of {folder.name} names a compute kernel to download and run ({kernel}), which is never done here.",
            fix=f"Remove the entry '{kernel}' from config.json; transformers' own attention gives the same numbers.",
        )
    if config["model_type"] not in CONFIG_MAPPING:
        raise ModelError(
            f"The model type '{shorten(config['model_type'])}' of {folder.name} is not part of transformers.",
            fix="Choose a model of a family such as BERT, RoBERTa, Qwen2 or Llama.",
        )
    if "adapter_config.json" in {file.name for file in folder.iterdir()} and not _has_weights(folder):
        raise ModelError(f"{folder.name} holds an adapter, not a model.", fix="Choose the base model that it was trained on.")
    return model_kind(folder.name, config)


def _kernel_reference(config: dict[str, Any]) -> str | None:
    """The first key, at any depth, that makes transformers fetch and run a kernel (CVE-2026-4372 was one such key); None without.

    transformers also takes an implementation for each part of a model: whatever stands below such a key is looked at as its value is.
    """
    waiting: list[tuple[str, Any]] = [("", config)]  # with the key of an implementation that it stands below
    while waiting:
        below, part = waiting.pop()
        if isinstance(part, list):
            waiting += [(below, value) for value in part]
        elif isinstance(part, dict):
            waiting += [(str(key) if "implementation" in str(key) else below, value) for key, value in part.items()]
        elif isinstance(part, str) and below and ("/" in part or "internal" in below):
            return below[:80]
    return None


def model_kind(name: str, config: dict[str, Any]) -> str:
    """ "masked" or "causal" from `config["architectures"]`.

    Raises:
        ModelError: an architecture without a language-model head.
    """
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(architecture, str) for architecture in architectures):
        raise ModelError(f"The architectures in config.json of {name} are no names.", fix="Copy or download the model's files again.")
    for architecture in architectures:
        if architecture.endswith("ForMaskedLM") or architecture in WITH_MASKED_HEAD:
            return "masked"
        if architecture.endswith("ForCausalLM") or architecture in ("GPT2LMHeadModel", "OpenAIGPTLMHeadModel"):
            return "causal"
    if not architectures:
        raise ModelError(
            f"config.json of {name} does not name its architecture, so it is unknown which head the weights have.",
            fix='Add "architectures": ["BertForMaskedLM"] (or the class it was saved from) if the checkpoint has a language-model head.',
        )
    found = architectures[0]
    reason = {
        found.endswith("Model"): "a bare encoder without a masked-LM head, so it cannot fill a blank",
        "ForPreTraining" in found: "a discriminator without a masked-LM head, so it cannot fill a blank",
        "ConditionalGeneration" in found: "an encoder-decoder or multimodal model, which is not supported",
    }.get(True, "a model without a language-model head, so it cannot fill a blank")
    raise ModelError(
        f"The model {name} is {shorten(found)}: {reason}.",
        fix="Choose a checkpoint whose architecture ends in ForMaskedLM or ForCausalLM.",
    )


def check_weights(folder: Path) -> None:
    """Raises ModelError unless the folder holds complete safetensors weights."""
    files = weight_files(folder)
    if not files:
        unsafe = sorted(file.name for file in folder.iterdir() if file.suffix in UNSAFE_SUFFIXES)
        if unsafe:
            raise ModelError(
                f"{folder.name} holds its weights only as {unsafe[0]}, a format that can run code while it is read.",
                fix="Save the model once with save_pretrained (safetensors) on a machine that trusts it, and choose that folder.",
            )
        raise ModelError(f"{folder.name} holds no weights (model.safetensors).", fix="Copy or download the model's files completely.")
    lost = [file.name for file in files if not file.is_file()]
    if lost:
        raise ModelError(f"{folder.name} lacks {len(lost)} of {len(files)} weight files, such as {lost[0]}.", fix="Copy or download them.")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that belong to the model, sorted, whether they are there or not; empty when none is named."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return [folder / "model.safetensors"] if (folder / "model.safetensors").is_file() else []
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{index.name} in {folder.name} is not readable.", fix="Copy or download the model's files again.") from None
    # A shard name comes from the file: only its last part counts, so that it cannot point outside the folder.
    return sorted(folder / Path(str(name)).name for name in names)


def fingerprint(folder: Path) -> str:
    """SHA-256 over config.json (or of a GGUF file alone) and, of each weight file, name, size, header and sixteen samples of 4 KiB.

    Reads under 100 KiB a file, so a 15 GB model is as quick as a small one. Headers alone would not do: every fine-tuned
    sibling has the same shapes and the same size.
    """
    single = folder.is_file()
    digest = hashlib.sha256(b"gguf" if single else (folder / "config.json").read_bytes())
    for file in [folder] if single else weight_files(folder):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as stream:
            length = min(int.from_bytes(stream.read(8), "little"), size)
            digest.update(stream.read(length))
            for sample in range(SAMPLES):
                stream.seek(8 + length + max(0, size - 8 - length - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (ValueError, OSError, RecursionError):
        raise ModelError(f"tokenizer_config.json in {folder.name} is not readable JSON.", fix="Copy the model's files again.") from None
    return content if isinstance(content, dict) else {}


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in WEIGHT_FILES)


def _instead(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return ", but there is an adapter"
    return ", but there is a GGUF file" if any(folder.glob("*.gguf")) else ""


def _fix_for(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return "Choose the base model that the adapter was trained on."
    return "Choose the folder that holds config.json, model.safetensors and the tokenizer's files."
