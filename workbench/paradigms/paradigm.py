"""What a paradigm is: it gets a task, leaves a trained model in a folder, and opens it again.

    task (training and validation rows, never test rows) --fit(folder)--> Figures, and files in the folder
    folder --open--> Answerer: class probabilities, and why
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from workbench.data.dataset import InputExample, Splits, load_splits
from workbench.errors import MethodError, nearest
from workbench.models.transfer import untold
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool
    from workbench.training.control import Control

OnEvent = Callable[[dict[str, Any]], None]
Work = Callable[..., dict[str, Any]]
_PARADIGMS: dict[str, type[Paradigm]] = {}


def train_recipe(*arguments: Any, **options: Any) -> dict[str, Any]:
    """`train_run`, imported when it is needed."""
    from workbench.training.trainer import train_run

    return train_run(*arguments, **options)


@dataclass(frozen=True)
class Task:
    """One cell's work. There is no way from here to the test rows: `recipe.data` names files that do not hold them.

    Args:
        recipe: model, prompt and training as the board's recipe has them; its data part is this cell's, shots and seed included.
        method: one of the paradigm's methods.
        zero_shot: no training rows may be used; `recipe.data` still names them for the labels.
        work: what trains a language model's recipe in a folder: `train_run`, or what also does the jobs a recipe may ask for.
        between: called between two batches that a language model only reads; what it raises ends the work.
        notes: sentences for the person on what was changed for this cell.
    """

    recipe: Recipe
    method: str
    zero_shot: bool = False
    work: Work = train_recipe
    between: Callable[[], None] = untold
    notes: tuple[str, ...] = ()

    @cached_property
    def splits(self) -> Splits:
        """Training and validation rows."""
        return load_splits(self.recipe.data)

    @property
    def seed(self) -> int:
        """Of everything random in this cell; the split of rows has one of its own."""
        return self.recipe.training.seed


@dataclass(frozen=True)
class Figures:
    """What training one cell came to.

    Args:
        trainable_parameters, total_parameters: numbers that training moved, and all that there are, those that a method adds included.
        model_bytes: those numbers in memory.
        validation: accuracy, macro_f1 and loss on the validation rows of the model that was kept; None where there are none.
        settings: what validation chose, for the person.
    """

    trainable_parameters: int
    total_parameters: int
    model_bytes: int
    validation: dict[str, float] | None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reason:
    """A piece of the text and what it said for (above 0) or against the class asked about. The unit is the answerer's own."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Why:
    """Pieces of one text with their weights.

    Args:
        text: the text that `reasons` points into.
        reasons: in the order of the text.
        phrases: the strongest features with their weights, strongest first, where the model has features of its own.
        method: contribution, max_pool or occlusion.
    """

    text: str
    reasons: list[Reason]
    phrases: list[tuple[str, float]]
    method: str


class Answerer(Protocol):
    """A trained cell that answers; `labels` is the order of its probabilities."""

    labels: tuple[str, ...]

    def probabilities(self, fields: Sequence[dict[str, str]], *, batch_size: int = 32) -> list[list[float]]:
        """Class probabilities [N][C]."""

    def why(self, fields: dict[str, str], label: str) -> Why:
        """What spoke for `label`."""


class Paradigm(ABC):
    """One way to solve a task. Without state: everything a cell leaves is in its folder."""

    name: ClassVar[str]
    pretrained: ClassVar[bool] = False
    """Whether it starts from a language model, so that a board can compare several."""
    methods: ClassVar[tuple[str, ...]]
    """What a board of this paradigm runs when nothing else is asked for."""

    def knows(self, method: str) -> bool:
        """Whether `method` is one of this paradigm's."""
        return method in self.methods

    def shots(self, method: str, shots: Sequence[int | None]) -> list[int | None]:
        """The numbers of examples, of those asked for, at which this method makes a cell; None is every row."""
        return [number for number in shots if number != 0]

    def repeats(self, method: str) -> bool:
        """Whether another seed gives another model."""
        return True

    def check(self, recipe: Recipe, method: str) -> None:
        """Refuses a method that cannot be told apart from a mistake before anything is trained.

        Raises:
            MethodError: there is no such method.
        """
        if not self.knows(method):
            raise MethodError(f"The paradigm {self.name} has no method '{method}'.", fix=nearest(method, self.known()))

    def known(self) -> list[str]:
        """Every method, for messages and help."""
        return list(self.methods)

    def warm(self, task: Task, pool: ModelPool) -> None:
        """Reads the rows, and imports and loads once per process what `fit` will, so that the first cell of a kind takes no longer than
        the others.

        Raises:
            WorkbenchError: as `fit`.
        """
        len(task.splits.train)

    @abstractmethod
    def fit(self, task: Task, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None = None) -> Figures | None:
        """Trains in `folder`; None when `control` asked to stop. Calling it again on the same folder goes on or starts anew.

        Raises:
            WorkbenchError: this task cannot be trained so.
        """

    @abstractmethod
    def open(self, task: Task, folder: Path, pool: ModelPool) -> Answerer:
        """The trained model of a folder."""


def register(cls: type[Paradigm]) -> type[Paradigm]:
    """Class decorator. A second paradigm of the same name stops the import."""
    known = _PARADIGMS.get(cls.name)
    if known is not None and known.__module__ != cls.__module__:
        raise TypeError(f"Two paradigms are called '{cls.name}': {known.__module__} and {cls.__module__}.")
    _PARADIGMS[cls.name] = cls
    return cls


def paradigm_names() -> list[str]:
    """Registered names, from the oldest paradigm to the newest, others after them by name."""
    order = ("classical", "from_scratch", "fine_tuning", "prompting")
    return sorted(_PARADIGMS, key=lambda name: (order.index(name) if name in order else len(order), name))


def find_paradigm(name: str) -> Paradigm:
    """Raises MethodError, naming the nearest known paradigm."""
    if name not in _PARADIGMS:
        raise MethodError(f"There is no paradigm '{name}'.", fix=nearest(str(name), _PARADIGMS))
    return _PARADIGMS[name]()


def text_of(fields: dict[str, str]) -> str:
    """One text for models that know no template: the fields in the order of their names, a line each."""
    return "\n".join(fields[name] for name in sorted(fields))


def texts_of(examples: Sequence[InputExample]) -> list[str]:
    """`text_of` of every example."""
    return [text_of(example.fields) for example in examples]
