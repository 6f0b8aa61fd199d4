"""States of rows under a body that does not train: every row is read once, and each step looks its states up.

    head, linear probe, soft or prototypical verbalizer:  rows --body, once, without dropout--> states --what trains--> loss

Whether a body trains is asked of the gradient graph, not of a list of methods. States are computed in batches that do not depend on the
steps, so a resumed run has the same ones; those that are too many for memory lie in a file of the run's folder, are read back through a
memory map, and are found again after a resume.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.models.cloze import last_states
from workbench.serving.classifier import full_batches
from workbench.serving.reading import token_at
from workbench.training.folder import FACTS, holds, recover_folder, write_folder
from workbench.training.processes import Alone

if TYPE_CHECKING:
    from workbench.prompts.encoding import Encoding
    from workbench.prompts.verbalizers.verbalizer import Position
    from workbench.serving.classifier import PromptClassifier
    from workbench.serving.reading import EncodedExample

IN_MEMORY_BYTES = 512 * 1024**2
"""States of one kind that take more than this lie in a file."""
ROWS_AT_ONCE = 32
FOLDER = "states"
ARRAY = "states.npy"
Kind = tuple[int, "Position | None"]


class KeptStates:
    """The last layer's states of encoded rows, by the place that is read in them. Owned by one objective, used by one thread.

    Args:
        classifier: a prompt on a model whose body does not train; see `body_is_frozen`.
        examples: rows whose states will be asked for; each gets its number.
        folder: where states that do not fit into memory are written; None keeps all in memory.
        group: the processes that train together; each keeps the states of all rows.
    """

    def __init__(
        self, classifier: PromptClassifier, examples: Sequence[EncodedExample], folder: Path | None, group: Alone | None = None
    ) -> None:
        self._classifier, self._examples, self._folder, self._group = classifier, examples, folder, group or Alone()
        self._kept: dict[Kind, tuple[Tensor, torch.dtype]] = {}
        for number, example in enumerate(examples):
            example.number = number

    def at(self, place: int, position: Position | None, numbers: list[int]) -> Tensor:
        """[B, M, H] of the rows with these numbers under the prompt at `place` of the classifier's plan.

        Args:
            position: one token's state; None takes those at the masks.
        """
        kind = (place, position)
        if kind not in self._kept:
            with self._classifier.evaluating():
                self._kept[kind] = self._read(kind)
        states, dtype = self._kept[kind]
        return states[torch.tensor(numbers)].to(self._classifier.loaded.device, dtype)

    def forget(self) -> None:
        """The next question reads the rows again."""
        self._kept.clear()

    def _read(self, kind: Kind) -> tuple[Tensor, torch.dtype]:
        """All rows' states of one kind in float32, and the type that the model gave them in."""
        first = self._states(kind, [0])
        shape, dtype = (len(self._examples), *first.shape[1:]), first.dtype
        if self._folder is None or 4 * int(np.prod(shape)) <= IN_MEMORY_BYTES:
            states = torch.empty(shape)
            self._fill(kind, states)
            return states, dtype
        target = self._folder / FOLDER / f"{kind[0]}-{kind[1] or 'masks'}"
        facts = {"shape": list(shape), "rows": self._digest(kind), "model": self._classifier.loaded.fingerprint}
        self._group.first(lambda: self._ensure(target, kind, shape, facts))
        return torch.from_numpy(np.load(target / ARRAY, mmap_mode="r+")), dtype

    def _ensure(self, target: Path, kind: Kind, shape: tuple[int, ...], facts: dict[str, object]) -> None:
        recover_folder(target)
        if not holds(target, facts):
            write_folder(target, lambda staging: self._write(kind, shape, facts, staging))

    def _write(self, kind: Kind, shape: tuple[int, ...], facts: dict[str, object], staging: Path) -> None:
        array = np.lib.format.open_memmap(staging / ARRAY, mode="w+", dtype=np.float32, shape=shape)
        self._fill(kind, torch.from_numpy(array))
        array.flush()
        (staging / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    def _fill(self, kind: Kind, states: Tensor) -> None:
        lengths = [len(self._encoding(kind, number).input_ids) for number in range(len(self._examples))]
        for numbers in full_batches(lengths, ROWS_AT_ONCE):
            states[torch.tensor(numbers)] = self._states(kind, numbers).float().cpu()

    def _states(self, kind: Kind, numbers: list[int]) -> Tensor:
        encodings = [self._encoding(kind, number) for number in numbers]
        input_ids, attention_mask, masks = self._classifier.tensors(encodings)
        position = kind[1]
        if position is not None:
            masks = torch.tensor([[token_at(encoding, position)] for encoding in encodings], device=input_ids.device)
        return last_states(self._classifier.loaded, input_ids, attention_mask, masks)

    def _encoding(self, kind: Kind, number: int) -> Encoding:
        return self._examples[number].variants[kind[0]]

    def _digest(self, kind: Kind) -> str:
        """SHA-256 of every prompt and of the places that are read in it."""
        sha = hashlib.sha256()
        for number in range(len(self._examples)):
            encoding = self._encoding(kind, number)
            sha.update(json.dumps([encoding.input_ids, encoding.mask_positions]).encode())
        return sha.hexdigest()


def body_is_frozen(classifier: PromptClassifier, example: EncodedExample) -> bool:
    """Whether nothing that trains has a part in the last layer's states of a prompt, and these can be had by themselves."""
    loaded = classifier.loaded
    if not loaded.family.rows_only:
        return False
    with torch.enable_grad():
        for encoding in example.variants:
            input_ids, attention_mask, _ = classifier.tensors([encoding])
            if last_states(loaded, input_ids, attention_mask, torch.zeros_like(input_ids[:, :1])).requires_grad:
                return False
    return True
