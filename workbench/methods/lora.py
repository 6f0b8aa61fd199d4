"""LoRA (Hu et al. 2022): a low-rank product beside chosen matrices, W x + (alpha / r) B A x, through peft and in its file format.

With rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024), PiSSA (Meng et al. 2024) and LoRA+ (Hayou et al. 2024) as options. A PiSSA run
is saved as an ordinary LoRA of twice the rank, [A; A0] and [B, -B0], because its base weights are not those of the model on disk.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, model_validator
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.errors import MethodError, nearest
from workbench.methods.attached import Attached, compare_states, last_layers, read_weights
from workbench.methods.learnt import Learnt
from workbench.methods.learnt import update_norms as learnt_norms
from workbench.methods.lora_weights import Fold, adapted_layers, dequantized, update_norms
from workbench.methods.manifest import check_manifest, write_manifest
from workbench.methods.registry import Options, register

if TYPE_CHECKING:
    from workbench.models.families import Family

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


class LoraOptions(Options):
    """Options of LoRA (Hu et al. 2022) and its variants rsLoRA, DoRA, PiSSA and LoRA+."""

    name: Literal["lora"] = "lora"
    r: int = Field(8, ge=1, le=512, description="Rank: the inner width of the added product.")
    alpha: float = Field(16, gt=0, le=4096, description="Scale: the product is multiplied by alpha / r.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Share of the product's input that is dropped while training.")
    targets: list[str] | None = Field(
        None, description="Linear layers to tune: their names, or 'attention', or 'all'; empty takes the model family's choice."
    )
    layers: int | None = Field(None, ge=1, description="Only so many layers, the last ones, those next to the output; empty takes all.")
    init: Literal["zero", "pissa"] = Field(
        "zero", description="Start from no change at all, or from each matrix's largest singular values (PiSSA, Meng et al. 2024)."
    )
    rslora: bool = Field(False, description="Scale by alpha / sqrt(r), which keeps high ranks stable (Kalajdzievski 2023).")
    dora: bool = Field(False, description="Learn magnitude and direction apart (DoRA, Liu et al. 2024); slower, often better.")
    rate_ratio: float = Field(1.0, gt=0, le=1024, description="Learning rate of B divided by that of A (LoRA+, Hayou et al. 2024: 16).")

    @model_validator(mode="after")
    def _one_variant(self) -> LoraOptions:
        if self.dora and self.init == "pissa":
            raise ValueError("dora and init 'pissa' cannot be combined")
        return self


@register
class Lora(Attached):
    """peft's layers injected into the model in place, so that everything that held the model sees the tuned one."""

    options_type = LoraOptions
    title = "LoRA"
    description = "Adds a small low-rank product beside attention matrices; the model stays frozen, quantized or not. The usual choice."
    rates = (2e-3, 5e-4, 2e-4)

    def _setup(self, keep_original: bool) -> None:
        model = self.loaded.model
        self._fold: Fold | None = None
        self._keep_original = keep_original
        targets = target_names(self.loaded.family, self.options.targets)
        self._check_targets(targets)
        self._numbers = last_layers(self.loaded, self.options.layers)
        if self.options.init == "pissa":
            if self.loaded.quantization != "none":
                raise MethodError(
                    f"PiSSA takes {self.loaded.quantization} weights apart, which only plain weights allow.",
                    fix="Set method.init to zero, or model.quantization to none.",
                )
            if keep_original:
                matrices = {n: m for n, m in model.named_modules() if any(n == t or n.endswith("." + t) for t in targets)}
                self._original = {f"{n}.weight": m.weight.detach().clone() for n, m in matrices.items()}
        self._inject(targets)

    def _inject(self, targets: list[str]) -> None:
        from peft import LoraConfig, get_peft_model

        options = self.options
        config = LoraConfig(
            r=options.r,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=targets,
            layers_to_transform=self._numbers,
            use_rslora=options.rslora,
            use_dora=options.dora,
            init_lora_weights=True if options.init == "zero" else "pissa",
        )
        self._peft = get_peft_model(self.loaded.model, config)
        self._config = self._peft.peft_config["default"]
        self._config.base_model_name_or_path = self.loaded.name
        self._selected = [(name, p) for name, p in self._peft.named_parameters() if p.requires_grad]
        self._start = {name: value.clone() for name, value in self._adapter().items()} if options.init == "pissa" else {}

    def _check_targets(self, targets: list[str]) -> None:
        modules = [(name.rsplit(".", 1)[-1], type(module).__name__) for name, module in self.loaded.model.named_modules()]
        linear = {name for name, kind in modules if "Linear" in kind or kind == "Conv1D"}
        if not targets:
            title = self.loaded.family.title or self.loaded.family.name
            raise MethodError(
                f"Which layers of {title} models LoRA should tune is not known.",
                fix=f"Name some in method.targets: {', '.join(sorted(linear))}.",
            )
        for target in targets:
            if target.rsplit(".", 1)[-1] not in linear:
                raise MethodError(f"The model has no linear layer '{target}'.", fix=nearest(target, linear))

    def rate_of(self, name: str, rate: float) -> float:
        """B learns `rate_ratio` times as fast as A (LoRA+, Hayou et al. 2024)."""
        return rate * self.options.rate_ratio if "lora_B" in name else rate

    def state(self) -> dict[str, Tensor]:
        """peft's tensors by name. With PiSSA each factor holds the trained and the first one side by side, so that the file fits the
        original weights, from which PiSSA took the first product away."""
        state = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in self._adapter().items()}
        if not self._start:
            return state
        return {name: _joined(name, value, self._start[name].cpu()) for name, value in state.items()}

    def _adapter(self) -> dict[str, Tensor]:
        from peft import get_peft_model_state_dict

        return dict(sorted(get_peft_model_state_dict(self._peft, save_embedding_layers=False).items()))

    def load_state(self, state: dict[str, Tensor]) -> None:
        from peft import set_peft_model_state_dict

        # peft loads an adapter of a model with fewer layers with only a warning; names and shapes are compared first.
        compare_states(state, self.state())
        if self._start:
            halves = {name: _halves(name, value) for name, value in state.items()}
            state = {name: trained for name, (trained, _) in halves.items()}
            self._rebase({name: start for name, (_, start) in halves.items()})
        set_peft_model_state_dict(self._peft, state)

    def _rebase(self, start: dict[str, Tensor]) -> None:
        """Takes the saved first factors off the weights instead of those found here: another machine's singular vectors may differ."""
        if all(torch.equal(value, self._start[name].cpu()) for name, value in start.items()):
            return
        for name, layer in adapted_layers(self._peft).items():
            keys = [f"{name}.lora_{side}.weight" for side in "AB"]
            found = {side: start[key].to(layer.weight.device) for side, key in zip("AB", keys, strict=True)}
            change = self._start[keys[1]] @ self._start[keys[0]] - found["B"] @ found["A"]
            layer.weight.data += layer.scaling["default"] * (change.T if layer.fan_in_fan_out else change)
        self._start = {name: value.to(self._start[name].device) for name, value in start.items()}

    def save(self, folder: Path) -> None:
        save_file(self.state(), folder / WEIGHTS_FILE, metadata={"format": "pt"})
        config = copy.copy(self._config)
        config.inference_mode = True
        config.save_pretrained(folder)
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        # peft keeps the targets in a set, whose order changes from process to process.
        content["target_modules"] = sorted(content["target_modules"])
        content |= self._saved_rank()
        (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
        write_manifest(folder, self.loaded, self.options)

    def _saved_rank(self) -> dict[str, Any]:
        """Rank and alpha of the file; joined with its first factors a PiSSA adapter has twice the rank at the same scale."""
        r, alpha = self.options.r, self.options.alpha
        if not self._start:
            return {"r": r, "lora_alpha": alpha}
        return {"r": 2 * r, "lora_alpha": alpha * (2**0.5 if self.options.rslora else 2), "init_lora_weights": True}

    def restore(self, folder: Path) -> None:
        """Also raises MethodError when rank, alpha or rsLoRA of the file are not the recipe's."""
        config = _read_config(folder / CONFIG_FILE)
        check_manifest(folder, self.loaded, self.options)
        for key, own in {**self._saved_rank(), "use_rslora": self.options.rslora}.items():
            if config.get(key) != own:
                found = config.get(key)
                raise MethodError(f"The adapter has {key} {found!r} where the recipe has {own!r}.", fix="Use the run's own recipe.")
        self.load_state(read_weights(folder / WEIGHTS_FILE))

    def norms(self) -> list[tuple[str, float, float]]:
        """By matrix: its name, the Frobenius norm of its update, and that norm's share of the matrix's own."""
        return update_norms(self._peft, self._start)

    def places(self) -> frozenset[str]:
        names, forward = self._config.target_modules, self.loaded.family.feed_forward
        inside = [any(part == name or part.endswith("." + name) for part in forward) for name in names]
        beside = {"low_rank_feed_forward" if fits else "low_rank_attention" for fits in inside}
        return frozenset(beside)

    def formula(self) -> tuple[str, int] | None:
        shapes = [(layer.out_features, layer.in_features) for layer in adapted_layers(self._peft).values()]
        alike = {shape: shapes.count(shape) for shape in dict.fromkeys(shapes)}
        products = [f"{self.options.r}\u00b7{count}\u00b7({into} + {out})" for (out, into), count in alike.items()]
        magnitudes = [str(sum(out for out, _ in shapes))] if self.options.dora else []
        text = " + ".join([*products, *magnitudes])
        return text, lora_parameters(self.options.r, shapes, dora=self.options.dora)

    def learnt(self, read_rows: Callable[[], object]) -> Learnt:
        return learnt_norms(self.norms())

    def fold(self) -> float:
        """Adds the update to the weights for faster answers, until `unfold`.

        Returns:
            What it costs: the largest relative change (Frobenius) that rounding to the quantized format adds to a folded matrix; about 0
            for plain weights.
        """
        if self._fold is None:
            self._fold = Fold(self._peft)
        return self._fold.cost

    def unfold(self) -> None:
        """Takes the update out again; every byte of the weights is what it was."""
        if self._fold is not None:
            self._fold.undo()
            self._fold = None

    def merge(self) -> nn.Module:
        """Adds the update to the weights for good. Quantized weights become float32 first, so the result is exact and plain.

        The cost of that is memory: every quantized matrix takes 4 bytes a weight instead of half a byte or one; and 8-bit models,
        which also round the layers' inputs, answer without that rounding afterwards.
        """
        self.unfold()
        if self.loaded.quantization != "none":
            state = self.state()
            targets = sorted(self._config.target_modules)
            self._peft.unload()
            self._clean()
            dequantized(self.loaded)
            self._inject(targets)
            self.load_state(state)
        self._peft.merge_and_unload(safe_merge=True)
        self._clean()
        self._original = {}
        self._release()
        return self.loaded.model

    def _remove(self) -> None:
        self.unfold()
        self._peft.unload()
        self._clean()
        with torch.no_grad():
            for name, value in self._original.items():
                self.loaded.model.get_parameter(name).copy_(value)

    def _clean(self) -> None:
        self._selected = []
        del self._peft
        if hasattr(self.loaded.model, "peft_config"):
            del self.loaded.model.peft_config


def target_names(family: Family, targets: list[str] | None) -> list[str]:
    """Names of the linear layers to tune; 'attention' and 'all' stand for the family's own, wherever one is known."""
    attention = [family.query, family.key, family.value, family.output]
    every = [*attention, *family.feed_forward, *family.linear]
    groups = {"attention": attention if any(attention) else list(family.lora_targets), "all": every}
    names = [name for target in targets or family.lora_targets for name in groups.get(target, [target])]
    return list(dict.fromkeys(name for name in names if name))


def lora_parameters(r: int, shapes: list[tuple[int, int]], *, dora: bool = False) -> int:
    """Trained parameters as a closed formula: r (in + out) for each matrix, and with DoRA a magnitude for each of its outputs."""
    return sum(r * (width_in + width_out) + (width_out if dora else 0) for width_out, width_in in shapes)


def _joined(name: str, value: Tensor, start: Tensor) -> Tensor:
    """[A; A0] along the rank, or [B, -B0]: the product is B A - B0 A0."""
    return torch.cat([value, start], dim=0) if "lora_A" in name else torch.cat([value, -start], dim=1)


def _halves(name: str, value: Tensor) -> tuple[Tensor, Tensor]:
    dim = 0 if "lora_A" in name else 1
    trained, start = value.chunk(2, dim=dim)
    return trained.contiguous(), start.contiguous() if dim == 0 else (-start).contiguous()


def _read_config(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MethodError(f"The adapter's {file.name} cannot be read.", fix="The file is missing or damaged; train again.") from error
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise MethodError("The folder holds no LoRA adapter.", fix="Choose the folder that a LoRA run wrote.")
    return content
