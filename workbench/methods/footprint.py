"""Memory that a run takes, for every method, before anything is loaded.

The model and its method are built of fake tensors (PyTorch's FakeTensorMode): they have shapes, types and a device, and no storage. One
training step over them, the very code that trains, makes every tensor that it would really make, and the bytes of those that live
at once are counted. So the estimate of a new method or family needs no formula of its own, and a 7B model's takes seconds and no memory.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from workbench.errors import MethodError, WorkbenchError
from workbench.models.card import ModelCard, quantizable
from workbench.models.cloze import last_states, vocabulary_logits
from workbench.models.families import family_of
from workbench.models.known import KnownModel, NotHereError, known_model
from workbench.models.loading import LoadedModel, compute_dtype, find_device, weight_dtype
from workbench.models.memory import DTYPE_BYTES, MemoryEstimate, free_bytes, weights_bytes
from workbench.models.mode import checkpoint_gradients, evaluating
from workbench.models.next_token import chunked_cross_entropy
from workbench.models.sizes import empty_model
from workbench.serving.batches import evaluated_at_once

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.recipe import Recipe

MOMENTS = 2  # AdamW keeps two numbers for every trained parameter, of its type
SMALL = 10  # a model whose state fits this many times is not asked about before it trains
FEW, SOME = 2, 4  # layers from which a step over all of them is told
LABEL_WORDS = 8  # rows of the vocabulary product; a few more or less weigh nothing


@dataclass(frozen=True)
class Footprint:
    """An estimate beside the machine it is for.

    Attributes:
        free_bytes: memory that the device has to give now.
        trainable: parameters that train.
        advice: changes of the recipe (dotted fields, and bytes then) under which it would fit; empty when it fits, or when none helps.
    """

    estimate: MemoryEstimate
    free_bytes: int
    trainable: int
    advice: tuple[tuple[dict[str, Any], int], ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the estimate stays within the free memory."""
        return self.estimate.total <= self.free_bytes


def footprint(recipe: Recipe, known: KnownModel) -> Footprint:
    """What training a recipe takes, whether this machine has it, and if not, what would do.

    Raises:
        WorkbenchError: the method does not apply to the model.
    """
    free = free_bytes(find_device(recipe.model.device))
    taken, trainable = estimate(recipe, known)
    if taken.total <= free:
        return Footprint(taken, free, trainable)
    changes = _changes(recipe)
    # Together only what does not do alone.
    advice = _fitting(recipe, known, changes, free) or _fitting(recipe, known, _together(changes), free)
    return Footprint(taken, free, trainable, tuple(advice))


def misfit(recipe: Recipe, pool: ModelPool | None = None) -> Footprint | None:
    """The footprint of a recipe that does not fit this machine; None for one that does, or of which nothing is known yet.

    Models whose every number, gradient and moment would be lost in the free memory are not looked at any closer.

    Raises:
        WorkbenchError: the method does not apply to the model.
    """
    try:
        known = known_model(recipe.model, pool)
    except NotHereError:
        return None
    free = free_bytes(find_device(recipe.model.device))
    if (2 + MOMENTS) * DTYPE_BYTES["float32"] * known.card().parameters * SMALL <= free:
        return None
    found = footprint(recipe, known)
    return None if found.fits else found


def estimate(recipe: Recipe, known: KnownModel) -> tuple[MemoryEstimate, int]:
    """What training a recipe takes, and how many parameters it trains.

    Raises:
        WorkbenchError: the method does not apply to the model.
    """
    from workbench.methods import check_method

    return training_bytes(recipe, known.card(), known.config, known.tokenizer_for_sizes(), check_method(recipe.method))


def _fitting(recipe: Recipe, known: KnownModel, tried: Iterable[dict[str, Any]], free: int) -> list[tuple[dict[str, Any], int]]:
    """The changes under which a recipe would fit, and its bytes then."""
    found = []
    for change in tried:
        try:
            total = estimate(recipe.replace(change), known)[0].total
        except WorkbenchError:  # no change for this model
            continue
        if total <= free:
            found.append((change, total))
    return found


def _changes(recipe: Recipe) -> list[dict[str, Any]]:
    """Single changes that save memory, the gentlest first."""
    changes: list[dict[str, Any]] = []
    if not recipe.training.gradient_checkpointing:
        changes.append({"training.gradient_checkpointing": True})
    changes += [{"training.batch_size": size} for size in (8, 4, 1) if size < recipe.training.batch_size]
    if recipe.method.get("name") in ("full", "head", "bias"):
        changes.append({"method": {"name": "lora"}})
    if recipe.model.quantization == "none":
        changes += [{"model.quantization": bits} for bits in ("int8", "nf4")]
    return changes


def _together(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Method and weights first, since they change least of what is learnt, then everything at once."""
    every: dict[str, Any] = {field: value for change in changes for field, value in change.items()}
    few = {field: value for field, value in every.items() if field in ("method", "model.quantization")}
    return [some for some in (few, every) if len(some) > 1]


def training_bytes(recipe: Recipe, card: ModelCard, config: Any, tokenizer: Any, options: Any) -> tuple[MemoryEstimate, int]:
    """What a recipe's training takes at its peak with AdamW, and how many parameters it trains.

    Args:
        config: the transformers configuration of the recipe's model.
        options: checked options of its method.
    """
    training, device = recipe.training, find_device(recipe.model.device)
    dtype = weight_dtype(recipe.model.dtype, device, card.parameters)
    most = card.max_length or 10**9
    step = step_of_many_layers(
        config, card.kind, options, recipe.prompt, tokenizer, task=recipe.task, batch_size=training.batch_size,
        length=min(recipe.prompt.max_length, most), answers=_answers(recipe, most), checkpointing=training.gradient_checkpointing,
        quantization=recipe.model.quantization, weights=dtype, products=compute_dtype(training.precision, device),
    )  # fmt: skip
    name = str(dtype).removeprefix("torch.")
    rest = card.parameters - card.linear_parameters
    bits, double = recipe.model.quantization, recipe.model.double_quantization
    weights = weights_bytes(card.linear_parameters, card.linear_rows, rest, bits, name, double)
    trained = step.trainable * DTYPE_BYTES["float32"]
    taken = MemoryEstimate(
        weights=weights + step.added, gradients=trained, optimizer=MOMENTS * trained, activations=step.activations, step=step.peak,
        cache=step.cache, writing=step.writing,
    )  # fmt: skip
    return taken, step.trainable


def _answers(recipe: Recipe, most: int) -> tuple[int, int]:
    """Rows that an evaluation answers at once, and tokens of the longest question and answer, of `most`; none for other tasks."""
    if recipe.task != "generation":
        return 0, 0
    length = min(recipe.prompt.max_length + recipe.prompt.max_new_tokens, most)
    rows, tokens = evaluated_at_once(recipe)
    return max(1, min(recipe.training.answered_rows, rows, tokens // length)), length


@dataclass(frozen=True)
class StepBytes:
    """What one training step makes besides the weights.

    Attributes:
        activations: bytes that the forward pass leaves behind for the backward pass.
        peak: bytes at the fullest moment of the step, gradients included.
        trainable: parameters that train.
        added: bytes by which the method makes the weights more: what it adds, and the model's own that train in float32.
        cache: bytes of the keys and values that writing answers keeps, and `writing` those at the fullest moment of it.
    """

    activations: int
    peak: int
    trainable: int
    added: int
    cache: int = 0
    writing: int = 0


def step_of_many_layers(config: Any, kind: str, options: Any, *arguments: Any, **conditions: Any) -> StepBytes:
    """`step_bytes`, told from two models of fewer layers where the model has many: each layer adds the same.

    So the estimate of a model of 28 layers takes a sixth of the time that a step over all of them would.
    """
    layers = config.num_hidden_layers
    if layers <= SOME or getattr(options, "layers", None) is not None:
        return step_bytes(config, kind, options, *arguments, **conditions)

    def of(count: int) -> StepBytes:
        smaller = copy.deepcopy(config)
        smaller.num_hidden_layers = count
        return step_bytes(smaller, kind, options, *arguments, **conditions)

    few, some = of(FEW), of(SOME)

    def told(name: str) -> int:
        small, large = getattr(few, name), getattr(some, name)
        return large + (large - small) * (layers - SOME) // (SOME - FEW)

    return StepBytes(**{field.name: told(field.name) for field in fields(StepBytes)})


def step_bytes(
    config: Any, kind: str, options: Any, prompt: Any, tokenizer: Any, *, batch_size: int, length: int, task: str = "classification",
    answers: tuple[int, int] = (0, 0), checkpointing: bool = False, quantization: str = "none", weights: torch.dtype = torch.float32,
    products: torch.dtype = torch.float32,
) -> StepBytes:
    """One step over fake tensors: a word at one mask of every row, or, for generation, every next token.

    Args:
        config: a transformers configuration; `kind` is masked or causal.
        tokenizer: of the model, for methods that put words into the prompt.
        answers: rows that are answered at once between steps, and their tokens, questions of `length` included.
        weights, products: types of the model's weights and of its matrix products.

    Raises:
        MethodError: the method does not apply to the model.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from workbench.methods import attach

    model = empty_model(copy.deepcopy(config), kind).to(weights)
    own = list(model.parameters())
    before, known = sum(parameter.nbytes for parameter in own), {id(parameter) for parameter in own}
    packed = {id(part.weight) for part in quantizable(model)} if quantization != "none" else set()
    with torch.device("meta"):
        loaded = LoadedModel(model, tokenizer, family_of(model, kind), kind, "estimate", "", torch.device("meta"), quantization)
        attached = attach(loaded, options, keep_original=False, prompt=prompt)
    _refuse_quantized(packed, attached.parameters(), options.name)
    attached.train_in_float32(products)
    new = sum(parameter.nbytes for _, parameter in attached.parameters() if id(parameter) not in known)
    added = new + sum(parameter.nbytes for parameter in own) - before
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
        with torch.autocast("cpu", products, enabled=products != torch.float32):
            cache, writing = _writing(model, there, answers, ids.shape[1]) if answers[0] else (0, 0)
    return StepBytes(activations, live.most, attached.trainable_parameters, added, cache, writing)


def _writing(model: Any, there: list[torch.Tensor], answers: tuple[int, int], question: int) -> tuple[int, int]:
    """Bytes of the key/value cache once answers are written, and at the fullest moment until then: as the questions of `question` tokens
    are read, or at the end, for a token at a time takes next to nothing beside the cache."""
    rows, length = answers
    ids = torch.zeros(rows, question, dtype=torch.long)
    with evaluating(model), torch.no_grad(), LiveBytes([*there, ids]) as live:
        cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        kept = live.now
        del cache
    whole = kept * max(length, question) // question
    return whole, max(live.most, whole)


def _refuse_quantized(packed: set[int], trained: list[tuple[str, nn.Parameter]], method: str) -> None:
    """As a run would: MethodError when the method trains a matrix that would be kept in 4 or 8 bits; those are `packed`."""
    name = next((name for name, parameter in trained if id(parameter) in packed), None)
    if name is not None:
        raise MethodError(
            f"The method '{method}' would train '{name}', which is quantized.", fix="Choose lora, or set model.quantization to none."
        )


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
