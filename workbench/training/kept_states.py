"""States of rows below everything that trains: every row is read once, and each step looks its states up.

    head, linear probe, soft or prototypical verbalizer:  rows --body, once, without dropout--> states --what trains--> loss
    LoRA or adapters in the last layers:  rows --lower layers, once--> states of all tokens --upper layers--> states at the mask --> loss

Where training begins is asked of the gradient graph, not of a list of methods. States are computed in batches that do not depend on the
steps, so a resumed run has the same ones; those that are too many for memory lie in a file of the run's folder, are read back through a
memory map, and are found again after a resume.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from workbench.methods.manifest import hidden_size
from workbench.models.cloze import last_states
from workbench.models.lower_layers import above, read_below, trained_from
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
MOST_BYTES = 4 * 1024**3
"""Lower layers' states of every token that take more than this are computed at every step."""
ROWS_AT_ONCE = 32
FOLDER = "states"
ARRAY = "states.npy"
MASKS = "masks"
Kind = tuple[int, str]


class _Kept(ABC):
    """States of encoded rows, by kind: a prompt of the classifier's plan and what is read in it. Owned by one objective, used by one
    thread.

    Args:
        classifier: a prompt on a model.
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

    @abstractmethod
    def at(self, place: int, position: Position | None, numbers: list[int]) -> Tensor:
        """The last layer's states [B, M, H] of the rows with these numbers under the prompt at `place` of the classifier's plan.

        Args:
            position: one token's state; None takes those at the masks.
        """

    @abstractmethod
    def _shape(self, kind: Kind) -> tuple[tuple[int, ...], torch.dtype]:
        """Of all states of a kind, and the type that the model gives them in."""

    @abstractmethod
    def _put(self, kind: Kind, numbers: list[int], states: Tensor) -> None:
        """Reads the rows with these numbers and puts what is kept of them where it belongs in `states`."""

    def _states(self, kind: Kind) -> tuple[Tensor, torch.dtype]:
        if kind not in self._kept:
            with self._classifier.evaluating():
                self._kept[kind] = self._read(kind)
        return self._kept[kind]

    def forget(self) -> None:
        """The next question reads the rows again."""
        self._kept.clear()

    def _read(self, kind: Kind) -> tuple[Tensor, torch.dtype]:
        """All rows' states of one kind in float32, and the type that the model gave them in."""
        shape, dtype = self._shape(kind)
        if self._folder is None or 4 * int(np.prod(shape)) <= IN_MEMORY_BYTES:
            states = torch.empty(shape)
            self._fill(kind, states)
            return states, dtype
        target = self._folder / FOLDER / f"{kind[0]}-{kind[1]}"
        facts = {"shape": list(shape), "rows": self._digest(kind), "model": self._classifier.loaded.fingerprint}
        self._group.first(lambda: self._ensure(target, kind, shape, facts))
        return torch.from_numpy(np.load(target / ARRAY, mmap_mode="r+")), dtype

    def _ensure(self, target: Path, kind: Kind, shape: tuple[int, ...], facts: dict[str, object]) -> None:
        recover_folder(target)
        if not holds(target, facts):
            write_folder(target, lambda staging: self._write(kind, shape, facts, staging))

    def _write(self, kind: Kind, shape: tuple[int, ...], facts: dict[str, object], staging: Path) -> None:
        array = np.lib.format.open_memmap(staging / ARRAY, mode="w+", dtype=np.float32, shape=shape)
        _claim(staging / ARRAY)
        self._fill(kind, torch.from_numpy(array))
        array.flush()
        (staging / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    def _fill(self, kind: Kind, states: Tensor) -> None:
        lengths = [len(self._encoding(kind, number).input_ids) for number in range(len(self._examples))]
        for _ in self._classifier.pace.answers(lengths, ROWS_AT_ONCE, lambda numbers: self._put(kind, numbers, states)):
            pass

    def _tensors(self, kind: Kind, position: Position | None, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens and their mask, [B, T], and the places that are asked for, [B, M]."""
        encodings = [self._encoding(kind, number) for number in numbers]
        input_ids, attention_mask, masks = self._classifier.tensors(encodings)
        if position is not None:
            masks = torch.tensor([[token_at(encoding, position)] for encoding in encodings], device=input_ids.device)
        return input_ids, attention_mask, masks

    def _encoding(self, kind: Kind, number: int) -> Encoding:
        return self._examples[number].variants[kind[0]]

    def _digest(self, kind: Kind) -> str:
        """SHA-256 of every prompt and of the places that are read in it."""
        sha = hashlib.sha256()
        for number in range(len(self._examples)):
            encoding = self._encoding(kind, number)
            sha.update(json.dumps([encoding.input_ids, encoding.mask_positions]).encode())
        return sha.hexdigest()


class KeptStates(_Kept):
    """The last layer's states where they are read, under a body that does not train; see `body_is_frozen`."""

    def at(self, place: int, position: Position | None, numbers: list[int]) -> Tensor:
        states, dtype = self._states((place, position or MASKS))
        return states[torch.tensor(numbers)].to(self._classifier.loaded.device, dtype)

    def _shape(self, kind: Kind) -> tuple[tuple[int, ...], torch.dtype]:
        first = self._last(kind, [0])
        return (len(self._examples), *first.shape[1:]), first.dtype

    def _put(self, kind: Kind, numbers: list[int], states: Tensor) -> None:
        states[torch.tensor(numbers)] = self._last(kind, numbers).float().cpu()

    def _last(self, kind: Kind, numbers: list[int]) -> Tensor:
        position = None if kind[1] == MASKS else cast("Position", kind[1])
        return last_states(self._classifier.loaded, *self._tensors(kind, position, numbers))


class LowerStates(_Kept):
    """Every token's state where training begins, from which the layers that train go on at each step.

    Args:
        first: number of the lowest layer that trains; see `training_begins`.
    """

    def __init__(
        self, classifier: PromptClassifier, examples: Sequence[EncodedExample], folder: Path | None, group: Alone | None, first: int
    ) -> None:
        super().__init__(classifier, examples, folder, group)
        self.first = first
        self._begins: dict[int, list[int]] = {}

    def at(self, place: int, position: Position | None, numbers: list[int]) -> Tensor:
        kind = self._kind(place)
        states, dtype = self._states(kind)
        begins, loaded = self._tokens(place), self._classifier.loaded
        rows = [states[begins[number] : begins[number + 1]] for number in numbers]
        lower = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(loaded.device, dtype)
        with above(loaded, self.first, lower):
            return last_states(loaded, *self._tensors(kind, position, numbers))

    def size(self) -> int:
        """Bytes of all tokens' states under all prompts, in float32."""
        tokens = sum(self._tokens(place)[-1] for place in range(len(self._classifier.plan)))
        return 4 * tokens * hidden_size(self._classifier.loaded.model)

    def _kind(self, place: int) -> Kind:
        return place, f"layer-{self.first}"

    def _tokens(self, place: int) -> list[int]:
        """Where each row's tokens begin among those of all rows, and where the last row's end."""
        if place not in self._begins:
            lengths = (len(example.variants[place].input_ids) for example in self._examples)
            self._begins[place] = list(accumulate(lengths, initial=0))
        return self._begins[place]

    def _shape(self, kind: Kind) -> tuple[tuple[int, ...], torch.dtype]:
        first = self._lower(kind, [0])
        return (self._tokens(kind[0])[-1], first.shape[-1]), first.dtype

    def _put(self, kind: Kind, numbers: list[int], states: Tensor) -> None:
        begins = self._tokens(kind[0])
        for number, row in zip(numbers, self._lower(kind, numbers).float().cpu(), strict=True):
            states[begins[number] : begins[number + 1]] = row[: begins[number + 1] - begins[number]]

    def _lower(self, kind: Kind, numbers: list[int]) -> Tensor:
        input_ids, attention_mask, _ = self._tensors(kind, None, numbers)
        return read_below(self._classifier.loaded, self.first, input_ids, attention_mask)


def kept_states(
    classifier: PromptClassifier, examples: Sequence[EncodedExample], folder: Path | None, group: Alone
) -> KeptStates | LowerStates | None:
    """What can be kept of these rows while the classifier trains; None where everything trains, or it would be too much."""
    if body_is_frozen(classifier, examples[0]):
        return KeptStates(classifier, examples, folder, group)
    first = training_begins(classifier, examples[0]) if group.size == 1 else 0
    lower = LowerStates(classifier, examples, folder, group, first) if first else None
    return lower if lower and lower.size() <= MOST_BYTES else None


def training_begins(classifier: PromptClassifier, example: EncodedExample) -> int:
    """Number of the lowest layer with a part in training; 0 where it begins below all of them or the layers do not say."""
    loaded = classifier.loaded
    if not loaded.family.rows_only:
        return 0
    tensors = [classifier.tensors([encoding])[:2] for encoding in example.variants]
    return min((trained_from(loaded, *given) for given in tensors), default=0)


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


def _claim(file: Path) -> None:
    """Gives a mapped file all of its room now. It is sparse as numpy makes it, and a page of it that the disk has no room for later ends
    the whole process with a bus error, which nothing can catch; a disk that is too full here is an OSError like any other."""
    if hasattr(os, "posix_fallocate"):
        with open(file, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
