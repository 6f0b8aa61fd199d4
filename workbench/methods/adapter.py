"""Bottleneck adapters: h + W_up f(W_down h + b_down) + b_up beside or behind the parts of every layer, the model itself frozen.

    houlsby    two per layer, on the attention's and on the feed-forward part's projection, before the residual sum
               (Houlsby et al. 2019, figure 2)
    pfeiffer   one per layer, behind the feed-forward part's sum and norm (Pfeiffer et al. 2021)
    parallel   one per layer beside the feed-forward part: FFN(x) + s W_up f(W_down x) (He et al. 2022, table 1)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import MethodError
from workbench.methods.attached import Attached, last_layers
from workbench.methods.learnt import Learnt, per_layer
from workbench.methods.manifest import hidden_size
from workbench.methods.registry import Options, register
from workbench.models.families.family import bare_model

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "swish": functional.silu,
}
# Houlsby et al. 2019, section 3.6: below 1e-2 nothing changes, above it training gets worse.
HOULSBY_SPREAD = 1e-2


class AdapterOptions(Options):
    """Options of bottleneck adapters (Houlsby et al. 2019, Pfeiffer et al. 2021)."""

    name: Literal["adapter"] = "adapter"
    kind: Literal["houlsby", "pfeiffer", "parallel"] = Field(
        "houlsby", description="Two per layer (Houlsby), one behind each layer (Pfeiffer), or one beside each feed-forward part (parallel)."
    )
    reduction: int = Field(16, ge=1, le=1024, description="The bottleneck's width is the hidden size divided by this.")
    layers: int | None = Field(None, ge=1, description="Only so many layers, the last ones, those next to the output; empty takes all.")
    activation: Literal["relu", "gelu", "tanh", "swish"] = Field("relu", description="The non-linearity between the two projections.")
    init: Literal["identity", "small"] = Field(
        "identity", description="Start from an adapter that changes nothing, or from small random weights as Houlsby et al. did."
    )
    scale: float = Field(1.0, gt=0, le=64, description="Factor on a parallel adapter's output.")


class Bottleneck(nn.Module):
    """One adapter's projections; called, it returns what is added to its input or output.

    Args:
        width, inner: of the hidden state and of the bottleneck.
    """

    def __init__(self, width: int, inner: int, activation: str, init: str) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        self.activation = ACTIVATIONS[activation]
        self.watched: list[float] | None = None
        if init == "identity":
            nn.init.zeros_(self.up.weight)
        else:
            for part in (self.down, self.up):
                nn.init.trunc_normal_(part.weight, std=HOULSBY_SPREAD, a=-2 * HOULSBY_SPREAD, b=2 * HOULSBY_SPREAD)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """What the adapter adds, in the shape and type of `hidden`."""
        added = self.up(self.activation(self.down(hidden.to(self.down.weight.dtype)))).to(hidden.dtype)
        if self.watched is not None:
            self.watched.append(float((added.float().norm() / hidden.float().norm().clamp_min(1e-12)).detach()))
        return added


@register
class Adapter(Attached):
    """Adapters as a part of the model that hooks call; taking them off removes both."""

    options_type = AdapterOptions
    title = "Bottleneck adapters"
    description = "Small extra layers inside every layer of the frozen model; a few percent of its size, close to full fine-tuning."
    # Houlsby et al. 2019 search 3e-5 to 3e-3 on BERT. On the embedded Chinese model, 16 shots and 30 steps, 4e-3 takes 200 validation
    # rows from 48 % right to 57 %.
    rates = (4e-3, 1e-3, 3e-4)

    def _setup(self, keep_original: bool) -> None:
        del keep_original  # nothing of the model's own is changed
        model, family, options = self.loaded.model, self.loaded.family, self.options
        if not family.output or not family.feed_forward:
            raise MethodError(
                f"Where the layers of {family.title or family.name} models end their parts is not known.",
                fix="Choose lora or soft_prompt for this model.",
            )
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        width = hidden_size(model)
        inner = max(1, width // options.reduction)
        self.adapters = nn.ModuleDict()
        self._handles: list[Any] = []
        layers = dict(enumerate(family.layers(model)))
        self._numbers = last_layers(self.loaded, options.layers) or list(layers)
        for number in self._numbers:
            self._place(number, layers[number], lambda: Bottleneck(width, inner, options.activation, options.init).to(self.loaded.device))
        bare_model(model).add_module("adapters", self.adapters)
        self._selected = [(f"adapters.{name}", p) for name, p in self.adapters.named_parameters()]

    def _place(self, number: int, layer: nn.Module, make: Callable[[], Bottleneck]) -> None:
        """Adapters of one layer, with the hooks that call them."""
        family = self.loaded.family
        first, last = layer.get_submodule(family.feed_forward[0]), layer.get_submodule(family.feed_forward[-1])
        if self.options.kind == "houlsby":
            self._behind(f"{number}_attention", layer.get_submodule(family.output), make())
            self._behind(f"{number}_feed_forward", last, make())
        elif self.options.kind == "pfeiffer":
            self._behind(f"{number}_layer", layer, make())
        else:
            self._beside(f"{number}_feed_forward", first, last, make())

    def _behind(self, name: str, module: nn.Module, adapter: Bottleneck) -> None:
        def add(module: nn.Module, args: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (output[0] + adapter(output[0]), *output[1:])
            return output + adapter(output)

        self.adapters[name] = adapter
        self._handles.append(module.register_forward_hook(add))

    def _beside(self, name: str, first: nn.Module, last: nn.Module, adapter: Bottleneck) -> None:
        inputs: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[:] = [args[0]]

        def add(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            return output + self.options.scale * adapter(inputs.pop())

        self.adapters[name] = adapter
        self._handles += [first.register_forward_pre_hook(keep), last.register_forward_hook(add)]

    def places(self) -> frozenset[str]:
        behind_both = {"adapter_attention", "adapter_feed_forward"}
        where = {"houlsby": behind_both, "pfeiffer": {"adapter_layer"}, "parallel": {"adapter_feed_forward"}}
        return frozenset(where[self.options.kind])

    def formula(self) -> tuple[str, int] | None:
        width = hidden_size(self.loaded.model)
        inner = max(1, width // self.options.reduction)
        layers, per_layer = len(self._numbers), 2 if self.options.kind == "houlsby" else 1
        text = f"{layers}\u00b7{per_layer}\u00b7(2\u00b7{inner}\u00b7{width} + {width} + {inner})"
        return text, adapter_parameters(width, inner, layers, per_layer=per_layer)

    def learnt(self, read_rows: Callable[[], object]) -> Learnt:
        """By adapter, how much it adds to what it reads, as a share of the norm; measured while `read_rows` runs the model."""
        parts = dict(self.adapters.named_children())
        for part in parts.values():
            part.watched = []
        try:
            read_rows()
            return per_layer("adapter_activation", list(parts), [list(part.watched) for part in parts.values()])
        finally:
            for part in parts.values():
                part.watched = None

    def merge(self) -> nn.Module:
        raise MethodError(
            "An adapter has a non-linearity inside and cannot be merged into the weights.",
            fix="Export without merging; the adapters are small beside the model.",
        )

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        del bare_model(self.loaded.model).adapters


def adapter_parameters(width: int, inner: int, layers: int, *, per_layer: int) -> int:
    """Trained parameters as a closed formula: 2 m d + d + m for each adapter (Houlsby et al. 2019, section 2.1)."""
    return layers * per_layer * (2 * inner * width + width + inner)
