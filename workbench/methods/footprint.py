"""Memory that a run takes, for every method, before anything is loaded.

The model and its method are built of fake tensors (PyTorch's FakeTensorMode): they have shapes, types and a device, and no storage. A
forward pass over them makes autograd keep what it would really keep for the backward pass, and its bytes are counted. So the
estimate of a new method or family needs no formula of its own, and a 7B model's takes seconds and no memory.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.models.card import ModelCard, configuration, model_card
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel, find_device
from workbench.models.memory import MemoryEstimate, weights_bytes
from workbench.models.sizes import empty_model

if TYPE_CHECKING:
    from workbench.recipe import Recipe

OPTIMIZER_BYTES = 8  # AdamW keeps two float32 moments for every trained parameter
GRADIENT_BYTES = 4


@dataclass(frozen=True)
class Footprint:
    """An estimate beside the machine it is for.

    Attributes:
        free_bytes: memory that the device has to give now.
        trainable: parameters that train.
        advice: changes of the recipe (dotted field, value, bytes then) under which it would fit; empty when it fits, or when none helps.
    """

    estimate: MemoryEstimate
    free_bytes: int
    trainable: int
    advice: tuple[tuple[str, Any, int], ...] = ()

    @property
    def fits(self) -> bool:
        return self.estimate.total <= self.free_bytes


def footprint(recipe: Recipe, tokenizer: Any) -> Footprint:
    """What training a recipe takes, whether this machine has it, and if not, which single changes would do.

    Raises:
        WorkbenchError: the model is not found, or the method does not apply to it.
    """
    free = free_bytes(find_device(recipe.model.device))
    estimate, trainable = _of(recipe, tokenizer)
    advice = []
    if estimate.total > free:
        for field, value in _changes(recipe):
            total = _of(recipe.replace({field: value}), tokenizer)[0].total
            if total <= free:
                advice.append((field, value, total))
    return Footprint(estimate, free, trainable, tuple(advice))


def free_bytes(device: torch.device) -> int:
    """Memory that a device has left: a card's own, or this computer's for everything else."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _of(recipe: Recipe, tokenizer: Any) -> tuple[MemoryEstimate, int]:
    from workbench.methods import check_method

    source = recipe.model.path
    card = model_card(source, recipe.model.quantization, revision=recipe.model.revision)
    config, _, _ = configuration(source, recipe.model.revision)
    return training_bytes(recipe, card, config, tokenizer, check_method(recipe.method))


def _changes(recipe: Recipe) -> list[tuple[str, Any]]:
    """Single changes that save memory, the gentlest first."""
    changes: list[tuple[str, Any]] = []
    if not recipe.training.gradient_checkpointing:
        changes.append(("training.gradient_checkpointing", True))
    changes += [("training.batch_size", size) for size in (8, 4, 1) if size < recipe.training.batch_size]
    if recipe.method.get("name") in ("full", "head", "bias"):
        changes.append(("method", {"name": "lora"}))
    elif recipe.model.quantization == "none":
        changes.append(("model.quantization", "nf4"))
    return changes


def training_bytes(
    recipe: Recipe, card: ModelCard, config: Any, tokenizer: Any, options: Any, *, length: int | None = None
) -> tuple[MemoryEstimate, int]:
    """What a recipe's training takes at its peak with AdamW, and how many parameters it trains.

    Args:
        config: the transformers configuration of the recipe's model.
        options: checked options of its method.
        length: tokens a row; the recipe's longest by default.
    """
    training = recipe.training
    activations, trainable = activation_bytes(
        config, card.kind, options, recipe.prompt, tokenizer, batch_size=training.batch_size,
        length=min(length or recipe.prompt.max_length, card.max_length or 10**9), checkpointing=training.gradient_checkpointing,
    )  # fmt: skip
    weights = weights_bytes(
        card.linear_parameters, card.linear_rows, card.parameters - card.linear_parameters, recipe.model.quantization, "float32"
    )
    # A trained weight of the model's own is counted there already; what a method adds comes on top.
    own = options.name in ("full", "head", "bias")
    return (
        MemoryEstimate(
            weights=weights + (0 if own else GRADIENT_BYTES * trainable),
            gradients=GRADIENT_BYTES * trainable,
            optimizer=OPTIMIZER_BYTES * trainable,
            activations=activations,
        ),
        trainable,
    )


def activation_bytes(
    config: Any, kind: str, options: Any, prompt: Any, tokenizer: Any, *, batch_size: int, length: int, checkpointing: bool = False
) -> tuple[int, int]:
    """Bytes that one forward pass of the backbone keeps for its backward pass, and the method's trained parameters.

    Args:
        config: a transformers configuration; `kind` is masked or causal.
        tokenizer: of the model, for methods that put words into the prompt.

    Raises:
        MethodError: the method does not apply to the model.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from workbench.methods import attach

    model = empty_model(copy.deepcopy(config), kind)
    with torch.device("meta"):
        loaded = LoadedModel(model, tokenizer, family_of(model, kind), kind, "estimate", "", torch.device("meta"))
        attached = attach(loaded, options, keep_original=False, prompt=prompt)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    trainable = attached.trainable_parameters
    with FakeTensorMode():
        # On the meta device attention would take another kernel, one that keeps the whole attention matrix; a fake CPU takes the CPU's.
        _pretend_cpu([model, *(part for part in vars(attached).values() if isinstance(part, nn.Module))])
        ids = torch.zeros(batch_size, max(1, length - attached.positions), dtype=torch.long)
        backbone: Any = loaded.family.backbone(model)
        kept = kept_bytes(model, lambda: backbone(input_ids=ids, **({"use_cache": False} if kind == "causal" else {})))
    return kept, trainable


def _pretend_cpu(roots: list[nn.Module]) -> None:
    """Puts a fake CPU tensor in the place of every meta tensor, the same one where two modules share it."""
    made: dict[int, torch.Tensor] = {}
    for module in {id(m): m for root in roots for m in root.modules()}.values():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in made:
                    fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                    made[id(parameter)] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]  # type: ignore[assignment]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def kept_bytes(model: nn.Module, run: Any) -> int:
    """Bytes that autograd keeps of what `run()` computes; storages are counted once and weights not at all."""
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    total = sum(storage.nbytes() for storage in kept.values())
    del output
    return total
