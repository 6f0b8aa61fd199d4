"""transformers finds its names when they are first asked for, and two threads that ask at once can meet a half-imported module: one
imports, the others wait."""

from __future__ import annotations

import functools
import threading

_alone = threading.Lock()


def import_transformers() -> None:
    """Imports what loading a model needs; seconds the first time, nothing after it. Loading calls it, and every handler of the page."""
    with _alone:
        _import()


@functools.cache
def _import() -> None:
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer  # noqa: F401
    from transformers.models.bert import BertForMaskedLM, BertTokenizerFast  # noqa: F401
    from transformers.utils.logging import disable_progress_bar

    # It draws bars of its own into pipes and logs too; how far work is, whoever does it says. The hub's bars count our downloads.
    quiet = are_progress_bars_disabled()
    disable_progress_bar()
    if not quiet:
        enable_progress_bars()
