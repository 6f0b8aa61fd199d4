"""Templates from a T5 (LM-BFF, Gao et al. 2021, section 5.2): what it writes between a sentence and its label word, over all rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.errors import ModelError
from workbench.models.foreign import foreign
from workbench.prompts.template import literal

MOST_TOKENS = 20


@dataclass(frozen=True)
class Written:
    """Text before and behind the label word and sum_x log P(t | T_g(x, y)) over the rows."""

    before: str
    behind: str
    score: float


class T5Writer:
    """A T5 that fills `x <extra_id_0> M(y) <extra_id_1>`. Owned by one search.

    Args:
        folder: a local T5 with its tokenizer.

    Raises:
        ModelError: the folder holds no T5 that can be loaded.
    """

    def __init__(self, folder: str | Path) -> None:
        from transformers import AutoTokenizer, T5ForConditionalGeneration

        message = f"{Path(folder).name} is not a T5 that can be loaded."
        with foreign(lambda error: ModelError(message, fix="Give a folder with a T5 and its tokenizer.")):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            self.model: Any = T5ForConditionalGeneration.from_pretrained(
                folder, trust_remote_code=False, use_safetensors=True, local_files_only=True
            ).eval()
        self.marks = [self.tokenizer.convert_tokens_to_ids(f"<extra_id_{number}>") for number in range(3)]
        unknown = self.tokenizer.unk_token_id
        if any(mark is None or mark == unknown for mark in self.marks):
            raise ModelError(f"The tokenizer in {Path(folder).name} has no <extra_id_0>.", fix="Give a T5 that was trained to fill spans.")

    def write(
        self, texts: Sequence[str], words: Sequence[str], *, beam: int, barred: Sequence[int], halt: Callable[[], None], length: int = 96
    ) -> list[Written]:
        """The beam's finished templates, best first: sum over rows of log P of every token (equation 8).

        Args:
            texts, words: one row each: the sentence and its label's word.
            barred: token ids that may not be written, such as those of label words.
            halt: called between steps; may raise.
            length: tokens of a sentence that are read.
        """
        prompts = [f"{self._cut(text, length)} <extra_id_0> {word} <extra_id_1>" for text, word in zip(texts, words, strict=True)]
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True)
        with torch.no_grad():
            states = self.model.get_encoder()(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask).last_hidden_state
        start = self.model.config.decoder_start_token_id
        beams: list[tuple[list[int], float]] = [([start, self.marks[0]], 0.0)]
        done: list[tuple[list[int], float]] = []
        for _ in range(MOST_TOKENS):
            found: list[tuple[list[int], float]] = []
            for tokens, score in beams:
                halt()
                gains = self._gains(tokens, states, inputs.attention_mask, barred)
                best = gains.topk(min(beam, len(gains)))
                found += [
                    ([*tokens, token], score + gain)
                    for gain, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                    if gain > -math.inf
                ]
            found.sort(key=lambda item: (-item[1], item[0]))
            done += [item for item in found if self._finished(item[0])]
            beams = [item for item in found if not self._finished(item[0])][:beam]
            if not beams:
                break
        return [self._written(tokens, score) for tokens, score in sorted(done, key=lambda item: (-item[1], item[0]))[:beam]]

    def _gains(self, tokens: list[int], states: Tensor, attention: Tensor, barred: Sequence[int]) -> Tensor:
        """sum_x log P(next token), [V]; -inf where the grammar of the answer forbids a token."""
        decoder = torch.tensor([tokens] * len(states))
        with torch.no_grad():
            logits = self.model(encoder_outputs=(states,), attention_mask=attention, decoder_input_ids=decoder).logits[:, -1]
        gains = torch.log_softmax(logits.double(), dim=-1).sum(dim=0)
        # After <extra_id_0> comes text or <extra_id_1>; after that text or the end: <extra_id_2> or </s>.
        second = self.marks[1] in tokens
        ends = {self.marks[2], self.tokenizer.eos_token_id} if second else {self.marks[1]}
        closed = [i for i in self.tokenizer.all_special_ids if i not in ends] + [m for m in self.marks if m not in ends] + list(barred)
        gains[torch.tensor(sorted(set(closed)))] = -math.inf
        return gains

    def _finished(self, tokens: list[int]) -> bool:
        return tokens[-1] == self.marks[2] or (tokens[-1] == self.tokenizer.eos_token_id and self.marks[1] in tokens)

    def _written(self, tokens: list[int], score: float) -> Written:
        middle = tokens.index(self.marks[1])
        before, behind = (self.tokenizer.decode(part).strip() for part in (tokens[2:middle], tokens[middle + 1 : -1]))
        return Written(literal(before), literal(behind), score)

    def _cut(self, text: str, length: int) -> str:
        return self.tokenizer.decode(self.tokenizer(text, add_special_tokens=False).input_ids[:length])
