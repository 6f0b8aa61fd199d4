"""Loaded models by what they were loaded from, so that a page, a run and a predictor share one copy in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from workbench.models.loading import LoadedModel, Progress, find_model, load_model
from workbench.recipe import ModelPart

Key = tuple[str, str | None, str, str, str, bool, str]


class ModelPool:
    """The last `size` models asked for. Owned by the run service, lives as long as the process; safe to call from any thread.

    A model that is put out stays alive for whoever still holds it. Loading happens under the lock: two requests for the same
    model load it once, and two different ones do not compete for memory.
    """

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self._lock = threading.RLock()
        self._models: OrderedDict[Key, LoadedModel] = OrderedDict()

    def get(self, part: ModelPart, progress: Progress | None = None) -> LoadedModel:
        """The shared model of `part`; its weights must be left as they were found.

        Raises:
            ModelError: as `load_model`.
        """
        find_model(part.path, part.revision)  # refuses what the one who asks may not load, also when it is loaded already
        key = _key(part)
        with self._lock:
            if key not in self._models:
                # Room first: the old model and the new one need not fit side by side.
                while len(self._models) >= self.size:
                    self._models.popitem(last=False)
                self._models[key] = load_model(part, progress=progress)
            self._models.move_to_end(key)
            return self._models[key]

    def loaded(self, part: ModelPart) -> LoadedModel | None:
        """The shared model if it is in memory now; answers at once, also while another one is being loaded."""
        return self._models.get(_key(part))

    def fresh(self, part: ModelPart, progress: Progress | None = None) -> LoadedModel:
        """A copy of one's own, for tuning that changes the weights themselves. The pool keeps no hold of it."""
        with self._lock:
            return load_model(part, progress=progress)

    def clear(self) -> bool:
        """Lets go of every model; whether there was one."""
        with self._lock:
            held = bool(self._models)
            self._models.clear()
        return held


def _key(part: ModelPart) -> Key:
    return part.path, part.revision, part.quantization, part.dtype, part.device, part.double_quantization, part.compute_dtype
