"""Model files from the hub (or a mirror named by HF_ENDPOINT), with a plain sentence for everything that can go wrong on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from workbench.errors import ModelError

# From a request to the first answer; a hub that is slower than this is not reachable for a person who waits.
TIMEOUT_SECONDS = 10
_ELSEWHERE = "Choose an embedded model or a local folder, or try again with a connection."
WANTED = ["*.safetensors", "model.safetensors.index.json", "*.json", "*.txt", "*.model"]
UNWANTED = ["*/*", "consolidated*", "onnx*", "*.bin", "*.pt", "*.py"]
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_ID = re.compile(rf"{_PART}(?:/{_PART})?")


def is_hub_id(name: str) -> bool:
    """Whether `name` could be `model` or `owner/model` on the hub."""
    return bool(_HUB_ID.fullmatch(name)) and ".." not in name and "--" not in name


def fetch(
    name: str, revision: str | None, progress: Callable[[str, float | None], None] | None = None, *, config_only: bool = False
) -> Path:
    """The folder of a hub model in the local cache, downloaded if it is not there yet; only config.json when `config_only`.

    Python files are never fetched.

    Raises:
        ModelError: no such model or revision, no permission, not reachable.
    """
    import httpx
    from huggingface_hub import constants, hf_hub_download, snapshot_download

    cached = _cached(name, revision)
    if constants.HF_HUB_OFFLINE:
        if cached is None:
            raise ModelError(f"'{name}' is not in the local cache, and HF_HUB_OFFLINE forbids to ask the hub.", fix=_ELSEWHERE)
        return cached
    if progress:
        progress("download", None)
    if not _reachable(constants.ENDPOINT):
        if cached is None:
            raise _not_reachable(name)
        return cached
    try:
        # The small file first: whoever cannot have it fails at once, without a retry per weight file.
        config = hf_hub_download(name, "config.json", revision=revision, etag_timeout=TIMEOUT_SECONDS)
        if config_only:
            return Path(config).parent
        folder = snapshot_download(
            name, revision=revision, allow_patterns=WANTED, ignore_patterns=UNWANTED, etag_timeout=TIMEOUT_SECONDS
        )
    except (httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        if cached is not None and _unreachable(error):
            return cached
        raise _sentence(name, revision, error) from None
    return Path(folder)


def _not_reachable(name: str) -> ModelError:
    return ModelError(f"The hub cannot be reached, and '{name}' is not in the local cache.", fix=_ELSEWHERE)


def _reachable(endpoint: str) -> bool:
    """One request without retries: the hub's own client tries six times, up to 100 seconds, before it gives up."""
    import httpx

    try:
        httpx.head(endpoint, timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        return False
    return True


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None
    return folder if (folder / "config.json").is_file() else None


def _unreachable(error: Exception) -> bool:
    from huggingface_hub import errors

    return not isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError | errors.GatedRepoError)


def _sentence(name: str, revision: str | None, error: Exception) -> ModelError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"The hub gives '{name}' only to people who accepted its terms.", fix="Accept them on the model's page and log in."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(f"The hub has no model '{name}', or it is private.", fix="Check the spelling; a hub id looks like owner/name.")
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"'{name}' has no revision '{revision}'.", fix="Leave the revision empty, or name a branch, tag or commit.")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return ModelError(f"'{name}' on the hub holds no config.json.", fix="Choose a transformers model, not an adapter or a GGUF file.")
    return _not_reachable(name)
