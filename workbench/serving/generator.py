"""A causal model, tuned or not, that answers in text: batches while training and for files, streams for a chat."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from workbench.data.conversations import Turn
from workbench.errors import ModelError
from workbench.models.mode import evaluating
from workbench.prompts.chat import ChatEncoder
from workbench.prompts.soft import without_soft
from workbench.serving.classifier import model_max_length

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.methods import Attached
    from workbench.models.loading import LoadedModel
    from workbench.recipe import Recipe


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
        self._guard = threading.Lock()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that make the first question."""
        return self.encoder.fields

    def answers(self, fields: Sequence[dict[str, str]], sampling: Sampling, *, batch_size: int = 16) -> list[str]:
        """One answer per row of fields, in the order given."""
        prompts = [self.encoder.question(row) for row in fields]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        found = [""] * len(prompts)
        with self._guard, evaluating(self.loaded.model), torch.no_grad():
            for start in range(0, len(order), batch_size):
                indices = order[start : start + batch_size]
                ids, mask = self._left_padded([prompts[i] for i in indices])
                made = self._generate(ids, mask, sampling)
                for index, row in zip(indices, made[:, ids.shape[1] :], strict=True):
                    found[index] = self._text(row.tolist())
        return found

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
        if sampling.seed is not None:
            generator.manual_seed(sampling.seed)
        room = model_max_length(self.loaded) - (self.attached.positions if self.attached else 0) - ids.shape[1]
        with self._guard, evaluating(self.loaded.model):
            step = ids
            for _ in range(min(sampling.max_new_tokens, room)):
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
        options: dict[str, Any] = {"do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        return self.loaded.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=sampling.max_new_tokens, pad_token_id=self.loaded.tokenizer.pad_token_id,
            eos_token_id=self.encoder.stop_ids, **options,
        )  # fmt: skip

    def _text(self, ids: list[int]) -> str:
        stops = set(self.encoder.stop_ids)
        end = next((i for i, token in enumerate(ids) if token in stops), len(ids))
        return str(self.loaded.tokenizer.decode(ids[:end], skip_special_tokens=True)).strip()


def tuned_generator(loaded: LoadedModel, recipe: Recipe, folder: Path) -> Generator:
    """What writes with the weights that training left in `folder`.

    Args:
        loaded: a model of its own, which the method stays on.
    """
    from workbench.methods import attach, check_method

    attached = attach(loaded, check_method(recipe.method), keep_original=False, prompt=recipe.prompt)
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
