"""How programs other than this project's ask an exported model: the same prompt as text, and what stands for each class.

Nothing is claimed that was not looked at: a prompt is given as text only where the model's own tokenizer reads it as the very tokens
that the run asks with, and label words only where next-token (or mask) scores of single tokens are all that the run looks at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.prompts.template import Template
from workbench.prompts.tokenization import plain_tokenizer
from workbench.prompts.verbalizers.words import WordVerbalizer
from workbench.serving.generator import Generator

if TYPE_CHECKING:
    from workbench.serving.classifier import PromptClassifier
    from workbench.serving.predictor import Predictor

EXAMPLE = "A sentence."
WRITING = """from transformers import pipeline

ask = pipeline("text-generation", model="model")
prompt = {prompt}
print(ask(prompt, max_new_tokens={tokens}, do_sample=False, return_full_text=False)[0]["generated_text"])"""
CHOOSING = """import torch
from transformers import AutoModelFor{head}, AutoTokenizer

# The token of each label word with its share of its class.
words = {words}
tokenizer = AutoTokenizer.from_pretrained("model")
model = AutoModelFor{head}.from_pretrained("model").eval()
ids = tokenizer({prompt}, return_tensors="pt").input_ids
with torch.no_grad():
    logits = model(ids).logits[0, {place}].float()
scores = torch.stack([sum(share * logits[token] for token, share in shares.items()) for shares in words.values()])
print(dict(zip(words, torch.softmax(scores, dim=0).tolist())))"""


@dataclass(frozen=True)
class Asking:
    """How a run's model is asked.

    Args:
        writes: it answers in text; else it chooses between classes.
        causal: it continues the prompt; else it fills a blank.
        prompt: one whole prompt as text; empty where text cannot be what the run asks with.
        words: label -> {token: its share in the class}; empty where other things than single tokens are looked at.
        trained: what chooses between the classes is not in the model's own weights.
        tokens: of an answer at most, where it writes.
        beyond: sentences about what the run does besides.
    """

    writes: bool
    causal: bool
    prompt: str = ""
    words: dict[str, dict[int, float]] | None = None
    trained: bool = False
    tokens: int = 0
    beyond: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """A program for transformers that asks the model in the folder `model`; empty where that would not be what the run does."""
        if not self.prompt:
            return ""
        if self.writes:
            return WRITING.format(prompt=repr(self.prompt), tokens=self.tokens)
        if not self.words:
            return ""
        place = "-1" if self.causal else "(ids[0] == tokenizer.mask_token_id).nonzero()[0, 0]"
        head = "CausalLM" if self.causal else "MaskedLM"
        return CHOOSING.format(head=head, words=_literal(self.words), prompt=repr(self.prompt), place=place)

    @property
    def request(self) -> dict[str, Any] | None:
        """What a server of OpenAI's completions is sent, but for the model's name; None where a prompt as text is not what the run asks."""
        if not self.causal or not self.prompt or not (self.writes or self.words):
            return None
        allowed = [token for shares in (self.words or {}).values() for token in shares]
        limits = {"max_tokens": self.tokens} if self.writes else {"max_tokens": 1, "logprobs": len(allowed), "allowed_token_ids": allowed}
        return {"prompt": self.prompt, **limits, "temperature": 0}


def asking_of(answerer: Predictor | Generator) -> Asking:
    """How the model behind a run's predictor or generator is asked."""
    if isinstance(answerer, Generator):
        return _writing(answerer)
    tuned = answerer.tuned
    assert tuned is not None
    return _choosing(tuned.classifier)


def _writing(generator: Generator) -> Asking:
    tokenizer = generator.loaded.tokenizer
    ids = generator.encoder.question(dict.fromkeys(generator.fields, EXAMPLE))
    return Asking(True, True, _as_text(tokenizer, ids, ()), tokens=generator.recipe.prompt.max_new_tokens)


def _choosing(classifier: PromptClassifier) -> Asking:
    causal, verbalizer = classifier.loaded.kind == "causal", classifier.verbalizer
    if not isinstance(verbalizer, WordVerbalizer) or verbalizer.module is not None:
        beyond = "It was trained and lies in `tuned/verbalizer.safetensors`; `predict.py` reads it."
        return Asking(False, causal, trained=True, beyond=(beyond,))
    if verbalizer.contexts != (1,) or any(len(word.token_ids) != 1 for word in verbalizer.words):
        return Asking(False, causal, beyond=("Some label words are several tokens; `predict.py` scores them whole.",))
    encoder = classifier.encoders[0]
    fields = dict.fromkeys(encoder.template.fields, EXAMPLE)
    written = _written(encoder.template, fields, classifier.loaded.tokenizer, causal=causal)
    prompt = _as_text(classifier.loaded.tokenizer, encoder.encode(fields).input_ids, (written,))
    beyond = []
    if len(classifier.encoders) > 1:
        beyond.append(f"This asks with the first of {len(classifier.encoders)} templates; `predict.py` takes the mean of them all.")
    if verbalizer.options.calibration != "none":
        beyond.append("`predict.py` also takes off what the model prefers before it has read a text (calibration).")
    return Asking(False, causal, prompt, _words(verbalizer), beyond=tuple(beyond))


def _words(verbalizer: WordVerbalizer) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {label: {} for label in verbalizer.labels}
    for word in verbalizer.words:
        shares, token = found[verbalizer.labels[word.label]], word.token_ids[0]
        shares[token] = shares.get(token, 0.0) + word.weight
    return {label: {token: share / sum(shares.values()) for token, share in shares.items()} for label, shares in found.items()}


def _written(template: Template, fields: dict[str, str], tokenizer: Any, *, causal: bool) -> str:
    """The template filled in by hand, up to its mask or with the tokenizer's own."""
    parts = []
    for piece in template.fill(fields):
        if piece.kind == "mask" and causal:
            break
        own = {"text": piece.text, "mask": tokenizer.mask_token, "special": tokenizer.sep_token or "\n"}.get(piece.kind)
        parts.append(own or "")
    return "".join(parts).rstrip(" ")


def _as_text(tokenizer: Any, ids: list[int], tried: tuple[str, ...]) -> str:
    """The first text that the tokenizer reads as `ids`, of those tried and of what the ids decode to; empty where there is none."""
    if max(ids) >= len(tokenizer):  # soft tokens, which no text can be
        return ""
    plain = plain_tokenizer(tokenizer)
    inner = ids[len(plain.prefix) : len(ids) - len(plain.suffix)]
    texts = (*tried, tokenizer.decode(ids), tokenizer.decode(inner))
    return next((text for text in texts if tokenizer(text).input_ids == ids), "")


def _literal(words: dict[str, dict[int, float]]) -> str:
    """The words as Python: JSON's names are quoted, and tokens are numbers here."""
    shares = ({token: round(share, 6) for token, share in one.items()} for one in words.values())
    return "{" + ", ".join(f"{json.dumps(label, ensure_ascii=False)}: {one}" for label, one in zip(words, shares, strict=True)) + "}"
