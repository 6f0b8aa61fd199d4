"""Searches at work: candidates come from training rows alone, and validation rows rank them at the end, ties broken by loss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.data.dataset import InputExample, load_splits
from workbench.errors import DataError, VerbalizerError
from workbench.models.cloze import cloze_logits
from workbench.prompts.cards import Card, card_from, ranked
from workbench.prompts.encoding import Encoding
from workbench.prompts.search.fills import Fill, FillSearch, Row
from workbench.prompts.search.label_words import combinations, grown, likely_words
from workbench.prompts.search.t5 import T5Writer, Written
from workbench.prompts.search.trigger import Trigger, TriggerSearch, input_gradients
from workbench.prompts.search.vocabulary import Vocabulary
from workbench.prompts.verbalizers.words import WordVerbalizer
from workbench.recipe import PromptPart
from workbench.runs.job import Job
from workbench.serving.classifier import PromptClassifier
from workbench.serving.label_words import search_label_words
from workbench.serving.scoring import CardScorer

STEPS_PER_CELL = 5
BATCH = 32
NEVER = -1e30


@dataclass(frozen=True)
class Around:
    """Text around the mask and whether the fields stand before it."""

    before: str
    behind: str
    fields_first: bool

    def template(self, fields: str) -> str:
        """As a template, fields in front or behind."""
        cloze = " ".join(part for part in (self.before, "[MASK]", self.behind) if part)
        return f"{fields} {cloze}" if self.fields_first else f"{cloze} {fields}"


class Search:
    """One search job; used once."""

    def __init__(self, job: Job) -> None:
        self.job, self.options = job, job.options
        self.recipe = job.recipe.replace({"job": None, "pet": None, "prompt": job.recipe.prompt.alone(0).model_dump()})
        splits = load_splits(self.recipe.data)
        self.labels, self.validation = splits.labels, splits.validation.examples
        if not self.validation:
            raise DataError("There are no validation rows to rank candidates on.", fix="Set data.split.validation.")
        draw = random.Random(f"search-{self.recipe.training.seed}")
        rows = splits.train.examples
        self.rows = rows if len(rows) <= self.options.rows else draw.sample(rows, self.options.rows)
        self.loaded = job.pool.get(self.recipe.model)
        self.classifier = PromptClassifier(self.loaded, self._prompt(self.recipe.prompt.templates[0]), self.labels)
        verbalizer = self.classifier.verbalizer
        if not isinstance(verbalizer, WordVerbalizer):
            raise VerbalizerError("A search needs label words.", fix="Set prompt.verbalizer.kind to manual.")
        self.words = verbalizer
        self.vocabulary = Vocabulary(self.loaded.tokenizer, verbalizer.token_ids if self.options.what == "template" else ())
        self.fields = " ".join(f"{{{name}}}" for name in self.recipe.fields)
        self.causal = self.loaded.kind == "causal"

    def run(self) -> dict[str, Any]:
        """Candidates, then their validation scores, as cards."""
        self.job.note(f"Candidates come from {len(self.rows)} training rows; {len(self.validation)} validation rows only rank them.")
        ways = {"trigger": self._triggers, "generate": self._generated, "combinations": self._words, "greedy": self._words}
        source = "search" if self.options.way != "generate" else "generation"
        candidates = ways[self.options.way]()[: self.options.count]
        self.job.plan(self.job.done + len(candidates) + 1)
        scorer = CardScorer(self.loaded, self.recipe.prompt, self.labels, self.validation, between=lambda share: self.job.between())
        own = Card(self.recipe.prompt.templates[0], None, source="recipe")
        cards = [self._ranked(scorer, f"card-{n}", card) for n, card in enumerate([own, *candidates])]
        order = ranked(card for card in cards if not card.problem)
        best = order[0]
        rows = [[card.template, _words_text(card, self.recipe.prompt), card.score, card.loss, card.source] for card in order]
        return {
            "metrics": {"accuracy": best.score, "macro_f1": None, "loss": best.loss},
            "table": {"columns": ["template", "words", "accuracy", "loss", "source"], "rows": rows},
            "candidates": [card.to_plain() for card in order],
            "cards": [card.to_plain() for card in order if card.source == source],
        }

    def _ranked(self, scorer: CardScorer, name: str, card: Card) -> Card:
        def make(folder: Path) -> dict[str, Any]:
            return scorer.score(card, len(self.validation)).to_plain()

        return card_from(self.job.cell(name, make, text=card.template))

    # -- trigger tokens

    def _triggers(self) -> list[Card]:
        layout = self.options.layout or (f"{self.fields} [T] [MASK]" if self.causal else f"{self.fields} [T] [MASK] .")
        table = self.loaded.family.word_embeddings(self.loaded.model)
        vectors = table.weight.detach()[torch.tensor(self.vocabulary.ids, device=table.weight.device)].float().cpu()
        judge = _TriggerJudge(self, layout)
        search = TriggerSearch(
            judge.gradient, judge.score, self.vocabulary.ids, vectors, len(self.rows), BATCH, self.options.candidates
        )
        cells = -(-self.options.steps // STEPS_PER_CELL)
        self.job.plan(self.options.restarts * cells + self.options.count + 1)
        found: dict[tuple[int, ...], float] = {}
        everything = range(len(self.rows))
        for restart in range(self.options.restarts):
            key = f"{self.recipe.training.seed}-{restart}"
            trigger = self._start(key)
            for cell in range(cells):
                steps = range(cell * STEPS_PER_CELL, min((cell + 1) * STEPS_PER_CELL, self.options.steps))
                trigger = self._steps(search, trigger, f"restart-{restart + 1}-{cell + 1}", key, steps)
                found[trigger.tokens] = search.score(trigger.tokens, everything)
        best = sorted(found, key=lambda tokens: (-found[tokens], tokens))
        return [Card(layout.replace("[T]", self.vocabulary.words(tokens)), None, source="search") for tokens in best]

    def _steps(self, search: TriggerSearch, trigger: Trigger, name: str, key: str, steps: range) -> Trigger:
        def make(folder: Path) -> dict[str, Any]:
            current = trigger
            for step in steps:
                self.job.halt()
                self.job.say(f"step {step + 1}: {self.vocabulary.words(current.tokens)}")
                current = search.step(current, f"{key}-{step}")
            return {"tokens": list(current.tokens), "score": current.score}

        found = self.job.cell(name, make, text=f"trigger, {name}")
        return Trigger(tuple(found["tokens"]), found["score"])

    def _start(self, key: str) -> Trigger:
        """Words drawn at random that can stand side by side."""
        draw = random.Random(f"start-{key}")
        while True:
            tokens = tuple(draw.choice(self.vocabulary.ids) for _ in range(self.options.tokens))
            if self.vocabulary.words(tokens):
                return Trigger(tokens, NEVER)

    # -- generated templates

    def _generated(self) -> list[Card]:
        shapes = self._t5() if self.options.generator else self._fills()
        barred = {word.text.lower() for word in self.words.words}
        around = [found for same_rank in zip_longest(*shapes) for found in same_rank if found is not None]
        templates = [found.template(self.fields) for found in around if not barred & set(f"{found.before} {found.behind}".lower().split())]
        return [Card(template, None, source="generation") for template in dict.fromkeys(templates)]

    def _fills(self) -> list[list[Around]]:
        rows = [self._row(example) for example in self.rows]
        behind = (0,) if self.causal else (0, 1)
        shapes = [(before, after, True) for before in range(1, self.options.longest + 1) for after in behind]
        if not self.causal:
            shapes += [(before, 1, False) for before in range(0, self.options.longest)]
        self.job.plan(len(shapes) + self.options.count + 1)
        return [self._shape(rows, *shape) for shape in shapes]

    def _shape(self, rows: list[Row], before: int, behind: int, fields_first: bool) -> list[Around]:
        plain = self.vocabulary.plain
        mask = None if self.causal else self.loaded.tokenizer.mask_token_id
        suffix = [] if self.causal else plain.suffix
        search = FillSearch(self._ask, self.vocabulary.ids, plain.prefix, suffix, mask, fields_first, self.options.beam)
        name = f"fill-{before}-{behind}-{'behind' if fields_first else 'before'}"

        def make(folder: Path) -> dict[str, Any]:
            fills = search.search(rows, before, behind, self.job.halt)
            return {"fills": [[list(fill.before), list(fill.behind), fill.score] for fill in fills]}

        text = f"{before} words before the mask, {behind} behind"
        found = [Fill(tuple(a), tuple(b), score) for a, b, score in self.job.cell(name, make, text=text)["fills"]]
        texts = [(self.vocabulary.words(fill.before), self.vocabulary.words(fill.behind), fill) for fill in found]
        whole = [(a, b) for a, b, fill in texts if bool(a) == bool(fill.before) and bool(b) == bool(fill.behind)]
        return [Around(a, b, fields_first) for a, b in whole]

    def _t5(self) -> list[list[Around]]:
        self.job.plan(1 + self.options.count + 1)

        def make(folder: Path) -> dict[str, Any]:
            writer = T5Writer(str(self.options.generator))
            texts = [" ".join(example.fields.values()) for example in self.rows]
            words = [self._label_word(example).text for example in self.rows]
            found = writer.write(texts, words, beam=self.options.beam, barred=(), halt=self.job.halt)
            return {"written": [[item.before, item.behind, item.score] for item in found]}

        found = [Written(*item) for item in self.job.cell("t5", make, text="the T5 writes")["written"]]
        return [[Around(item.before, "" if self.causal else item.behind, True) for item in found if item.before or item.behind]]

    def _row(self, example: InputExample) -> Row:
        room = self.classifier.max_length - len(self.vocabulary.plain.prefix) - len(self.vocabulary.plain.suffix) - 16
        ids = self.vocabulary.plain.encode(f" {' '.join(example.fields.values())}")
        return Row(tuple(ids[: max(8, room)]), self._label_word(example).token_ids)

    def _label_word(self, example: InputExample) -> Any:
        label = self.labels.index(str(example.label))
        return next(word for word in self.words.words if word.label == label)

    def _ask(self, prompts: list[list[int]], positions: list[int]) -> Tensor:
        rows = []
        with torch.no_grad():
            for start in range(0, len(prompts), BATCH):
                self.job.between()
                places = zip(prompts[start : start + BATCH], positions[start : start + BATCH], strict=True)
                batch = self.classifier.tensors([Encoding(ids, [place]) for ids, place in places])
                logits, _ = cloze_logits(self.loaded, *batch, None)
                rows.append(torch.log_softmax(logits[:, 0].float(), dim=-1).cpu())
        return torch.cat(rows)

    # -- label words

    def _words(self) -> list[Card]:
        self.job.plan(1 + self.options.count + 1)

        def make(folder: Path) -> dict[str, Any]:
            scores = self._mask_scores()[:, torch.tensor(self.vocabulary.ids)]
            truth = torch.tensor([self.labels.index(str(example.label)) for example in self.rows])
            candidates = self._candidates(scores, truth)
            found = combinations(scores, truth, candidates, self.options.count)
            if self.options.way == "greedy":
                found = [grown(scores, truth, candidates, words, self.options.words) for words in found]
            return {"words": [[[self.vocabulary.ids[column] for column in chosen] for chosen in words.columns] for words in found]}

        found = self.job.cell("words", make, text="label words on the training rows")["words"]
        template = self.recipe.prompt.templates[0]
        cards = []
        for words in found:
            listed = {label: [self.vocabulary.text(t) for t in chosen] for label, chosen in zip(self.labels, words, strict=True)}
            cards.append(Card(template, {"kind": "manual", "words": listed}, source="search"))
        return cards

    def _candidates(self, scores: Tensor, truth: Tensor) -> list[list[int]]:
        """Columns of candidate words per label: PETAL's ranking, or the likeliest words of a label's own rows."""
        k = self.options.candidates
        if self.options.ranking == "likely":
            return likely_words(scores, truth, len(self.labels), k)
        ranking = search_label_words(
            self.loaded, self._prompt(self.recipe.prompt.templates[0]), self.labels, self.rows, words_per_label=min(k, 100)
        )
        column = {self.vocabulary.text(token): place for place, token in enumerate(self.vocabulary.ids)}
        return [[column[word] for word, _ in ranking[label] if word in column] for label in self.labels]

    def _mask_scores(self) -> Tensor:
        """Log-probabilities of the whole vocabulary at the first template's mask, [N, V]."""
        encodings = self.classifier.encoders[0].encode_many([example.fields for example in self.rows])
        return self._ask([e.input_ids for e in encodings], [e.mask_positions[0] for e in encodings])

    def _prompt(self, template: str) -> PromptPart:
        return self.recipe.prompt.model_copy(update={"templates": [template]})


class _TriggerJudge:
    """The label log-likelihood of a trigger inside its template, and its gradient: what `TriggerSearch` asks for."""

    def __init__(self, search: Search, layout: str) -> None:
        self.search, self.layout = search, layout
        self.embeddings = search.loaded.family.word_embeddings(search.loaded.model)

    def score(self, tokens: Sequence[int], batch: Sequence[int]) -> float:
        words = self.search.vocabulary.words(tokens)
        if not words:  # these tokens cannot be written side by side
            return NEVER
        classifier = self._classifier(words)
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(batch), BATCH):
                total += float(self._log_likelihood(classifier, batch[start : start + BATCH]).sum())
        return total / len(batch)

    def gradient(self, tokens: Sequence[int], batch: Sequence[int]) -> Tensor:
        classifier = self._classifier(self.search.vocabulary.words(tokens))
        examples = [self.search.rows[i] for i in batch]
        _, by_run = input_gradients(self.embeddings, lambda: self._log_likelihood(classifier, batch).mean())
        encoded = classifier.encode(examples)
        total = torch.zeros(len(tokens), by_run[0].shape[-1])
        for run, gradient in enumerate(by_run):
            for row, example in enumerate(encoded):
                start = _place_of(tokens, example.variants[run])
                total += gradient[row, start : start + len(tokens)].float().cpu()
        return total

    def _classifier(self, words: str) -> PromptClassifier:
        prompt = self.search.recipe.prompt.model_copy(update={"templates": [self.layout.replace("[T]", words)]})
        return PromptClassifier(self.search.loaded, prompt, self.search.labels)

    def _log_likelihood(self, classifier: PromptClassifier, batch: Sequence[int]) -> Tensor:
        encoded = classifier.encode([self.search.rows[i] for i in batch])
        labels = torch.tensor([example.label for example in encoded], device=classifier.loaded.device)
        return classifier.log_probabilities(encoded).gather(1, labels.unsqueeze(1))[:, 0]


def _place_of(tokens: Sequence[int], encoding: Encoding) -> int:
    """Where the trigger stands in a prompt: within the template's own text, never where a row happens to hold the same words."""
    own = {i for span in encoding.spans if span.role == "template" for i in range(span.start, span.end)}
    width = len(tokens)
    return next(
        start
        for start in sorted(own)
        if encoding.input_ids[start : start + width] == list(tokens) and own.issuperset(range(start, start + width))
    )


def _words_text(card: Card, prompt: PromptPart) -> str:
    words = (card.verbalizer or prompt.verbalizer).get("words", {})
    lists = {label: listed if isinstance(listed, list | dict) else [listed] for label, listed in words.items()}
    return "; ".join(f"{label}: {', '.join(map(str, listed))}" for label, listed in lists.items())
