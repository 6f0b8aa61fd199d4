"""Baichuan-7B and Baichuan2-7B without their own code: converted once into a Llama folder that every tool reads.

Both are Llama's architecture with query, key and value in one matrix, `W_pack`: rows 0..H of it are the query, the next H the key, the
last H the value. Baichuan2 divides every row of its output head by its length before it is used (NormHead), which is done once here.
The 13B models have ALiBi in place of rotary positions and are no Llama.

Weights stream: one shard of the source is open at a time, and what has come of it is written, and told, every half gigabyte.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from workbench.errors import ModelError
from workbench.models.foreign import foreign
from workbench.models.spm import fast_tokenizer
from workbench.models.transfer import Progress, Transfer

MODEL_TYPE = "baichuan"
CONVERT = "convert"
PART_BYTES = 2**29  # of a file that is written; between two of them a person can cancel
FIRST_VOCABULARY = 64_000  # of the first generation; the second has 125,696 and the normalised head
KEPT = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps", "vocab_size", "hidden_act",
    "initializer_range", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "use_cache",
)  # fmt: skip


def is_baichuan(config: dict[str, Any]) -> bool:
    """Whether a config.json is that of a Baichuan checkpoint in its own layout."""
    return config.get("model_type") == MODEL_TYPE


def normalises_head(config: dict[str, Any]) -> bool:
    """Whether the checkpoint is of the second generation. Its config says so only by its vocabulary."""
    return config.get("vocab_size") != FIRST_VOCABULARY and "BaichuanForCausalLM" in (config.get("architectures") or [])


def llama_config(config: dict[str, Any]) -> dict[str, Any]:
    """config.json of the same network as a Llama.

    Raises:
        ModelError: a 13B model.
    """
    if "max_position_embeddings" not in config or config.get("num_attention_heads") == 40 or config.get("hidden_size") == 5120:
        raise ModelError(
            "Baichuan 13B models use ALiBi in place of rotary positions, so they are not Llamas and cannot be converted.",
            fix="Choose Baichuan-7B or Baichuan2-7B.",
        )
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **{key: config[key] for key in KEPT if config.get(key) is not None},
        "num_key_value_heads": config["num_attention_heads"],
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "dtype": config.get("torch_dtype") or config.get("dtype") or "float32",
    }


def convert_baichuan(source: Path, target: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Writes `source` as a Llama folder `target` with a fast tokenizer.

    `.bin` shards are opened with weights_only, so nothing in them can run; this is the only place that opens them.

    Args:
        progress: told bytes and time left; what it raises ends the conversion, of which nothing stays behind.

    Returns:
        {"to": path, "shards": files written, "parameters": n, "bytes": n, "vocabulary": n}.

    Raises:
        ModelError: a 13B model, missing or damaged shards, a full disk, or a target that is there already.
    """
    config = _plain(source / "config.json")
    llama = llama_config(config)
    shards = weight_shards(source)
    if target.exists() and any(target.iterdir()):
        raise ModelError(f"{target.name} is there already and not empty.", fix="Name a new folder.")
    size = sum(shard.stat().st_size for shard in shards)
    target.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(target.parent).free < size * 1.02:
        raise ModelError(
            f"The converted model takes {size / 2**30:.1f} GiB, and the disk has less.", fix="Free some space, or choose another disk."
        )
    staging = target.with_name(f".{target.name}.converting")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        vocabulary = _write_tokenizer(source, staging, config)
        parts = _parts(shards, int(llama["hidden_size"]), normalises_head(config))
        counts = _write_weights(parts, staging, Transfer(size, progress, CONVERT))
        (staging / "config.json").write_text(json.dumps(llama, indent=2), encoding="utf-8")
        if target.exists():
            target.rmdir()
        staging.rename(target)
    except OSError as error:
        raise ModelError(f"The converted model cannot be written ({error.strerror}).", fix="Free some space and convert again.") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return {"to": str(target), **counts, "vocabulary": vocabulary}


def weight_shards(source: Path) -> list[Path]:
    """The weight files in order: safetensors where there are some, else `.bin`.

    Raises:
        ModelError: there are none, or the index names one that is missing.
    """
    for single, index in (("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")):
        if (source / single).is_file():
            return [source / single]
        if (source / index).is_file():
            places = _plain(source / index).get("weight_map")
            if not isinstance(places, dict):
                raise ModelError(f"{index} does not say where the weights are.", fix="Copy or download it again.")
            names = sorted({str(name) for name in places.values()})
            # A shard name comes from the file: only its last part counts, so that it cannot point outside the folder.
            files = [source / Path(name).name for name in names]
            lost = [file.name for file in files if not file.is_file()]
            if lost:
                raise ModelError(f"{source.name} lacks {len(lost)} of {len(files)} weight files, such as {lost[0]}.", fix="Download them.")
            return files
    raise ModelError(f"{source.name} holds no weights.", fix="Copy or download the model's files completely.")


def _parts(shards: list[Path], hidden: int, norm_head: bool) -> Iterator[dict[str, torch.Tensor]]:
    """Llama's tensors, as many at a time as make a file; those of a shard are read while it is open."""
    for shard in shards:
        part: dict[str, torch.Tensor] = {}
        with _open_shard(shard) as tensors:
            for key, tensor in tensors:
                part.update(_converted(key, tensor, hidden, norm_head))
                if _bytes(part) >= PART_BYTES:
                    yield part
                    part = {}
            if part:
                yield part


def _bytes(part: dict[str, torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in part.values())


def _write_weights(parts: Iterator[dict[str, torch.Tensor]], staging: Path, transfer: Transfer) -> dict[str, int]:
    files: list[list[str]] = []
    parameters = size = 0
    transfer.add(0)
    for number, part in enumerate(parts):
        save_file(part, staging / f"{number}.part", metadata={"format": "pt"})
        files.append(list(part))
        parameters += sum(tensor.numel() for tensor in part.values())
        size += _bytes(part)
        transfer.add(_bytes(part))
    placed: dict[str, str] = {}
    for number, names in enumerate(files):
        file = f"model-{number + 1:05d}-of-{len(files):05d}.safetensors"
        (staging / f"{number}.part").rename(staging / file)
        placed |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": size}, "weight_map": placed}
    (staging / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True), encoding="utf-8")
    return {"shards": len(files), "parameters": parameters, "bytes": size}


def _converted(key: str, tensor: torch.Tensor, hidden: int, norm_head: bool) -> dict[str, torch.Tensor]:
    """One tensor of the source as Llama's tensors: none for a buffer, three for a packed matrix."""
    if key.endswith("rotary_emb.inv_freq"):
        return {}
    if key.endswith("self_attn.W_pack.weight"):
        if tuple(tensor.shape) != (3 * hidden, hidden):
            raise ModelError(f"{key} has shape {tuple(tensor.shape)} where {(3 * hidden, hidden)} is expected.", fix="Download it again.")
        prefix = key.removesuffix("W_pack.weight")
        return {f"{prefix}{part}_proj.weight": rows.contiguous() for part, rows in zip("qkv", tensor.split(hidden), strict=True)}
    if key == "lm_head.weight" and norm_head:
        return {key: torch.nn.functional.normalize(tensor.float()).to(tensor.dtype)}
    return {key: tensor.contiguous()}


@contextmanager
def _open_shard(shard: Path) -> Iterator[Iterator[tuple[str, torch.Tensor]]]:
    """Names and tensors of one file, mapped from disk: pages come in as they are read."""
    damaged = ModelError(f"{shard.name} cannot be read.", fix="Copy or download it again.")
    if shard.suffix == ".safetensors":
        try:
            with safe_open(shard, framework="pt") as file:
                yield ((key, file.get_tensor(key)) for key in file.keys())  # noqa: SIM118  not a mapping
        except SafetensorError:
            raise damaged from None
        return
    with foreign(lambda error: damaged):
        content = torch.load(shard, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise damaged
    yield iter(content.items())


def _plain(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ModelError(f"{file.name} is not readable JSON.", fix="Copy or download it again.")
    return content


def _write_tokenizer(source: Path, staging: Path, config: dict[str, Any]) -> int:
    from transformers import PreTrainedTokenizerFast

    if not (source / "tokenizer.model").is_file():
        raise ModelError(f"{source.name} holds no tokenizer.model.", fix="Copy or download the model's files completely.")
    tokenizer = fast_tokenizer(source / "tokenizer.model")
    file = source / "tokenizer_config.json"
    said = _plain(file) if file.is_file() else {}

    def token(name: str, default: int) -> str | None:
        value = said.get(f"{name}_token")
        text = value.get("content") if isinstance(value, dict) else value
        return text or tokenizer.id_to_token(config.get(f"{name}_token_id", default) or default)

    if said.get("add_bos_token"):
        from tokenizers import processors

        start = token("bos", 1)
        tokenizer.post_processor = processors.TemplateProcessing(f"{start} $A", None, [(start, tokenizer.token_to_id(start))])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=token("unk", 0), bos_token=token("bos", 1), eos_token=token("eos", 2),
        pad_token=token("pad", 0), model_max_length=config.get("max_position_embeddings", 4096), clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.save_pretrained(staging)
    return len(fast)
