"""A tuning method attached to a model: what trains, what is saved, and how everything is put back.

    loaded --attach(options)--> Attached --parameters()--> optimizer
                                   |  state() / load_state()      only what was tuned
                                   |  save(folder) / save_final(folder) / restore(folder)
                                   '--detach()                    the model's weights hash as before

The base class serves every method that trains a choice of the model's own parameters; `lora.py` shows one that adds parameters.
"""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.errors import MethodError
from workbench.methods.manifest import check_manifest, layer_count, rate_for, write_manifest
from workbench.methods.registry import Options
from workbench.models.sharding import put, whole
from workbench.prompts.verbalizers.verbalizer import Reads

if TYPE_CHECKING:
    from workbench.methods.learnt import Learnt
    from workbench.models.loading import LoadedModel
    from workbench.prompts.soft import SoftSlots
    from workbench.recipe import PromptPart

_IN_USE: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()

WEIGHTS_FILE = "tuned.safetensors"
_HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class TunedRow:
    """One line of the picture of a model: `count` parameters of the same `part` (layers are folded into `*`) and `shape`."""

    part: str
    shape: tuple[int, ...]
    count: int
    trainable: bool


class Attached:
    """One method on one model. Owned by whoever attached it, until `detach` or `merge`.

    Args:
        loaded: the model; no other method may be attached to it.
        options: validated options of this method.
        keep_original: remember the weights that will be tuned, so that `detach` can put them back. A trainer that owns its copy of
            the model passes False and saves that memory; detaching then leaves the tuned weights where they are.
        prompt: the recipe's prompt, for the methods that put something into it or start from its words.
        reads: how far into the model the scores reach: "words" through the whole language head, "transformed" up to its vocabulary
            product, "hidden" no further than the body. What is not read does not train; and where a verbalizer has parameters of its
            own, as with those two, a method may find nothing to train.

    Attributes:
        soft: the soft tokens that this method fills, for the prompt's encoder; None for most methods.
        positions: how many positions of the model the method takes for itself, so that prompts have to be shorter.
        total_parameters, model_bytes: the model's numbers and those that the method adds, and what they take as the model was loaded.

    Raises:
        MethodError: another method is attached, or this one does not apply to the model.
    """

    options_type: ClassVar[type[Options]]
    title: ClassVar[str]
    description: ClassVar[str]
    rates: ClassVar[tuple[float, float, float]]
    """Learning rates that learn at three widths, see `rate_for`."""

    shards: ClassVar[bool] = False
    """Whether processes that train together may cut the model up among them: for methods whose parameters are the model's own, all of
    them."""

    fills_soft: ClassVar[bool] = False
    """Whether it trains the soft tokens of templates."""

    soft: SoftSlots | None = None
    positions: int = 0

    def __init__(
        self,
        loaded: LoadedModel,
        options: Any,
        *,
        keep_original: bool = True,
        prompt: PromptPart | None = None,
        reads: Reads = "words",
    ) -> None:
        self.loaded, self.options, self.prompt, self.reads = loaded, options, prompt, reads
        model = loaded.model
        if model in _IN_USE:
            raise MethodError(
                f"The model already carries the method '{_IN_USE[model]}'.", fix="Detach it first, or load another copy of the model."
            )
        self._flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        self._original: dict[str, Tensor] = {}
        self._widened: list[tuple[weakref.ref[nn.Parameter], torch.dtype]] = []
        self._outside: list[Any] = []
        self._attached = False
        with contextlib.ExitStack() as undo:
            undo.callback(self._put_flags_back)
            self._setup(keep_original)
            if reads == "words" and not self.parameters():
                raise MethodError(f"The method '{options.name}' finds nothing to train in this model.", fix="Choose another method.")
            undo.pop_all()
        self.total_parameters, self.model_bytes = parameter_count(model), int(model.get_memory_footprint())
        _IN_USE[model] = options.name
        self._attached = True

    def _select(self) -> list[tuple[str, nn.Parameter]]:
        """The model's own parameters that this method trains, each once."""
        raise NotImplementedError

    def _setup(self, keep_original: bool) -> None:
        selected = self._read(self._select())
        refuse_quantized(selected, self.options.name)
        chosen = {id(parameter) for _, parameter in selected}
        for parameter in self.loaded.model.parameters():
            parameter.requires_grad_(id(parameter) in chosen)
        self._selected = selected
        if keep_original:
            self._original = {name: parameter.detach().clone() for name, parameter in selected}

    def select_again(self) -> None:
        """Takes the model's parameters as they are now, after they were replaced by others of the same names."""
        self._selected = self._read(self._select())

    def _read(self, selected: list[tuple[str, nn.Parameter]]) -> list[tuple[str, nn.Parameter]]:
        """Those of the model's parameters that the scores depend on."""
        unread = {id(parameter) for parameter in unread_parameters(self.loaded, self.reads)}
        return [(name, parameter) for name, parameter in selected if id(parameter) not in unread]

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Trainable parameters with the names under which they are saved."""
        return self._selected

    def train_in_float32(self, products: torch.dtype) -> None:
        """Keeps the weights that train in float32 while they do, and gives the others no cause to differ; called before training.

        In bfloat16 a step of less than 1/256 of a weight rounds away, as most do, and gradients in float16 cannot be unscaled.

        Args:
            products: the type of matrix products. In float32 nothing casts between types, so the rest of the model is widened too.
        """
        trained = {id(parameter) for _, parameter in self.parameters()}
        self._outside = [handle for module in self.loaded.model.modules() for handle in _bias_outside(module, trained)]
        chosen = {id(parameter) for _, parameter in self.parameters() if parameter.dtype in _HALVES}
        if not chosen:
            return
        for module in self.loaded.model.modules():
            own = list(module.parameters(recurse=False))
            if products == torch.float32 or (any(id(p) in chosen for p in own) and all(p.dim() == 1 for p in own)):
                # A norm reads its weight and its bias together, so both are of one type.
                chosen |= {id(parameter) for parameter in own}
        for parameter in self.loaded.model.parameters():
            if id(parameter) in chosen and parameter.dtype in _HALVES and not is_quantized(parameter):
                self._widened.append((weakref.ref(parameter), parameter.dtype))
                parameter.data = parameter.data.float()

    def answer_as_trained(self, products: torch.dtype) -> None:
        """Gives the weights the types in which training measured them; called before `restore`, where the saved ones are in float32.

        Products in half precision read weights in it anyway, so those stay as small as they are.
        """
        if products == torch.float32:
            self.train_in_float32(products)

    @property
    def trainable_parameters(self) -> int:
        """How many numbers train."""
        return sum(parameter.numel() for _, parameter in self.parameters())

    @property
    def learning_rate(self) -> float:
        """The rate used when a recipe says `auto`."""
        return rate_for(self.loaded.model, self.rates)

    def rate_of(self, name: str, rate: float) -> float:
        """The learning rate of one parameter where the run's is `rate`; methods that train two kinds of weights tell them apart."""
        return rate

    def state(self) -> dict[str, Tensor]:
        """Copies of what was tuned, on the CPU."""
        return {name: whole(parameter).to("cpu", copy=True).contiguous() for name, parameter in self.parameters()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Puts tuned weights in place.

        Raises:
            MethodError: names or shapes are those of another model or method; nothing is changed then.
        """
        own = dict(self.parameters())
        compare_states(state, own)
        for name, parameter in own.items():
            put(parameter, state[name])

    def save(self, folder: Path) -> None:
        """Writes the tuned weights and the method's options into an existing folder."""
        save_file(self.state(), folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_manifest(folder, self.loaded, self.options)

    def save_final(self, folder: Path) -> None:
        """Writes what answering needs, without what only training needed (an encoder, a reparameterisation)."""
        self.save(folder)

    def restore(self, folder: Path) -> None:
        """Loads what `save` or `save_final` wrote. Raises MethodError for damaged files and for those of another model."""
        check_manifest(folder, self.loaded, self.options)
        self.load_state(read_weights(folder / WEIGHTS_FILE))

    def detach(self) -> None:
        """Takes the method off; the model's weights are bit for bit what they were. Doing it twice is harmless."""
        if not self._attached:
            return
        self._remove()
        self._release()

    def merge(self) -> nn.Module:
        """Makes the tuning a permanent part of the model's own weights, in the types that answer, and returns the model; the method is no
        longer attached."""
        self._original, self._widened = {}, []
        self._release()
        return self.loaded.model

    def places(self) -> frozenset[str]:
        """Where in a model the trained parameters sit, for the drawing.

        Of: prompt, embeddings, prefix, attention, feed_forward, biases, head for parts that train; adapter_attention,
        adapter_feed_forward, adapter_layer, low_rank_attention, low_rank_feed_forward for what is added beside frozen ones.
        """
        return frozenset()

    def formula(self) -> tuple[str, int] | None:
        """The number of trained parameters by the paper's closed formula, with the numbers put in, and its value; None without one."""
        return None

    def learnt(self, read_rows: Callable[[], object]) -> Learnt | None:
        """What was learnt, for a person to look at; None where there is nothing small enough to show.

        Args:
            read_rows: runs some real rows through the model, for methods whose effect only shows on text.
        """
        return None

    def explain(self) -> list[TunedRow]:
        """The model's parameters for the page, equal ones of different layers folded into one row."""
        rows: dict[tuple[str, tuple[int, ...], bool], int] = {}
        trained = {id(parameter) for _, parameter in self.parameters()}
        for name, parameter in self.loaded.model.named_parameters():
            key = (re.sub(r"\.\d+\.", ".*.", name), tuple(parameter.shape), id(parameter) in trained)
            rows[key] = rows.get(key, 0) + 1
        return [TunedRow(part, shape, count, trainable) for (part, shape, trainable), count in rows.items()]

    def _remove(self) -> None:
        own = dict(self._selected)
        with torch.no_grad():
            for name, value in self._original.items():
                own[name].copy_(value)

    def _release(self) -> None:
        for handle in self._outside:
            handle.remove()
        self._outside = []
        for reference, dtype in self._widened:
            parameter = reference()
            if parameter is not None:
                parameter.data = parameter.data.to(dtype)
        self._widened = []
        self._put_flags_back()
        self._original = {}
        for parameter in self.loaded.model.parameters():
            parameter.grad = None
        _IN_USE.pop(self.loaded.model, None)
        self._attached = False

    def _put_flags_back(self) -> None:
        for name, parameter in self.loaded.model.named_parameters():
            if name in self._flags and (parameter.is_floating_point() or not self._flags[name]):
                parameter.requires_grad_(self._flags[name])


def _bias_outside(module: nn.Module, trained: set[int]) -> list[Any]:
    """Hooks by which a quantized layer's trained bias is added to what it gives: bitsandbytes would cast it, in place, to the type of its
    products, and a bias in half precision loses small steps."""
    bias, weight = module._parameters.get("bias"), module._parameters.get("weight")
    if bias is None or weight is None or id(bias) not in trained or not is_quantized(weight):
        return []

    def take(module: nn.Module, given: Any) -> None:
        module._parameters["bias"] = None

    def add(module: nn.Module, given: Any, made: Tensor | None) -> Tensor | None:
        module._parameters["bias"] = bias
        return None if made is None else made + bias.to(made.dtype)

    return [module.register_forward_pre_hook(take), module.register_forward_hook(add, always_call=True)]


def last_layers(loaded: LoadedModel, wanted: int | None) -> list[int] | None:
    """Numbers of the `wanted` layers next to the output; None for all of them.

    Raises:
        MethodError: the model has fewer layers, or one that is used several times.
    """
    if wanted is None:
        return None
    own, count = len(loaded.family.layers(loaded.model)), layer_count(loaded.model)
    if own != count:
        title = loaded.family.title or loaded.family.name
        raise MethodError(f"{title} models use one layer several times.", fix="Leave method.layers empty.")
    if wanted > count:
        fix = f"Set method.layers to {count} or less."
        raise MethodError(f"The model has {count} layers, and method.layers asks for {wanted}.", fix=fix)
    return list(range(count - wanted, count))


def unread_parameters(loaded: LoadedModel, reads: Reads) -> list[nn.Parameter]:
    """The model's own parameters that scores of this kind cannot depend on; tied embeddings are never among them."""
    if reads == "words":
        return []
    body = {id(parameter) for parameter in loaded.family.backbone(loaded.model).parameters()}
    head = loaded.model if reads == "hidden" else loaded.family.output_module(loaded.model)
    return [parameter for parameter in head.parameters() if id(parameter) not in body]


def parameter_count(model: nn.Module) -> int:
    """Parameters, tied ones once; a 4-bit weight counts two parameters per stored byte."""
    return sum(p.numel() * (2 if type(p).__name__ == "Params4bit" else 1) for p in model.parameters())


def is_quantized(parameter: nn.Parameter) -> bool:
    """Whether a parameter is kept in 4 or 8 bits."""
    return not parameter.is_floating_point() or type(parameter).__name__ in ("Params4bit", "Int8Params")


def refuse_quantized(selected: list[tuple[str, nn.Parameter]], method: str) -> None:
    """Raises MethodError, naming the first, when a parameter that a method would train is kept in 4 or 8 bits."""
    quantized = next((name for name, parameter in selected if is_quantized(parameter)), None)
    if quantized is not None:
        raise MethodError(
            f"The method '{method}' would train '{quantized}', which is quantized.", fix="Choose lora, or set model.quantization to none."
        )


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file by name. Raises MethodError when it is missing or damaged."""
    try:
        return load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise MethodError(f"The tuned weights in {file.name} cannot be read.", fix="It is missing or damaged; train again.") from error


def compare_states(state: dict[str, Tensor], own: dict[str, Any]) -> None:
    """Raises MethodError at the first name or shape in which saved weights differ from the ones expected."""
    fix = "These weights belong to another model or method; choose the model they were trained on."
    for name in [*own, *state]:
        if name not in state or name not in own:
            raise MethodError(f"The tuned weights {'lack' if name in own else 'have an unexpected'} '{name}'.", fix=fix)
        if tuple(state[name].shape) != tuple(own[name].shape):
            raise MethodError(f"'{name}' has shape {tuple(state[name].shape)} where the model has {tuple(own[name].shape)}.", fix=fix)
