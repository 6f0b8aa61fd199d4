"""method.json beside tuned weights: which method made them and for which model, so that no other model takes them by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from workbench.errors import MethodError

if TYPE_CHECKING:
    from workbench.methods.registry import Options
    from workbench.models.loading import LoadedModel

METHOD_FILE = "method.json"
IDENTITY = {"family": "family", "layers": "number of layers", "width": "hidden size", "fingerprint": "fingerprint"}


def hidden_size(model: nn.Module) -> int:
    """Width of the hidden state."""
    return int(getattr(_config(model), "hidden_size", 768) or 768)


def rate_for(model: nn.Module, rates: tuple[float, float, float]) -> float:
    """Which of three learning rates learns at a model's width: up to 512, up to 1024, and above."""
    hidden = hidden_size(model)
    small, base, large = rates
    return small if hidden <= 512 else base if hidden <= 1024 else large


def layer_count(model: nn.Module) -> int:
    """Layers that a token passes; ALBERT's one layer counts as often as it is used."""
    return int(getattr(_config(model), "num_hidden_layers", 0) or 0)


def describe_model(loaded: LoadedModel) -> dict[str, Any]:
    """What identifies a model: family, layers, width and the fingerprint of its weights."""
    return {
        "base_model": loaded.name,
        "family": loaded.family.name,
        "layers": layer_count(loaded.model),
        "width": hidden_size(loaded.model),
        "fingerprint": loaded.fingerprint,
    }


def write_manifest(folder: Path, loaded: LoadedModel, options: Options, **more: Any) -> None:
    """Writes method.json: the method's options, the model, and whatever else the method has to know when it is loaded."""
    content = {"method": options.model_dump(), **describe_model(loaded), **more}
    (folder / METHOD_FILE).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises MethodError when method.json is missing or damaged."""
    try:
        content = json.loads((folder / METHOD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MethodError(f"The method's {METHOD_FILE} cannot be read.", fix="The file is missing or damaged; train again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("method"), dict):
        raise MethodError(f"{METHOD_FILE} describes no tuning method.", fix="The file is damaged; train again.")
    return content


def check_manifest(folder: Path, loaded: LoadedModel, options: Options) -> dict[str, Any]:
    """The manifest of saved weights that belong to this method and this model.

    Raises:
        MethodError: they belong to another method, or to a model of another family, depth, width or other weights; says which.
    """
    content = read_manifest(folder)
    name = content["method"].get("name")
    if name != options.name:
        raise MethodError(f"The tuned weights are those of the method '{name}', not of '{options.name}'.", fix="Use the run's own recipe.")
    own = describe_model(loaded)
    for key, what in IDENTITY.items():
        if key in content and content[key] != own[key]:
            raise MethodError(
                f"The tuned weights belong to another model: its {what} is {content[key]}, that of {loaded.name} is {own[key]}.",
                fix=f"Choose the model they were trained on: {content.get('base_model', 'unknown')}.",
            )
    return content


def _config(model: nn.Module) -> Any:
    config = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config
