"""Everything that a recipe tunes, in one place: the method's part of the model and the verbalizer's own parameters.

    tune(loaded, recipe, labels) -> Tuned -- fit(training rows)
                                          -- parameters(), rate_of(name) --> optimizer
                                          -- save(folder) / restore(folder)
                                          -- classifier --> probabilities

A trainer, a checkpoint, an export and a predictor hold this one object and need not know where a parameter lives. A folder holds the
method's files and, for kinds that train or take anything, verbalizer.safetensors with verbalizer.json.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.errors import VerbalizerError
from workbench.methods import Attached, TunedRow, attach, check_method
from workbench.methods.attached import parameter_count
from workbench.methods.manifest import rate_for
from workbench.models.loading import compute_dtype
from workbench.models.sharding import is_sharded, whole
from workbench.prompts.verbalizers import check_verbalizer, verbalizer_class
from workbench.prompts.verbalizers.verbalizer import Verbalizer
from workbench.serving.classifier import PromptClassifier
from workbench.serving.own_numbers import own_numbers
from workbench.serving.predictor import untuned

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.models.loading import LoadedModel
    from workbench.recipe import Recipe

VERBALIZER_WEIGHTS = "verbalizer.safetensors"
VERBALIZER_FILE = "verbalizer.json"
OWN = "verbalizer."
Named = list[tuple[str, nn.Parameter]]


@own_numbers()
def tune(
    loaded: LoadedModel, recipe: Recipe, labels: tuple[str, ...], *, method: bool = True, keep_original: bool = False
) -> Tuned:
    """Attaches a recipe's method to a model and puts its prompt and verbalizer in front of it.

    Args:
        labels: the classes, in the order of every score; of no account for text generation, where nothing but the method trains.
        method: False leaves the model as it is: the base model, or one that the tuning was merged into.
        keep_original: see `Attached`.

    Raises:
        MethodError, TemplateError, VerbalizerError: the recipe's options are wrong or do not apply to the model.
    """
    products = compute_dtype(recipe.training.precision, loaded.device)
    if recipe.task == "generation" and method:
        attached = attach(loaded, check_method(recipe.method), keep_original=keep_original, prompt=recipe.prompt)
        attached.answer_as_trained(products)
        return Tuned(attached, None)
    if not method:
        return Tuned(None, PromptClassifier(loaded, untuned(recipe.prompt), labels))
    reads = verbalizer_class(check_verbalizer(recipe.prompt.verbalizer).kind).reads
    attached = attach(loaded, check_method(recipe.method), keep_original=keep_original, prompt=recipe.prompt, reads=reads)
    with contextlib.ExitStack() as undo:
        undo.callback(attached.detach)
        attached.answer_as_trained(products)
        tuned = Tuned(attached, PromptClassifier(loaded, recipe.prompt, labels, attached))
        undo.pop_all()
    return tuned


class Tuned:
    """The method on a model together with the classifier that asks it. Owned by whoever called `tune`, or by a trainer.

    Args:
        attached: the method's hold on the model, or None where the model itself is not tuned.
        classifier: prompt, verbalizer and model; None for tasks without classes, where nothing but the method trains.
    """

    def __init__(self, attached: Attached | None, classifier: PromptClassifier | None) -> None:
        self.attached = attached
        self._classifier = classifier
        self.loaded = (attached or self.classifier).loaded

    @property
    def classifier(self) -> PromptClassifier:
        """What answers; only for tasks with classes."""
        assert self._classifier is not None
        return self._classifier

    @property
    def verbalizers(self) -> list[Verbalizer]:
        """Each verbalizer once; none for tasks without classes."""
        return [] if self._classifier is None else self._classifier.distinct_verbalizers

    @property
    def needs_fit(self) -> bool:
        """Whether training rows have to be read before anything can be scored."""
        return any(verbalizer.needs_fit for verbalizer in self.verbalizers)

    def fit(self, examples: Sequence[InputExample]) -> None:
        """Lets the verbalizer take what it needs from training rows; nothing happens for kinds that need none."""
        self.classifier.fit(examples)

    def parameters(self) -> Named:
        """Everything that trains, under names that do not repeat: the method's parameters, then the verbalizer's."""
        return [*(self.attached.parameters() if self.attached else []), *self._own_parameters()]

    @property
    def learning_rate(self) -> float:
        """The rate used when a recipe says `auto`: the method's or, where the method trains nothing, the verbalizer's."""
        if self.attached is not None and self.attached.parameters():
            return self.attached.learning_rate
        return self._own_rate(None)

    def rate_of(self, name: str, rate: float, *, auto: bool = False) -> float:
        """The peak learning rate of one parameter where the run's is `rate`.

        A verbalizer's is its own option, else the rate that the recipe names, else (`auto`) what its kind has been tried with.
        """
        if name.startswith(OWN):
            return self._own_rate(None if auto else rate)
        return self.attached.rate_of(name, rate) if self.attached else rate

    @property
    def trainable_parameters(self) -> int:
        """How many numbers train: the method's and the verbalizer's."""
        return sum(parameter.numel() for _, parameter in self.parameters())

    @property
    def total_parameters(self) -> int:
        """Parameters of the model, of what the method adds to it, and of the verbalizer."""
        model = self.attached.total_parameters if self.attached else parameter_count(self.loaded.model)
        return model + sum(parameter.numel() for _, parameter in self._own_parameters())

    @property
    def model_bytes(self) -> int:
        """What those take in memory, as the model was loaded: quantized, in half precision or plain."""
        model = self.attached.model_bytes if self.attached else self.loaded.model.get_memory_footprint()
        return model + sum(parameter.nbytes for _, parameter in self._own_parameters())

    @property
    def notes(self) -> list[str]:
        """What a person should know about what trains."""
        own = sum(parameter.numel() for _, parameter in self._own_parameters())
        if own and self.attached is not None and not self.attached.parameters():
            return [f"Only the verbalizer's {own:,} parameters train; the model stays as it is (linear probing)."]
        return []

    def explain(self) -> list[TunedRow]:
        """The model's parameters and the verbalizer's for the page."""
        rows = self.attached.explain() if self.attached else []
        return [*rows, *(TunedRow(name, tuple(p.shape), 1, True) for name, p in self._own_parameters())]

    def train(self) -> None:
        """Puts model and verbalizer into training mode."""
        for module in self.modules:
            module.train()

    @property
    def modules(self) -> list[nn.Module]:
        """The model, and the verbalizers that have parameters."""
        return [self.loaded.model, *(v.module for v in self.verbalizers if v.module is not None)]

    def select_again(self) -> None:
        """Takes the parameters as they are now, after the model was cut up among processes."""
        if self.attached is not None and self.attached.shards:
            self.attached.select_again()

    def gather(self) -> None:
        """Takes this process's part in a `save` of another one, which needs every process's part of what is cut up."""
        if any(is_sharded(parameter) for _, parameter in self.parameters()):
            if self.attached is not None:
                self.attached.state()
            self._whole_verbalizers()

    def save(self, folder: Path) -> None:
        """Writes what was tuned into an existing folder."""
        if self.attached is not None:
            self.attached.save(folder)
        self.save_verbalizer(folder)

    def save_final(self, folder: Path) -> None:
        """Writes what answering needs, without what only training needed."""
        if self.attached is not None:
            self.attached.save_final(folder)
        self.save_verbalizer(folder)

    def save_verbalizer(self, folder: Path) -> None:
        """Writes the verbalizer's part alone; no file for kinds that are all in the recipe."""
        state = self._whole_verbalizers()
        if state:
            save_file(state, folder / VERBALIZER_WEIGHTS)
            text = json.dumps(self._verbalizer_facts(), indent=2, sort_keys=True, ensure_ascii=False)
            (folder / VERBALIZER_FILE).write_text(text, encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Loads what `save` wrote.

        Raises:
            MethodError, VerbalizerError: damaged files, or those of another model, method, verbalizer or set of labels.
        """
        stateful = self.needs_fit or bool(self._verbalizer_state())
        saved = _read_verbalizer(folder, self._verbalizer_facts()) if stateful else {}
        parts = [_numbered(saved, number) for number in range(len(self.verbalizers))]
        for part, verbalizer in zip(parts, self.verbalizers, strict=True):
            _compare(part, verbalizer.state())
        # Nothing is changed before all that can be compared has been.
        if self.attached is not None:
            self.attached.restore(folder)
        for part, verbalizer in zip(parts, self.verbalizers, strict=True):
            if part:
                verbalizer.load_state(part)

    def merge(self) -> nn.Module:
        """The model with the tuning in its weights; the verbalizer stays what it is."""
        return self.attached.merge() if self.attached else self.loaded.model

    def detach(self) -> None:
        """Takes the method off the model."""
        if self.attached is not None:
            self.attached.detach()

    def _own_parameters(self) -> Named:
        modules = [(number, verbalizer.module) for number, verbalizer in enumerate(self.verbalizers)]
        return [(f"{OWN}{n}.{name}", p) for n, module in modules if module is not None for name, p in module.named_parameters()]

    def _own_rate(self, rate: float | None) -> float:
        verbalizer = self.classifier.verbalizer
        tried = rate_for(self.loaded.model, verbalizer.rates)
        return getattr(verbalizer.options, "learning_rate", None) or rate or tried

    def _verbalizer_state(self) -> dict[str, Tensor]:
        return {f"{number}.{name}": value for number, v in enumerate(self.verbalizers) for name, value in v.state().items()}

    def _whole_verbalizers(self) -> dict[str, Tensor]:
        return {name: whole(value).to("cpu", copy=True).contiguous() for name, value in self._verbalizer_state().items()}

    def _verbalizer_facts(self) -> dict[str, Any]:
        kind = self.classifier.verbalizer.options.kind
        return {"kind": kind, "labels": list(self.classifier.labels), "fingerprint": self.loaded.fingerprint}


def _read_verbalizer(folder: Path, expected: dict[str, Any]) -> dict[str, Tensor]:
    try:
        facts = json.loads((folder / VERBALIZER_FILE).read_text(encoding="utf-8"))
        state = load_file(folder / VERBALIZER_WEIGHTS)
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise VerbalizerError("The saved verbalizer cannot be read.", fix="Its files are missing or damaged; train again.") from error
    for key in ("kind", "labels"):
        if not isinstance(facts, dict) or facts.get(key) != expected[key]:
            found = facts.get(key) if isinstance(facts, dict) else None
            raise VerbalizerError(
                f"The saved verbalizer has {key} {found!r} where the recipe has {expected[key]!r}.", fix="Use the run's own recipe."
            )
    return state


def _numbered(state: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """The tensors of one verbalizer, without its number."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _compare(state: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Names and shapes of saved tensors against the ones in place; a verbalizer that has taken nothing yet accepts any."""
    for name in {**own, **state} if own else {}:
        if name not in state or name not in own or state[name].shape != own[name].shape:
            raise VerbalizerError(
                f"The saved verbalizer does not fit at '{name}'.", fix="It belongs to another model; choose the one it was trained on."
            )
