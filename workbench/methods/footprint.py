"""Memory that a run takes, for every method, before anything is loaded.

The model and its method are built of fake tensors (PyTorch's FakeTensorMode): they have shapes, types and a device, and no storage. One
training step over them, the very code that trains, makes every tensor that it would really make, and the bytes of those that live
at once are counted. So the estimate of a new method or family needs no formula of its own, and a 7B model's takes seconds and no memory.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from workbench.errors import WorkbenchError
from workbench.models.card import ModelCard, configuration, model_card
from workbench.models.cloze import last_states, vocabulary_logits
from workbench.models.families import family_of
from workbench.models.loading import LoadedModel, compute_dtype, find_device, weight_dtype
from workbench.models.memory import DTYPE_BYTES, MemoryEstimate, weights_bytes
from workbench.models.mode import checkpoint_gradients
from workbench.models.next_token import chunked_cross_entropy
from workbench.models.sizes import empty_model

if TYPE_CHECKING:
    from workbench.recipe import Recipe

MOMENTS = 2  # AdamW keeps two numbers for every trained parameter, of its type
LABEL_WORDS = 8  # rows of the vocabulary product; a few more or less weigh nothing


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
    taken, trainable = estimate(recipe, tokenizer)
    advice = []
    if taken.total > free:
        for field, value in _changes(recipe):
            try:
                total = estimate(recipe.replace({field: value}), tokenizer)[0].total
            except WorkbenchError:  # no change for this model
                continue
            if total <= free:
                advice.append((field, value, total))
    return Footprint(taken, free, trainable, tuple(advice))


def free_bytes(device: torch.device) -> int:
    """Memory that a device has left: a card's own, or this computer's for everything else."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def estimate(recipe: Recipe, tokenizer: Any) -> tuple[MemoryEstimate, int]:
    """What training a recipe takes, and how many parameters it trains.

    Raises:
        WorkbenchError: the model is not found, or the method does not apply to it.
    """
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
    training, device = recipe.training, find_device(recipe.model.device)
    # Published weights are stored in 16 bits; their size decides the type on a GPU.
    dtype = weight_dtype(recipe.model.dtype, device, 2 * card.parameters)
    step = step_bytes(
        config, card.kind, options, recipe.prompt, tokenizer, task=recipe.task, batch_size=training.batch_size,
        length=min(length or recipe.prompt.max_length, card.max_length or 10**9), checkpointing=training.gradient_checkpointing,
        quantization=recipe.model.quantization, weights=dtype, products=compute_dtype(training.precision, device),
    )  # fmt: skip
    name = str(dtype).removeprefix("torch.")
    rest = card.parameters - card.linear_parameters
    weights = weights_bytes(card.linear_parameters, card.linear_rows, rest, recipe.model.quantization, name)
    # A trained weight of the model's own is counted there already; what a method adds, in float32, comes on top.
    own = options.name in ("full", "head", "bias")
    trained = step.trainable * (DTYPE_BYTES[name] if own else DTYPE_BYTES["float32"])
    taken = MemoryEstimate(
        weights=weights + (0 if own else trained), gradients=trained, optimizer=MOMENTS * trained,
        activations=step.activations, step=step.peak,
    )  # fmt: skip
    return taken, step.trainable


@dataclass(frozen=True)
class StepBytes:
    """What one training step makes besides the weights.

    Attributes:
        activations: bytes that the forward pass leaves behind for the backward pass.
        peak: bytes at the fullest moment of the step, gradients included.
        trainable: parameters that train.
    """

    activations: int
    peak: int
    trainable: int


def step_bytes(
    config: Any, kind: str, options: Any, prompt: Any, tokenizer: Any, *, batch_size: int, length: int, task: str = "classification",
    checkpointing: bool = False, quantization: str = "none", weights: torch.dtype = torch.float32, products: torch.dtype = torch.float32,
) -> StepBytes:
    """One step over fake tensors: a word at one mask of every row, or, for generation, every next token.

    Args:
        config: a transformers configuration; `kind` is masked or causal.
        tokenizer: of the model, for methods that put words into the prompt.
        weights, products: types of the model's weights and of its matrix products.

    Raises:
        MethodError: the method does not apply to the model.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from workbench.methods import attach

    model = empty_model(copy.deepcopy(config), kind).to(weights)
    with torch.device("meta"):
        loaded = LoadedModel(model, tokenizer, family_of(model, kind), kind, "estimate", "", torch.device("meta"))
        attached = attach(loaded, options, keep_original=False, prompt=prompt)
    model.train()
    if checkpointing:
        checkpoint_gradients(model)
    if quantization == "int8":
        _keep_inputs(model, loaded.family.output_module(model))
    loaded = replace(loaded, device=torch.device("cpu"))
    with FakeTensorMode():
        # On the meta device attention would take another kernel, one that keeps the whole attention matrix; a fake CPU takes the CPU's.
        there = _pretend_cpu([model, *(part for part in vars(attached).values() if isinstance(part, nn.Module))])
        ids = torch.zeros(batch_size, max(2, length - attached.positions), dtype=torch.long)
        with LiveBytes(there) as live:
            with torch.autocast("cpu", products, enabled=products != torch.float32):
                loss = _loss(loaded, ids, task, min(attached.soft.count, ids.shape[1] - 2) if attached.soft else 0)
            activations = live.now
            loss.backward()
    return StepBytes(activations, live.most, attached.trainable_parameters)


def _loss(loaded: LoadedModel, ids: torch.Tensor, task: str, soft: int) -> torch.Tensor:
    """A loss that computes what training computes, without a mask of padding, whose look would be a question to fake values.

    Args:
        soft: tokens of a row that are no words, which nobody has to write.
    """
    family, model = loaded.family, loaded.model
    if not family.rows_only:
        return model(input_ids=ids).logits.float().sum()
    if task == "classification":
        states = last_states(loaded, ids, None, torch.zeros(len(ids), 1, dtype=torch.long))
        return vocabulary_logits(loaded, states, torch.arange(LABEL_WORDS))[0].sum()
    backbone: Any = family.backbone(model)
    states = backbone(input_ids=ids, use_cache=False).last_hidden_state[:, soft:-1].flatten(0, 1)
    return chunked_cross_entropy(loaded, family.transform_hidden(model, states), ids[:, soft + 1 :].flatten())


class _KeepInput(torch.autograd.Function):
    """Gives its first argument on and keeps the second for the backward pass."""

    @staticmethod
    def forward(context: Any, made: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(given)
        return made.view_as(made)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return gradients[0], None


def _keep_inputs(model: nn.Module, head: nn.Module) -> None:
    """As bitsandbytes does for products with int8 weights: each keeps its input, though no gradient of the weight is wanted."""
    for module in model.modules():
        if type(module) is nn.Linear and module is not head:
            module.register_forward_hook(lambda _, given, made: _KeepInput.apply(made, given[0]) if made.requires_grad else made)


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that operations made within it, beside those that were there: `now` alive, and `most` at once."""

    def __init__(self, there: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in there)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._note, made)
        if func.overloadpacket is torch.ops.aten.logsumexp:  # whose kernel makes the exponentials on its own account
            self.most = max(self.most, self.now + args[0].nbytes)
        return made

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, size: int) -> None:
        self.now -= size


def _pretend_cpu(roots: list[nn.Module]) -> list[torch.Tensor]:
    """Puts a fake CPU tensor in the place of every meta tensor, the same one where two modules share it; gives those."""
    made: dict[int, torch.Tensor] = {}
    buffers: list[torch.Tensor] = []
    for module in {id(m): m for root in roots for m in root.modules()}.values():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in made:
                    fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                    made[id(parameter)] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]  # type: ignore[assignment]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                buffers.append(torch.empty(buffer.shape, dtype=buffer.dtype))
                module._buffers[name] = buffers[-1]
    return [*made.values(), *buffers]
