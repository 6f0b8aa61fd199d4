"""Models from ModelScope, when its client is installed: `modelscope:owner/name`."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import ModelError
from workbench.models.hub import UNWANTED, WANTED, is_hub_id
from workbench.models.transfer import Progress

MODELSCOPE = "modelscope:"


def fetch_from_modelscope(
    name: str, revision: str | None, progress: Progress | None = None, *, config_only: bool = False, unsafe: bool = False
) -> Path:
    """The folder of a ModelScope model in that client's cache, downloaded if it is not there yet.

    Args:
        config_only: only config.json.
        unsafe: where there are no safetensors also `.bin` weights, for the conversion that opens them with weights_only.

    Raises:
        ModelError: the client is not installed, or it says no.
    """
    if not is_hub_id(name):
        raise ModelError(f"'{name}' is no ModelScope id.", fix="Write modelscope:owner/name.")
    try:
        from modelscope import snapshot_download
    except ImportError:
        raise ModelError("ModelScope models need the package modelscope.", fix="Install it with pip install modelscope.") from None
    if progress:
        progress("download", None)

    def take(wanted: list[str], unwanted: list[str]) -> Path:
        return Path(snapshot_download(name, revision=revision, allow_file_pattern=wanted, ignore_file_pattern=unwanted))

    try:
        folder = take(["config.json"] if config_only else WANTED, UNWANTED)
        if unsafe and not any(folder.glob("*.safetensors")):
            folder = take([*WANTED, "*.bin"], [pattern for pattern in UNWANTED if pattern != "*.bin"])
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
        raise ModelError(f"ModelScope does not give '{name}' ({reason}).", fix="Check the id and the connection.") from None
    return folder
