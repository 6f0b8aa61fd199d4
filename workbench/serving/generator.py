"""A causal model, tuned or not, that answers in text: batches while training and for files, streams for a chat."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from workbench.data.conversations import MESSAGE, Turn
from workbench.errors import ModelError
from workbench.models.loading import compute_dtype
from workbench.models.mode import evaluating
from workbench.models.next_token import next_token_loss
from workbench.prompts.chat import IGNORED, ChatEncoder, Dialogue
from workbench.prompts.soft import without_soft
from workbench.recipe import ModelPart, PromptPart, Recipe
from workbench.serving.batches import Pace
from workbench.serving.classifier import model_max_length
from workbench.serving.own_numbers import own_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.methods import Attached
    from workbench.models.loading import LoadedModel


BATCH = 16
LONGEST_CHAT = 8192
# Of a checkpoint's settings for generate(): what may stay, and what has to be a number.
KEPT_SETTINGS = ("bos_token_id", "eos_token_id", "pad_token_id", "max_length", "use_cache", "transformers_version", "_from_model_config")
COUNTS = ("num_beams", "num_return_sequences")


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 always takes the most probable one."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 64
    seed: int | None = None


class Generator:
    """Answers with one model. Owned by whoever made it; safe to call from several threads, one answer at a time.

    Args:
        loaded: the model with its tuned weights in place.
        attached: the tuning method's hold on the model, or None for the base model.

    Raises:
        ModelError: a masked model.
        TemplateError: a template or chat layout that does not fit the model.
    """

    def __init__(self, loaded: LoadedModel, attached: Attached | None, recipe: Recipe) -> None:
        if loaded.kind != "causal":
            raise ModelError(
                f"{loaded.name} is a masked model, which fills blanks and does not write.", fix="Choose a causal model such as Qwen."
            )
        self.loaded, self.attached, self.recipe = loaded, attached, recipe
        positions = attached.positions if attached else 0
        length = min(recipe.prompt.max_length, model_max_length(loaded) - positions)
        soft = attached.soft if attached else None
        prompt = recipe.prompt
        if attached is None:
            prompt = prompt.model_copy(update={"templates": [without_soft(source) for source in prompt.templates]})
        self.encoder = ChatEncoder(loaded.tokenizer, prompt, max_length=length, soft=soft)
        self.pace = Pace()
        """How rows are answered; whoever trains may put another one here."""
        self._guard = threading.Lock()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that make the first question."""
        return self.encoder.fields

    def answers(
        self, fields: Sequence[dict[str, str]], sampling: Sampling, *, batch_size: int = BATCH, systems: Sequence[str] = ()
    ) -> list[str]:
        """One answer per row of fields, in the order given.

        Args:
            systems: a system message per row, such as its conversation has; the prompt's own where it is empty.
        """
        prompts = [self.encoder.question(row, system=said) for row, said in zip(fields, systems or [""] * len(fields), strict=True)]
        return self.continuations(prompts, sampling, batch_size=batch_size)

    def continuations(
        self, prompts: Sequence[list[int]], sampling: Sampling, *, batch_size: int = BATCH, tell: Callable[[int], None] = lambda done: None
    ) -> list[str]:
        """What follows each of the prompts that the encoder's `question` gave, in the order given.

        Args:
            tell: called after every batch with the number of prompts that are done; what it raises ends the work.
        """
        found, done = [""] * len(prompts), 0

        def write(indices: list[int]) -> list[str]:
            ids, mask = self._left_padded([prompts[i] for i in indices])
            # Held for a batch, not for all: a chat with the same model takes its turn between two.
            with self._guard, evaluating(self.loaded.model), torch.no_grad():
                return [self._text(row.tolist()) for row in self._generate(ids, mask, sampling)[:, ids.shape[1] :]]

        lengths = [len(prompt) + sampling.max_new_tokens for prompt in prompts]
        for indices, texts in self.pace.answers(lengths, batch_size, write):
            for index, text in zip(indices, texts, strict=True):
                found[index] = text
            done += len(indices)
            tell(done)
        return found

    def summed_loss(self, dialogues: Sequence[Dialogue], *, batch_size: int = BATCH) -> float:
        """Negative log-likelihood (nats) of all answer tokens, without gradients, in batches of similar length."""

        def loss(numbers: list[int]) -> float:
            with self._guard, evaluating(self.loaded.model), torch.no_grad():
                return float(answer_loss(self.loaded, [dialogues[number] for number in numbers]))

        lengths = [len(dialogue.input_ids) for dialogue in dialogues]
        return sum((found for _, found in self.pace.answers(lengths, batch_size, loss)), 0.0)

    def stream(
        self, fields: dict[str, str], turns: Sequence[Turn], sampling: Sampling, *, system: str = "", stop: threading.Event | None = None
    ) -> Iterator[str]:
        """The growing answer to a conversation, token by token, until it ends, is long enough or `stop` is set.

        Args:
            fields: of the first question; `turns`: what followed, the last one a question, or nothing.
        """
        ids = torch.tensor([self.encoder.question(fields, turns, system=system)], device=self.loaded.device)
        stops, made, cache = set(self.encoder.stop_ids), [], None
        generator = torch.Generator(device=self.loaded.device)
        # A generator as it is made begins with the same number every time.
        generator.seed() if sampling.seed is None else generator.manual_seed(sampling.seed)
        with self._guard, evaluating(self.loaded.model):
            step = ids
            for _ in range(min(sampling.max_new_tokens, self._room(ids))):
                if stop is not None and stop.is_set():
                    return
                mask = torch.ones(1, ids.shape[1] + len(made), dtype=torch.long, device=ids.device)
                # Only around the call: a generator that yields inside would switch gradients off for whoever reads it.
                with torch.no_grad():
                    output = self.loaded.model(
                        input_ids=step, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1
                    )
                cache = output.past_key_values
                token = draw(output.logits[0, -1].float(), sampling, generator)
                if token in stops:
                    return
                made.append(token)
                step = torch.tensor([[token]], device=ids.device)
                yield self._text(made)

    def _left_padded(self, prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest, pad = max(map(len, prompts)), self.loaded.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=self.loaded.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self.loaded.device)
        return ids, mask

    def _generate(self, ids: torch.Tensor, mask: torch.Tensor, sampling: Sampling) -> torch.Tensor:
        options: dict[str, Any] = {**self._switched_off(), "do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        # The mode costs something at every call of torch, so it is there only where something is drawn.
        with own_numbers(sampling.seed) if sampling.temperature > 0 else contextlib.nullcontext():
            return self.loaded.model.generate(
                input_ids=ids, attention_mask=mask, pad_token_id=self.loaded.tokenizer.pad_token_id, eos_token_id=self.encoder.stop_ids,
                max_new_tokens=max(1, min(sampling.max_new_tokens, self._room(ids))), stopping_criteria=[self._at_each_token], **options,
            )  # fmt: skip

    def _switched_off(self) -> dict[str, Any]:
        """What a checkpoint asks for of its own, such as a repetition penalty, without effect: `stream` draws without it too."""
        from transformers import GenerationConfig

        known, own = vars(GenerationConfig()), self.loaded.model.generation_config.to_diff_dict()
        return {name: 1 if name in COUNTS else None for name in own if name in known and name not in KEPT_SETTINGS}

    def _at_each_token(self, ids: torch.Tensor, scores: torch.Tensor, **ignored: Any) -> torch.Tensor:
        """Never a reason to stop writing, but a moment at which whoever waits may."""
        self.pace.between()
        return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)

    def _room(self, ids: torch.Tensor) -> int:
        """How many tokens may follow before the model has no position left for them."""
        return model_max_length(self.loaded) - (self.attached.positions if self.attached else 0) - ids.shape[1]

    def _text(self, ids: list[int]) -> str:
        stops = set(self.encoder.stop_ids)
        end = next((i for i, token in enumerate(ids) if token in stops), len(ids))
        return str(self.loaded.tokenizer.decode(ids[:end], skip_special_tokens=True)).strip()


def plain_generator(loaded: LoadedModel, part: ModelPart) -> Generator:
    """What writes with a model that no run has tuned: messages in its own chat layout, or as plain text where it has none. A long
    conversation leaves a quarter of the model's positions to the answer.

    Raises:
        ModelError: a masked model.
    """
    length = max(8, min(model_max_length(loaded), LONGEST_CHAT) * 3 // 4)
    prompt = PromptPart(templates=[f"{{{MESSAGE}}} [MASK]"], max_length=length)
    return Generator(loaded, None, Recipe(task="generation", model=part, prompt=prompt))


def answer_loss(loaded: LoadedModel, dialogues: Sequence[Dialogue]) -> torch.Tensor:
    """Summed negative log-likelihood (nats) of the answers' tokens given everything before them, a scalar that gradients go through."""
    longest, pad = max(len(d.input_ids) for d in dialogues), loaded.tokenizer.pad_token_id
    ids = torch.tensor([d.input_ids + [pad] * (longest - len(d.input_ids)) for d in dialogues])
    mask = torch.tensor([[1] * len(d.input_ids) + [0] * (longest - len(d.input_ids)) for d in dialogues])
    labels = torch.tensor([d.labels + [IGNORED] * (longest - len(d.labels)) for d in dialogues])
    return next_token_loss(loaded, ids, mask, labels)


@own_numbers()
def tuned_generator(loaded: LoadedModel, recipe: Recipe, folder: Path) -> Generator:
    """What writes with the weights that training left in `folder`.

    Args:
        loaded: a model of its own, which the method stays on.
    """
    from workbench.methods import attach, check_method

    attached = attach(loaded, check_method(recipe.method), keep_original=False, prompt=recipe.prompt)
    attached.answer_as_trained(compute_dtype(recipe.training.precision, loaded.device))
    attached.restore(folder)
    return Generator(loaded, attached, recipe)


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token id from logits [V]: the best at temperature 0, else from the smallest set that holds `top_p` (Holtzman et al. 2020)."""
    if sampling.temperature <= 0:
        return int(logits.argmax())
    probabilities, ids = torch.softmax(logits / sampling.temperature, dim=-1).sort(descending=True)
    before = probabilities.cumsum(0) - probabilities
    probabilities = torch.where(before < sampling.top_p, probabilities, 0.0)
    return int(ids[torch.multinomial(probabilities, 1, generator=generator)])
