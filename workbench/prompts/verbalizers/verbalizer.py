"""What every verbalizer is: it asks what it needs of a model's reading of prompts, and answers with a score for each class.

    options -> Verbalizer -- prepare(loaded) --> with parameters of its own, if the kind trains any
                          -- fit(readings) ----> with what it takes from the training rows, if it takes anything
                          -- scores(reading) --> [B, C]
                          -- state / load_state: what was trained or taken; empty for kinds that are all in the recipe
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import Field
from torch import Tensor, nn

from workbench.models.sharding import put
from workbench.options import Options

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.prompts.verbalizers.words import LabelWord

Context = int | tuple[int, ...]
Position = Literal["auto", "mask", "first", "last"]
Reads = Literal["words", "transformed", "hidden"]
CONTENT_FREE = ["N/A", "[MASK]", ""]


@dataclass(frozen=True)
class Diagnosis:
    """Something about a verbalizer that works, but perhaps not as one thinks.

    Args:
        code: what it is, for the page's own words: pieces, pooled, same, first_token, lengths, untrained, skew.
        message: a plain English sentence.
        values: what the sentence names, by name.
    """

    code: str
    message: str
    values: dict[str, str] = field(default_factory=dict)


class Reading(Protocol):
    """What a model says about a batch of B prompts of one template. Nothing is computed before it is asked for."""

    def logits(self, context: Context, token_ids: Sequence[int] | None, *, normalize: bool = False) -> tuple[Tensor, Tensor | None]:
        """Logits [B, M, W] of chosen tokens (None: of all) at the masks of `context`, and with `normalize` [B, M], the log of the
        sum of exponentials over the whole vocabulary."""

    def hidden(self, position: Position, *, transformed: bool) -> Tensor:
        """Hidden states [B, H] at a position, in float32; `transformed` are those that the vocabulary product takes, [B, E]."""

    def text_tokens(self) -> list[list[int]]:
        """For each prompt, the tokens that came from fields."""


class VerbalizerOptions(Options):
    """Options of every kind; a kind's own class narrows `kind` to its name.

    Calibration takes off what the model would say without a text: `contextual` divides by the class probabilities of content-free
    inputs (Zhao et al. 2021, section 4), `pmi` by those of the template with empty fields, which for words is
    log P(word | prompt) - log P(word | domain prompt) (Holtzman et al. 2021, equation 4). Predictions use it; the loss does not.
    """

    kind: str
    calibration: Literal["none", "contextual", "pmi"] = Field(
        "none", description="Take off what the model prefers before it has read anything: by content-free inputs, or by empty fields."
    )
    content_free: list[str] = Field(
        CONTENT_FREE, min_length=1, max_length=64, description="Inputs that say nothing, for contextual calibration and for the prior."
    )

    @property
    def needs_mask(self) -> bool:
        """Whether the template must have a [MASK]."""
        return True


class TrainableOptions(VerbalizerOptions):
    """Options of kinds with parameters of their own."""

    learning_rate: float | None = Field(
        None, gt=0, le=10, description="Peak learning rate of the verbalizer's own parameters; empty takes the run's, or a tried one."
    )


class Verbalizer:
    """Scores classes. Made for one tokenizer and one set of labels; owned by a `PromptClassifier`.

    Args:
        options: validated options of this kind.
        labels: the classes in the order of the scores.
        tokenizer: the model's tokenizer, for kinds with words.
        causal: the model continues the prompt.
        leading_space: a blank stands before the mask.
    """

    options_type: ClassVar[type[VerbalizerOptions]]
    title: ClassVar[str]
    description: ClassVar[str]
    reads: ClassVar[Reads] = "words"
    """Which part of the model answers: its whole language head, the head without its vocabulary product, or only its body."""
    shared: ClassVar[bool] = False
    """One object serves all templates, whatever stands before their masks."""
    rates: ClassVar[tuple[float, float, float]] = (5e-3, 1e-3, 1e-3)
    """Learning rates of the kind's own parameters that learn for hidden sizes up to 512, up to 1024, and above."""

    module: nn.Module | None = None
    words: Sequence[LabelWord] = ()
    mask_counts: tuple[int, ...] = (1,)
    contexts: tuple[Context, ...] = (1,)
    """The prompts that have to be read; what is taken from rows never changes them."""

    def __init__(self, options: Any, labels: tuple[str, ...], tokenizer: Any, *, causal: bool, leading_space: bool) -> None:
        self.options = options
        self.labels = labels
        self.causal = causal

    @property
    def needs_fit(self) -> bool:
        """Whether training rows have to be read before this verbalizer can score at all."""
        return False

    def prepare(self, loaded: LoadedModel) -> None:
        """Makes the kind's own parameters, on the model's device, in `module`. Random numbers are torch's global ones."""

    def fit(self, readings: Iterable[tuple[Reading, Tensor]]) -> None:
        """Takes what the kind needs from training rows: readings of batches with their classes [B]; called without gradients."""

    def scores(self, reading: Reading) -> Tensor:
        """Scores of the classes, [B, C]; their log_softmax is the class log-probabilities."""
        raise NotImplementedError

    def auxiliary_loss(self, reading: Reading, labels: Tensor) -> Tensor | None:
        """A term that is added to the mean negative log-likelihood of a batch, or None; labels [B]."""

    def state(self) -> dict[str, Tensor]:
        """What was trained or taken from rows, by name; empty when the options say everything."""
        return {} if self.module is None else dict(self.module.state_dict())

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Puts back what `state` gave; names and shapes have been compared already."""
        if self.module is not None:
            own = self.module.state_dict()
            for name, value in state.items():
                put(own[name], value)

    def diagnose(self) -> list[Diagnosis]:
        """What works, but not as one might think; empty when there is nothing to say."""
        return []
