"""From `embedded:NAME`, a folder or a hub id to a LoadedModel: weights, tokenizer, family, and which device they live on.

Nothing that came with a model is ever run: configurations that name their own Python code are refused, and weights are read from
safetensors only. Half-precision checkpoints become float32 on a CPU, where half precision is slower by far.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from workbench.access import check_hub, check_model_path
from workbench.errors import ModelError, OutOfMemory, nearest
from workbench.models.families import Family, family_of
from workbench.models.folder import check_folder, fingerprint, read_config
from workbench.models.foreign import foreign
from workbench.models.gguf import gguf_config, is_gguf, load_gguf
from workbench.models.hub import fetch, is_hub_id
from workbench.models.imports import import_transformers
from workbench.models.memory import free_bytes, swap_bytes, weights_bytes, whole_bytes
from workbench.models.modelscope import MODELSCOPE, fetch_from_modelscope
from workbench.models.quantization import QUANTIZATIONS, keep_four_bit_exact, quantization_config, quiet_casts
from workbench.models.shortage import is_shortage
from workbench.models.sizes import parameters_of, refuse_swollen, stored_bytes
from workbench.models.transfer import Progress
from workbench.recipe import PRESETS, ModelPart

if TYPE_CHECKING:
    from workbench.models.card import ModelCard

BIG_MODEL = 2**30  # parameters; 4 GiB in float32


@dataclass
class LoadedModel:
    """A model ready to be asked or tuned. Owned by the pool, or by the one who asked for a fresh copy.

    Attributes:
        kind: "masked" or "causal".
        name: what the person chose: `embedded:tiny-en`, a folder's name or a hub id.
        fingerprint: SHA-256 that changes with the configuration or the weights.
    """

    model: Any
    tokenizer: Any
    family: Family
    kind: str
    name: str
    fingerprint: str
    device: torch.device
    quantization: str = "none"


def embedded_names() -> list[str]:
    """Names of the embedded models that are there, sorted."""
    return sorted(config.parent.name for config in (PRESETS / "models").glob("*/config.json"))


def find_model(path: str, revision: str | None = None) -> Path | str:
    """The folder of an embedded or local model, or the hub id itself; nothing is downloaded.

    Raises:
        ModelError: an embedded model that is not there, or a name that is neither a folder nor a possible hub id.
        AccessError: a client of a shared server may not load from there.
    """
    if path.startswith("embedded:"):
        name = path.removeprefix("embedded:")
        if name in embedded_names():
            return PRESETS / "models" / name
        if not embedded_names():
            raise ModelError(
                f"The embedded model '{name}' is missing: there are no models in the folder presets/models.",
                fix="Restore the folder presets of this project, or choose a local folder or a hub id.",
            )
        raise ModelError(f"There is no embedded model '{name}'.", fix=nearest(name, embedded_names()))
    if not path.strip():
        raise ModelError("No model is named.", fix="Name a folder, a hub id or embedded:NAME.")
    try:
        folder = Path(path).expanduser()
        local = folder.exists()
        if local or not is_hub_id(path):
            check_model_path(path)
        if folder.is_dir() or is_gguf(folder):
            return folder.resolve()
        if local:
            raise ModelError(f"'{path}' is a file; a model is a folder.", fix="Name the folder that holds config.json and the weights.")
    except (OSError, ValueError, RuntimeError):
        raise ModelError("This is not a usable model path.", fix="Name a folder, a hub id or embedded:NAME.") from None
    if is_hub_id(path) or path.startswith(MODELSCOPE):
        check_hub()
        return path
    raise ModelError(f"There is no model folder '{path}'.", fix="Check the path; a hub id looks like bert-base-uncased or owner/name.")


def locate(path: str, revision: str | None = None, progress: Progress | None = None, *, config_only: bool = False) -> Path:
    """The local folder of any model, downloaded from the hub when it has to be; of that only the configuration if `config_only`.

    Raises:
        ModelError: not found, not reachable.
    """
    place = find_model(path, revision)
    if isinstance(place, str) and place.startswith(MODELSCOPE):
        return fetch_from_modelscope(place.removeprefix(MODELSCOPE), revision, progress, config_only=config_only)
    return place if isinstance(place, Path) else fetch(place, revision, progress, config_only=config_only)


def load_model(part: ModelPart, *, progress: Progress | None = None) -> LoadedModel:
    """Loads model and tokenizer in evaluation mode, all weights frozen or not as they come (trainable).

    Args:
        progress: called with a stage (find, download, check, tokenizer, weights, ready) and a share of 1 or None.

    Raises:
        ModelError: with what is missing or refused, and what to do.
    """
    import_transformers()
    report: Progress = progress or (lambda stage, share: None)
    report("find", None)
    folder = locate(part.path, part.revision, report)
    report("check", 0.1)
    device = find_device(part.device)
    if is_gguf(folder):
        report("weights", 0.3)
        parameters = parameters_of(gguf_config(folder), "causal")
        dtype = weight_dtype(part.dtype, device, parameters)
        _refuse_too_large(folder, part, device, parameters * dtype.itemsize)
        model, tokenizer = load_gguf(folder, part, dtype, device)
        report("ready", 1.0)
        return LoadedModel(model, tokenizer, family_of(model, "causal"), "causal", folder.name, fingerprint(folder), device)
    config = read_config(folder)
    kind = check_folder(folder, config)
    report("tokenizer", 0.2)
    tokenizer = load_tokenizer(folder, kind, config)
    parameters = refuse_swollen(folder, kind)
    dtype = weight_dtype(part.dtype, device, parameters)
    # On a CPU weights stay in their files where those hold them as they are wanted: the system reads and drops their pages as it can.
    mapped = stored_bytes(folder, dtype) if device.type == "cpu" and part.quantization == "none" else 0
    _refuse_too_large(folder, part, device, parameters * dtype.itemsize, mapped)
    report("weights", 0.3)
    model = _load_weights(folder, kind, part, device, dtype)
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"The tokenizer in {folder.name} knows {len(tokenizer)} tokens, the model only {rows}.",
            fix="Put the tokenizer files of this very model into the folder.",
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    name = folder.name if Path(part.path).is_absolute() else part.path
    loaded = LoadedModel(model, tokenizer, family_of(model, kind), kind, name, fingerprint(folder), device, part.quantization)
    report("ready", 1.0)
    return loaded


def find_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        ModelError: a device that this computer does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    missing = {
        "cuda": lambda: not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count(),
        "mps": lambda: not torch.backends.mps.is_available(),
    }.get(device.type, lambda: False)
    if missing():
        raise ModelError(f"This computer has no device '{name}'.", fix="Set device to auto or cpu.")
    return device


def weight_dtype(dtype: str, device: torch.device, parameters: int) -> torch.dtype:
    """The type of the weights in memory. `auto` is float32, except models of over 2^30 parameters on a GPU: bfloat16."""
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.type == "cuda" and parameters > BIG_MODEL:
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float32


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of matrix products in training. `auto` is bfloat16 on a GPU that has it, float32 elsewhere."""
    if precision != "auto":
        return getattr(torch, precision)
    # On a CPU without bfloat16 instructions such products are 20 to 60 times slower than float32, and emulation is slow too. One with those
    # of AVX-512 makes them at 85 against 159 GFLOP/s, and a training step takes 1.5 times as long. AMX is for `bfloat16` by name.
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32


def load_tokenizer(folder: Path, kind: str, config: dict[str, Any]) -> Any:
    """The tokenizer of a model folder, with a token to pad with.

    Raises:
        ModelError: it cannot be read, is none of the tokenizers library, or lacks a token that its kind needs.
    """
    from transformers import AutoTokenizer

    def refusal(error: Exception) -> ModelError:
        message = f"The tokenizer in {folder.name} cannot be read ({_first_line(error)})."
        return ModelError(message, fix="Copy the tokenizer files of this model again.")

    with foreign(refusal):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ModelError(
            f"The tokenizer in {folder.name} ({type(tokenizer).__name__}) is written in Python alone and says too little about its tokens.",
            fix="Choose a model whose folder holds a tokenizer.json, such as a multilingual one for the same language.",
        )
    if kind == "masked" and tokenizer.mask_token_id is None:
        raise ModelError(
            f"The tokenizer in {folder.name} has no mask token, and this is a masked model.",
            fix="Restore tokenizer_config.json and special_tokens_map.json of this model.",
        )
    if tokenizer.pad_token_id is None:
        # Padding is masked out, so any known token will do; the end of text is what everybody takes.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"The tokenizer in {folder.name} has no token that could pad a batch.", fix="Add a pad_token to tokenizer_config.json."
        )
    return tokenizer


def _load_weights(folder: Path, kind: str, part: ModelPart, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    if part.quantization != "none":
        quiet_casts()
        packed = quantization_config(part.quantization, device, double=part.double_quantization, compute_dtype=part.compute_dtype)
        options |= {"quantization_config": packed, "device_map": {"": str(device)}}
    loader = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, info = loader.from_pretrained(folder, trust_remote_code=False, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, MemoryError, SafetensorError) as error:
        if is_shortage(error):
            raise _too_large(folder, part, device) from None
        raise ModelError(
            f"The weights in {folder.name} cannot be loaded ({_first_line(error)}).", fix="Copy or download the model's files again."
        ) from None
    missing = sorted(info["missing_keys"]) + [str(key) for key in info.get("mismatched_keys", ())]
    if missing:
        raise ModelError(
            f"The weights in {folder.name} lack {len(missing)} parts that the model needs, such as {missing[0]}.",
            fix="Choose a checkpoint saved with its language-model head.",
        )
    if part.quantization == "none":
        try:
            return model.to(device).eval()
        except torch.OutOfMemoryError:
            raise _too_large(folder, part, device) from None
    keep_four_bit_exact(model)
    return model.eval()


def _refuse_too_large(folder: Path, part: ModelPart, device: torch.device, plain: int, mapped: int = 0) -> None:
    """OutOfMemory, before any weight is read, where they take more than the device can give: Linux would end the process, unasked.

    Args:
        plain: bytes of the weights without quantization; `mapped` those that stay in their files.
    """
    most = free_bytes(device) + swap_bytes(device)
    if plain <= most or (mapped and plain - mapped <= most and plain <= whole_bytes()):
        return
    if part.quantization == "none" or _weights(_counted(folder), part) > most:
        raise _too_large(folder, part, device)


def _counted(folder: Path) -> ModelCard:
    """The card of what is about to be loaded, whose counts tell what it takes."""
    from workbench.models.card import card_of, configuration_in

    return card_of(*configuration_in(folder), folder.name)


def _weights(card: ModelCard, part: ModelPart) -> int:
    """Bytes of the weights as a recipe would have them."""
    dtype = str(weight_dtype(part.dtype, find_device(part.device), card.parameters)).removeprefix("torch.")
    rest = card.parameters - card.linear_parameters
    return weights_bytes(card.linear_parameters, card.linear_rows, rest, part.quantization, dtype, part.double_quantization)


def _too_large(folder: Path, part: ModelPart, device: torch.device) -> OutOfMemory:
    """That the weights do not fit, by their size and what the device has left, with the precisions and the device in which they would."""
    card = _counted(folder)
    needed, fitting = _weights(card, part), []
    for change in _smaller(part, device, quantizes=not is_gguf(folder)):
        other = part.model_copy(update=change)
        size = _weights(card, other)
        if (size < needed or "device" in change) and size <= free_bytes(find_device(other.device)):
            fields = " + ".join(f"model.{field}: {value}" for field, value in change.items())
            fitting.append(f"{fields} ({size / 2**30:.1f} GiB)")
    return OutOfMemory(
        f"{folder.name} does not fit into the memory of {device}: its weights take {needed / 2**30:.1f} GiB, "
        f"and {free_bytes(device) / 2**30:.1f} GiB are left.",
        fix=f"Choose {', '.join(fitting)}, or a smaller model." if fitting else "Choose a smaller model, or one with fewer bits a weight.",
    )


def _smaller(part: ModelPart, device: torch.device, *, quantizes: bool) -> list[dict[str, str]]:
    """Changes of a recipe's model that may make it fit, the gentlest first."""
    bits = [{"quantization": name} for name in QUANTIZATIONS[1:] if quantizes and device.type in ("cpu", "cuda")]
    half = {"dtype": "bfloat16"}
    both = [half | bits[-1]] if bits else []
    return [half, *bits, *both, *([{"device": "cpu"}] if device.type != "cpu" else [])]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(".") if lines else type(error).__name__
