"""What is known of a model without loading it and without asking anybody: its configuration and its tokenizer.

They come from a folder, from the hub's local cache, from the model itself where it is loaded, or, the configuration alone, from the
catalog's published ones. Nothing here ever downloads.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from workbench.errors import ModelError, WorkbenchError
from workbench.models.card import ModelCard, card_of, configuration_in
from workbench.models.catalog import published_configuration
from workbench.models.families import family_of
from workbench.models.folder import check_tokenizer_files, read_config
from workbench.models.gguf import gguf_tokenizer, is_gguf
from workbench.models.hub import cached
from workbench.models.loading import LoadedModel, find_model, load_tokenizer
from workbench.models.modelscope import MODELSCOPE
from workbench.models.pool import ModelPool
from workbench.models.sizes import empty_model
from workbench.recipe import ModelPart

STAND_INS = {"masked": "embedded:tiny-en", "causal": "embedded:tiny-qwen"}


class NotHereError(ModelError):
    """Nothing is known of a model before it is downloaded."""

    def __init__(self, name: str) -> None:
        super().__init__(f"'{name}' is not on this machine yet.", fix="Load it on the Model tab, which downloads it once.")


@dataclass(frozen=True)
class KnownModel:
    """A model as far as it is known here.

    Attributes:
        config: the transformers configuration; `kind` is masked or causal.
        folder: where its files lie, or None where only its configuration is known.
        loaded: the model itself where that is in memory.
    """

    config: Any
    kind: str
    name: str
    folder: Path | None = None
    loaded: LoadedModel | None = None

    @property
    def here(self) -> bool:
        """Whether files of the model itself say so, and not its published configuration."""
        return self.folder is not None or self.loaded is not None

    def card(self, part: ModelPart | None = None) -> ModelCard:
        """The model card; `part` says how the weights would be loaded."""
        return card_of(copy.deepcopy(self.config), self.kind, self.name, part)

    def tokenizer(self) -> Any:
        """The model's own tokenizer.

        Raises:
            NotHereError: it is not on this machine.
            ModelError: it cannot be read.
        """
        if self.loaded is not None:
            return self.loaded.tokenizer
        if self.folder is None:
            raise NotHereError(self.name)
        return _read_tokenizer(self.folder, self.kind, self.folder.stat().st_mtime_ns)

    def tokenizer_for_sizes(self) -> Any:
        """The model's tokenizer or, where that is not here, an embedded one: how long a prompt's own words are hardly depends on it."""
        try:
            return self.tokenizer()
        except ModelError:
            return known_model(ModelPart(path=STAND_INS[self.kind])).tokenizer()

    def blueprint(self) -> LoadedModel:
        """The model without its numbers, on the meta device, to attach a method to.

        Raises:
            ModelError: the tokenizer is not here.
        """
        tokenizer, model = self.tokenizer(), empty_model(copy.deepcopy(self.config), self.kind)
        return LoadedModel(model, tokenizer, family_of(model, self.kind), self.kind, self.name, "", torch.device("meta"))


def known_model(part: ModelPart, pool: ModelPool | None = None) -> KnownModel:
    """What is known here of a recipe's model.

    Args:
        pool: where it may be loaded already.

    Raises:
        NotHereError: nothing is known of it before it is downloaded.
        ModelError: there is no such model, or it cannot be used.
        AccessError: a client of a shared server may not load from there.
    """
    place = find_model(part.path, part.revision)
    loaded = pool.loaded(part) if pool is not None else None
    folder = place if isinstance(place, Path) else None if place.startswith(MODELSCOPE) else cached(place, part.revision)
    if folder is not None:
        config, kind = configuration_in(folder)
        name = part.path if not isinstance(place, Path) or part.path.startswith("embedded:") else folder.name
        return KnownModel(config, kind, name, folder, loaded)
    if loaded is not None:
        return KnownModel(loaded.model.config, loaded.kind, part.path, None, loaded)
    published = published_configuration(part.path) if part.revision is None else None
    if published is None:
        raise NotHereError(part.path)
    return KnownModel(*published, part.path)


def tokenizer_here(part: ModelPart, pool: ModelPool | None = None) -> Any | None:
    """The tokenizer of a recipe's model when having it costs no download; None where it does, or where it may not be had."""
    try:
        return known_model(part, pool).tokenizer()
    except WorkbenchError:
        return None


@lru_cache(maxsize=4)
def _read_tokenizer(folder: Path, kind: str, changed: int) -> Any:
    if is_gguf(folder):
        return gguf_tokenizer(folder)
    check_tokenizer_files(folder)
    return load_tokenizer(folder, kind, read_config(folder))

