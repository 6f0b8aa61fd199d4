"""Conversion as the page and the command line ask for it: find the checkpoint, say what it is, convert it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.access import Role, acting
from workbench.errors import AccessError, ModelError
from workbench.models.baichuan import convert_baichuan, is_baichuan
from workbench.models.folder import read_config
from workbench.models.hub import fetch
from workbench.models.loading import find_model
from workbench.models.modelscope import MODELSCOPE, fetch_from_modelscope
from workbench.models.transfer import Progress


def convert_model(path: str, target: Path, progress: Progress | None = None, *, revision: str | None = None) -> dict[str, Any]:
    """Converts a Baichuan 7B checkpoint, downloaded if it has to be, into a new folder; see `convert_baichuan`.

    Raises:
        ModelError: not found, or a model that needs no conversion.
        AccessError: asked by somebody else than the server's owner.
    """
    if acting().role is not Role.OWNER:
        raise AccessError("Only the owner of this server may write models to its disk.", fix="Convert the checkpoint on your own machine.")
    place = find_model(path, revision)
    if isinstance(place, str):
        fetching = fetch_from_modelscope if place.startswith(MODELSCOPE) else fetch
        place = fetching(place.removeprefix(MODELSCOPE), revision, progress, unsafe=True)
    if not is_baichuan(read_config(place)):
        raise ModelError(f"{place.name} is not a Baichuan checkpoint.", fix="Other models are read as they are; choose it directly.")
    return convert_baichuan(place, target.expanduser(), progress)
