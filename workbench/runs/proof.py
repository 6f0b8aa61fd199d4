"""What an export is held against: the run's own answers to a few of its validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from workbench.errors import RunError
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.runs.service import RunService

Form = Literal["folder", "merged", "onnx"]
ROWS_COMPARED = 8
TOKENS_COMPARED = 32
# As an edge of what a text can be: the first row's over and over, past any model's length.
REPEATED = 2000
LARGEST_DIFFERENCE = 1e-5
# 8-bit layers round their inputs too; merged into plain weights they answer without that, which is the price of merging them.
LARGEST_DIFFERENCE_OF_MERGED_INT8 = 0.05
NOT_EXPORTED = "Nothing was exported; report this with the run's recipe."


class Proof(Protocol):
    """A run's answers. `rows` are asked of the export; `labels` are the run's classes, none where it writes."""

    rows: list[dict[str, str]]
    labels: list[str]

    def difference(self, answers: list[dict[str, Any]]) -> float:
        """How far the export's answers to `rows` are from the run's; RunError when that is too far."""
        ...


class SharesProof:
    """Of a run that chooses between classes: its probabilities, which an export may miss by the last bits of a float."""

    def __init__(self, service: RunService, run_id: str, recipe: Recipe, form: Form) -> None:
        from workbench.data.dataset import load_splits

        splits = load_splits(recipe.data)
        predictor = service.predictor(run_id)
        self.rows = [dict(example.fields) for example in (splits.validation.examples or splits.train.examples)[:ROWS_COMPARED]]
        if form == "onnx":  # prompts are written by other code there: an empty text, and one that is too long
            self.rows += [dict.fromkeys(self.rows[0], ""), {name: f"{text} " * REPEATED for name, text in self.rows[0].items()}]
        self.labels = list(predictor.labels)
        self._expected = predictor.probabilities(self.rows)
        rounds = form == "merged" and recipe.model.quantization == "int8"
        self._limit = LARGEST_DIFFERENCE_OF_MERGED_INT8 if rounds else LARGEST_DIFFERENCE

    def difference(self, answers: list[dict[str, Any]]) -> float:
        """The largest difference between two probabilities; RunError beyond the limit."""
        got = [list(answer["probabilities"].values()) for answer in answers]
        pairs = ((a, b) for ours, theirs in zip(self._expected, got, strict=True) for a, b in zip(ours, theirs, strict=True))
        found = max((abs(a - b) for a, b in pairs), default=0.0)
        if found > self._limit:
            raise RunError(f"The export's probabilities differ from the run's by {found:.1e}.", fix=NOT_EXPORTED)
        return found


class TextsProof:
    """Of a run that writes: the most probable text after each question, which has to be the same word for word."""

    def __init__(self, service: RunService, run_id: str, recipe: Recipe) -> None:
        from workbench.data.conversations import load_conversations
        from workbench.serving.generator import Sampling

        splits = load_conversations(recipe.data)
        self.rows = [dict(row.fields) for row in (splits.validation or splits.train)[:ROWS_COMPARED]]
        self.labels: list[str] = []
        self._expected = service.generator(run_id).answers(self.rows, Sampling(max_new_tokens=TOKENS_COMPARED))

    def difference(self, answers: list[dict[str, Any]]) -> float:
        """0.0; RunError when a text is another."""
        for expected, answer in zip(self._expected, answers, strict=True):
            if answer["text"] != expected:
                raise RunError(f"The export writes '{answer['text'][:80]}' where the run writes '{expected[:80]}'.", fix=NOT_EXPORTED)
        return 0.0


def proof_of(service: RunService, run_id: str, recipe: Recipe, form: Form) -> Proof:
    """The run's answers, asked now, for an export of this form; RunError when nothing has been tuned yet."""
    return TextsProof(service, run_id, recipe) if recipe.task == "generation" else SharesProof(service, run_id, recipe, form)
