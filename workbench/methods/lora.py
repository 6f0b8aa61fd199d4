"""LoRA (Hu et al. 2022): a low-rank product beside chosen matrices, W x + (alpha / r) B A x, through peft and in its file format."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.errors import MethodError, nearest
from workbench.methods.attached import Attached, compare_states, read_weights
from workbench.methods.manifest import check_manifest, write_manifest
from workbench.methods.registry import Options, register

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


class LoraOptions(Options):
    name: Literal["lora"] = "lora"
    r: int = Field(8, ge=1, le=512, description="Rank: the inner width of the added product.")
    alpha: float = Field(16, gt=0, le=4096, description="Scale: the product is multiplied by alpha / r.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Share of the product's input that is dropped while training.")
    targets: list[str] | None = Field(None, description="Names of the linear layers to tune; empty takes the model family's choice.")
    rslora: bool = Field(False, description="Scale by alpha / sqrt(r), which keeps high ranks stable (Kalajdzievski 2023).")
    dora: bool = Field(False, description="Learn magnitude and direction apart (DoRA, Liu et al. 2024); slower, often better.")


@register
class Lora(Attached):
    """peft's layers injected into the model in place, so that everything that held the model sees the tuned one."""

    options_type = LoraOptions
    title = "LoRA"
    description = "Adds a small low-rank product beside attention matrices; the model stays frozen, quantized or not. The usual choice."
    rates = (2e-3, 5e-4, 2e-4)

    def _setup(self, keep_original: bool) -> None:
        from peft import LoraConfig, get_peft_model

        options, model = self.options, self.loaded.model
        targets = list(options.targets or self.loaded.family.lora_targets)
        self._check_targets(targets)
        config = LoraConfig(
            r=options.r,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=targets,
            use_rslora=options.rslora,
            use_dora=options.dora,
        )
        self._peft = get_peft_model(model, config)
        self._config = self._peft.peft_config["default"]
        self._config.base_model_name_or_path = self.loaded.name
        self._selected = [(name, p) for name, p in self._peft.named_parameters() if p.requires_grad]

    def _check_targets(self, targets: list[str]) -> None:
        modules = [(name.rsplit(".", 1)[-1], type(module).__name__) for name, module in self.loaded.model.named_modules()]
        linear = {name for name, kind in modules if "Linear" in kind or kind == "Conv1D"}
        for target in targets:
            if target.rsplit(".", 1)[-1] not in linear:
                raise MethodError(f"The model has no linear layer '{target}'.", fix=nearest(target, linear))

    def state(self) -> dict[str, Tensor]:
        return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in self._adapter().items()}

    def _adapter(self) -> dict[str, Tensor]:
        from peft import get_peft_model_state_dict

        return dict(sorted(get_peft_model_state_dict(self._peft, save_embedding_layers=False).items()))

    def load_state(self, state: dict[str, Tensor]) -> None:
        from peft import set_peft_model_state_dict

        # peft loads an adapter of a model with fewer layers with only a warning; names and shapes are compared first.
        compare_states(state, self._adapter())
        set_peft_model_state_dict(self._peft, state)

    def save(self, folder: Path) -> None:
        save_file(self.state(), folder / WEIGHTS_FILE, metadata={"format": "pt"})
        config = copy.copy(self._config)
        config.inference_mode = True
        config.save_pretrained(folder)
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        # peft keeps the targets in a set, whose order changes from process to process.
        content["target_modules"] = sorted(content["target_modules"])
        (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
        write_manifest(folder, self.loaded, self.options)

    def restore(self, folder: Path) -> None:
        config = _read_config(folder / CONFIG_FILE)
        check_manifest(folder, self.loaded, self.options)
        for key, own in (("r", self.options.r), ("lora_alpha", self.options.alpha), ("use_rslora", self.options.rslora)):
            if config.get(key) != own:
                found = config.get(key)
                raise MethodError(f"The adapter has {key} {found!r} where the recipe has {own!r}.", fix="Use the run's own recipe.")
        self.load_state(read_weights(folder / WEIGHTS_FILE))

    def merge(self) -> nn.Module:
        if self.loaded.quantization != "none":
            raise MethodError(
                f"An adapter cannot be merged into {self.loaded.quantization} weights without loss.",
                fix="Load the model with model.quantization none and merge there, or export the adapter by itself.",
            )
        self._peft.merge_and_unload(safe_merge=True)
        self._clean()
        self._release()
        return self.loaded.model

    def _remove(self) -> None:
        self._peft.unload()
        self._clean()

    def _clean(self) -> None:
        self._selected = []
        del self._peft
        if hasattr(self.loaded.model, "peft_config"):
            del self.loaded.model.peft_config


def _read_config(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"The adapter's {file.name} cannot be read.", fix="The file is missing or damaged; train again.") from error
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise MethodError("The folder holds no LoRA adapter.", fix="Choose the folder that a LoRA run wrote.")
    return content
