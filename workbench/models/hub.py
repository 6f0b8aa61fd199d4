"""Model files from the hub (or a mirror named by HF_ENDPOINT), with a plain sentence for everything that can go wrong on the way."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path
from urllib.parse import quote

from workbench.errors import ModelError
from workbench.models.transfer import DOWNLOAD, Progress, Transfer

# From a request to the first answer; a hub that is slower than this is not reachable for a person who waits.
TIMEOUT_SECONDS = 10
SPARE_BYTES = 256 * 1024**2  # left free on the disk
_ELSEWHERE = "Choose an embedded model or a local folder, or try again with a connection."
WANTED = ["*.safetensors", "model.safetensors.index.json", "*.json", "*.txt", "*.model"]
UNWANTED = ["*/*", "consolidated*", "onnx*", "*.bin", "*.pt", "*.py"]
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_ID = re.compile(rf"{_PART}(?:/{_PART})?")


def is_hub_id(name: str) -> bool:
    """Whether `name` could be `model` or `owner/model` on the hub."""
    return bool(_HUB_ID.fullmatch(name)) and ".." not in name and "--" not in name


def fetch(name: str, revision: str | None, progress: Progress | None = None, *, config_only: bool = False, unsafe: bool = False) -> Path:
    """The folder of a hub model in the local cache, downloaded if it is not there yet.

    Python files are never fetched.

    Args:
        progress: told bytes and time left; what it raises ends the download, and what has arrived is kept.
        config_only: only config.json.
        unsafe: also `.bin` weights, for the conversion that opens them with weights_only.

    Raises:
        ModelError: no such model or revision, no permission, not reachable, or no room on the disk.
    """
    import httpx2
    from huggingface_hub import constants

    from workbench.models.patience import patiently

    here = cached(name, revision)
    if constants.HF_HUB_OFFLINE:
        if here is None:
            raise ModelError(f"'{name}' is not in the local cache, and HF_HUB_OFFLINE forbids to ask the hub.", fix=_ELSEWHERE)
        return here
    if progress:
        progress(DOWNLOAD, None)
    try:
        return patiently(lambda: _fetched(name, revision, progress, config_only, unsafe), TIMEOUT_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        if here is not None and _unreachable(error):
            return here
        raise _sentence(name, revision, error) from None


def _fetched(name: str, revision: str | None, progress: Progress | None, config_only: bool, unsafe: bool) -> Path:
    from huggingface_hub import constants, hf_hub_download

    _knock(constants.ENDPOINT, name, revision)
    # The small file first: whoever cannot have it fails at once, without a retry per weight file.
    config = hf_hub_download(name, "config.json", revision=revision, etag_timeout=TIMEOUT_SECONDS, endpoint=constants.ENDPOINT)
    if not config_only:
        _download(name, revision, progress, unsafe)
    return Path(config).parent


def _download(name: str, revision: str | None, progress: Progress | None, unsafe: bool) -> None:
    from huggingface_hub import HfApi, constants, hf_hub_download
    from huggingface_hub.utils import filter_repo_objects

    info = HfApi(endpoint=constants.ENDPOINT).model_info(name, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    wanted, unwanted = (WANTED + ["*.bin"], [p for p in UNWANTED if p != "*.bin"]) if unsafe else (WANTED, UNWANTED)
    safe = any(file.endswith(".safetensors") for file in sizes)
    if unsafe and safe:
        wanted, unwanted = WANTED, UNWANTED
    if not unsafe and not safe and any(file.endswith((".bin", ".pt", ".pth")) for file in sizes):
        raise ModelError(
            f"'{name}' on the hub has its weights as pickles (.bin), which can hold code and are not read, and none as safetensors.",
            fix="Name a revision that has them, often refs/pr/1, or choose another model. Baichuan models are converted once.",
        )
    files = list(filter_repo_objects(sizes, allow_patterns=wanted, ignore_patterns=unwanted))
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    missing = sum(sizes[file] for file in files if _in_cache(name, file, revision) is None)
    if shutil.disk_usage(cache).free < missing + SPARE_BYTES:
        raise ModelError(
            f"'{name}' takes {missing / 2**30:.1f} GiB, and the disk of the cache has less.",
            fix="Free some space, or set HF_HOME to a larger disk before the start.",
        )
    transfer = Transfer(sum(sizes[file] for file in files), progress)
    for file in files:
        if _in_cache(name, file, revision):
            transfer.add(sizes[file], fresh=False)
            continue
        hf_hub_download(
            name, file, revision=revision, etag_timeout=TIMEOUT_SECONDS, endpoint=constants.ENDPOINT, tqdm_class=transfer.bar()
        )


def _in_cache(name: str, file: str, revision: str | None) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, file, revision=revision)
    return found if isinstance(found, str) else None


def _not_reachable(name: str) -> ModelError:
    return ModelError(f"The hub cannot be reached, and '{name}' is not in the local cache.", fix=_ELSEWHERE)


def _knock(endpoint: str, name: str, revision: str | None) -> None:
    """Asks once about the model's first file: the hub's own client tries again for minutes when the hub hangs, is broken or wants fewer
    requests.

    Raises:
        OSError, httpx2.HTTPError: the hub has nothing to say.
    """
    from huggingface_hub import get_session

    place = f"{endpoint}/{name}/resolve/{quote(revision or 'main', safe='')}/config.json"
    status = get_session().head(place, timeout=TIMEOUT_SECONDS, follow_redirects=False).status_code
    if status >= 500 or status == 429:
        raise OSError(f"The hub answered with {status}.")


def cached(name: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the local cache, or None; the hub is not asked. It may hold no more than config.json."""
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

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ModelError("The disk of the model cache is full.", fix="Free some space, or set HF_HOME to a larger disk before the start.")
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
