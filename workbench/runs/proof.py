"""What an export is held against: the run's own answers to a few of its validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.training.rows_to_ask import ROWS_KEPT, kept_rows

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.runs.service import RunService

Form = Literal["folder", "merged", "onnx", "adapter"]
TOKENS_COMPARED = 32
# As an edge of what a text can be: the first row's over and over, past any model's length.
REPEATED = 2000
LARGEST_DIFFERENCE = 1e-5
# What a merged model may miss where merging or the run itself rounds: 8-bit layers round their inputs, half-precision weights the sum of
# a matrix and its update, and 4-bit layers on a GPU multiply in half precision. Merged, they answer without that, or with it once more.
LARGEST_DIFFERENCE_ROUNDED = 0.05
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
        predictor = service.predictor(run_id)
        self.rows = kept_rows(service.store.folder(run_id)) or _rows_of_classes(recipe)
        if form == "onnx":  # prompts are written by other code there: an empty text, and one that is too long
            self.rows += [dict.fromkeys(self.rows[0], ""), {name: f"{text} " * REPEATED for name, text in self.rows[0].items()}]
        self.labels = list(predictor.labels)
        self._expected = predictor.probabilities(self.rows)
        self._limit = LARGEST_DIFFERENCE_ROUNDED if form == "merged" and rounds(predictor.loaded) else LARGEST_DIFFERENCE

    def difference(self, answers: list[dict[str, Any]]) -> float:
        """The largest difference between two probabilities; RunError beyond the limit."""
        got = [list(answer["probabilities"].values()) for answer in answers]
        pairs = ((a, b) for ours, theirs in zip(self._expected, got, strict=True) for a, b in zip(ours, theirs, strict=True))
        found = max((abs(a - b) for a, b in pairs), default=0.0)
        if found > self._limit:
            raise RunError(f"The export's probabilities differ from the run's by {found:.1e}.", fix=NOT_EXPORTED)
        return found


class TextsProof:
    """Of a run that writes: the most probable text after each question, which has to be the same word for word; of a merged model that
    rounds, whose words may part at a close call, for one question at least."""

    def __init__(self, service: RunService, run_id: str, recipe: Recipe, form: Form) -> None:
        from workbench.serving.generator import Sampling

        self.rows = kept_rows(service.store.folder(run_id)) or _rows_of_text(recipe)
        self.labels: list[str] = []
        generator = service.generator(run_id)
        self._expected = generator.answers(self.rows, Sampling(max_new_tokens=TOKENS_COMPARED))
        self._may_part = form == "merged" and rounds(generator.loaded)

    def difference(self, answers: list[dict[str, Any]]) -> float:
        """The share of texts that are others; RunError when that is too many."""
        others = [(a["text"], expected) for expected, a in zip(self._expected, answers, strict=True) if a["text"] != expected]
        if others and not (self._may_part and len(others) < len(answers)):
            text, expected = others[0]
            raise RunError(f"The export writes '{text[:80]}' where the run writes '{expected[:80]}'.", fix=NOT_EXPORTED)
        return len(others) / max(1, len(answers))


def proof_of(service: RunService, run_id: str, recipe: Recipe, form: Form) -> Proof:
    """The run's answers, asked now, for an export of this form; RunError when nothing has been tuned yet."""
    proof = TextsProof if recipe.task == "generation" else SharesProof
    return proof(service, run_id, recipe, form)


def _rows_of_classes(recipe: Recipe) -> list[dict[str, str]]:
    from workbench.data.streams import splits_of

    splits = splits_of(recipe.data)
    return [dict(example.fields) for example in (splits.validation.examples or splits.train.examples)[:ROWS_KEPT]]


def _rows_of_text(recipe: Recipe) -> list[dict[str, str]]:
    from workbench.data.conversations import load_conversations

    splits = load_conversations(recipe.data)
    return [dict(row.fields) for row in (splits.validation or splits.train)[:ROWS_KEPT]]


def rounds(loaded: LoadedModel) -> bool:
    """Whether a merged model cannot answer as its run does to the last bits."""
    half = any(p.is_floating_point() and p.element_size() < 4 for p in loaded.model.parameters())
    four_bit_on_gpu = loaded.quantization in ("nf4", "fp4") and loaded.device.type != "cpu"
    return loaded.quantization == "int8" or half or four_bit_on_gpu
