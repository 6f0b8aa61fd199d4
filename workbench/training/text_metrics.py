"""Perplexity of expected answers; BLEU and ROUGE-L of written ones, through sacrebleu and rouge-score, for text with and without blanks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

# CJK ideographs, kana and hangul: text that is compared character by character.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]|\w+")


def loss_metrics(total: float, tokens: int) -> dict[str, float]:
    """loss (nats a token), perplexity and tokens, of the summed loss of answers of so many tokens."""
    loss = total / tokens
    # Above e^700 a float overflows; such a model is lost anyway.
    return {"loss": loss, "perplexity": math.exp(min(loss, 700)), "tokens": tokens}


def text_metrics(answers: Sequence[str], expected: Sequence[str]) -> dict[str, float]:
    """bleu (0 to 100, corpus level, Papineni et al. 2002) and rouge_l (mean F1 from 0 to 1, Lin 2004).

    Args:
        answers, expected: N texts each, N at least 1.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    letters = sum(len(text) for text in expected) or 1
    chinese = sum(len(_UNSPACED.findall(text)) for text in expected) / letters > 0.3
    bleu = BLEU(tokenize="zh" if chinese else "13a", effective_order=False).corpus_score(list(answers), [list(expected)]).score
    scorer = RougeScorer(["rougeL"], tokenizer=_Words())
    scores = [scorer.score(target, answer)["rougeL"].fmeasure for target, answer in zip(expected, answers, strict=True)]
    return {"bleu": float(bleu), "rouge_l": float(sum(scores) / len(scores))}


class _Words:
    """rouge-score's own tokenizer drops everything but Latin letters; this one keeps words of every script."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())
