"""Masked words of unlabelled prompts as a second loss: what keeps a model's language while few labels are learnt."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.models.cloze import cloze_logits
from workbench.prompts.encoding import Encoding
from workbench.serving.classifier import PromptClassifier
from workbench.serving.reading import EncodedExample

MASKED_SHARE = 0.15


class MaskedWords:
    """Masked words of unlabelled prompts: L_MLM of L = (1 - alpha) L_CE + alpha L_MLM (Schick & Schuetze 2021, equation 3).

    As in BERT (Devlin et al. 2019), 15 % of the tokens are to be predicted: 80 % of them masked, 10 % replaced, 10 % left. The prompt's own
    mask, special and soft tokens are never among them. Rows and tokens are drawn from python's generator, which the stepper seeds at
    every step, so a resumed run draws what it would have drawn.

    Args:
        classifier: a prompt on a masked model.
        pool: unlabelled prompts, encoded by it; at least one.
    """

    def __init__(self, classifier: PromptClassifier, pool: Sequence[EncodedExample]) -> None:
        self.classifier, self.pool = classifier, pool
        self._mask_id = int(classifier.loaded.tokenizer.mask_token_id)
        self._words = len(classifier.loaded.tokenizer)

    def loss(self, rows: int) -> Tensor:
        """Mean cross-entropy over the chosen tokens of `rows` prompts, a scalar; 0 when no token can be chosen."""
        encodings = [random.choice(random.choice(self.pool).variants) for _ in range(rows)]
        chosen = [sorted(_choose(encoding)) for encoding in encodings]
        longest = max(map(len, chosen))
        device = self.classifier.loaded.device
        if not longest:
            return torch.zeros((), device=device)
        input_ids, attention, _ = self.classifier.tensors(encodings)
        # Rows with fewer tokens repeat a position; its weight is 0.
        positions = torch.tensor([row + [0] * (longest - len(row)) for row in chosen], device=device)
        counted = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in chosen], device=device)
        truth = input_ids.gather(1, positions)
        for number, row in enumerate(chosen):
            for position in row:
                input_ids[number, position] = self._corrupted(int(input_ids[number, position]))
        logits, _ = cloze_logits(self.classifier.loaded, input_ids, attention, positions, None)
        return torch.nn.functional.cross_entropy(logits[counted].float(), truth[counted])

    def _corrupted(self, token: int) -> int:
        chance = random.random()
        return self._mask_id if chance < 0.8 else random.randrange(self._words) if chance < 0.9 else token


def _choose(encoding: Encoding) -> list[int]:
    free = [i for span in encoding.spans if span.role in ("text", "template") for i in range(span.start, span.end)]
    return random.sample(free, max(1, round(len(free) * MASKED_SHARE))) if free else []
