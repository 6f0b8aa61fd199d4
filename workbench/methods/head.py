"""Head only: the part of the model that turns a hidden state into word scores, without an embedding table that is tied to it.

Under a classification head, which needs no word scores, nothing of the model trains: that is linear probing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from workbench.errors import MethodError
from workbench.methods.attached import WEIGHTS_FILE, Attached, read_weights
from workbench.methods.manifest import check_manifest
from workbench.methods.registry import Options, register


class HeadOptions(Options):
    """Training the language-model head alone has nothing to choose."""

    name: Literal["head"] = "head"


@register
class Head(Attached):
    """The masked-language-model head: transform, norm and output bias. The body stays as it was pre-trained."""

    options_type = HeadOptions
    title = "Head only"
    description = "Trains only the layers between the last hidden state and the words. Very fast, very small; learns the least."
    rates = (1e-3, 5e-4, 2e-4)

    def places(self) -> frozenset[str]:
        return frozenset({"head"})

    @property
    def _output(self) -> str:
        """The vocabulary product's prefix; its matrix belongs to the head where it is no embedding table as well."""
        return f"{self.loaded.family.output_path}."

    def restore(self, folder: Path) -> None:
        """Also reads what runs left that did not train an untied vocabulary product."""
        check_manifest(folder, self.loaded, self.options)
        state = read_weights(folder / WEIGHTS_FILE)
        untouched = {name: value for name, value in self.parameters() if name.startswith(self._output) and name not in state}
        self.load_state({**state, **untouched})

    def _select(self) -> list[tuple[str, nn.Parameter]]:
        if self.reads == "hidden":
            return []
        model = self.loaded.model
        prefixes = (*self.loaded.family.head_prefixes, self._output)
        # named_parameters() gives a tied weight under its first name only, so names are looked up with the doubles left in.
        embedding = id(model.get_input_embeddings().weight)
        found: dict[int, tuple[str, nn.Parameter]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if name.startswith(prefixes) and id(parameter) != embedding:
                found.setdefault(id(parameter), (name, parameter))
        if not found and self.reads == "words":
            raise MethodError(
                "The head of this model is nothing but its word embeddings, so there is no head to train by itself.",
                fix="Choose lora, bias or full.",
            )
        return list(found.values())
