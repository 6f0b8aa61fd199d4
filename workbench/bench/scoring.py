"""P3: zero-shot scores of many templates on the same rows: masked, next to transformers' fill-mask pipeline; causal, next to one forward
pass per label word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.measure import interleaved, ratio
from workbench.bench.workload import LABELS, PROMPT, causal_model, masked_model, review_rows
from workbench.data.dataset import InputExample
from workbench.prompts.cards import Card
from workbench.prompts.template import parse_template
from workbench.recipe import PromptPart

WORDS = PROMPT.verbalizer["words"]
TEMPLATES = (
    "{text} It was [MASK] .",
    "{text} All in all, it was [MASK] .",
    "Just [MASK] ! {text}",
    "{text} In summary, the film is [MASK] .",
    "A [MASK] film . {text}",
    "It was [MASK] . {text}",
    "{text} What a [MASK] movie !",
    "My verdict : [MASK] . {text}",
)
ENDINGS = (
    "{text} It was [MASK]",
    "{text} All in all, it was [MASK]",
    "{text} In summary, the film is [MASK]",
    "{text} The film is [MASK]",
    "{text} My verdict: [MASK]",
    "{text} I found it [MASK]",
    "{text} What I felt was [MASK]",
    "{text} In one word: [MASK]",
)
MASKED_GOAL, CAUSAL_GOAL = 12.0, 11.0
# Every row fits: a pipeline that cuts a prompt cuts its mask away.
LONGEST_PROMPT = 448
Scores = list[list[float]]


@comparison("P3", "zero-shot scores of templates")
def scoring(scale: Scale) -> list[Row]:
    """Rows of review lengths; every side gives the same class probabilities to 1e-4."""
    return [*_masked(scale), *_causal(scale)]


def _masked(scale: Scale) -> list[Row]:
    rows, count = (32, 2) if scale.quick else (1000, 8)
    loaded, examples, templates = masked_model(4, 256), review_rows(rows), TEMPLATES[:count]
    sides = {
        "workbench": lambda: score_templates(loaded, templates, examples),
        "transformers fill-mask pipeline": lambda: fill_mask(loaded, templates, examples, 1),
        "transformers fill-mask pipeline in batches of 32": lambda: fill_mask(loaded, templates, examples, 32),
    }
    return _compared(scale, sides, f"scoring, masked 4x256, {rows} rows, {count} templates", MASKED_GOAL)


def _causal(scale: Scale) -> list[Row]:
    rows, count = (16, 2) if scale.quick else (200, 8)
    loaded, examples, templates = causal_model(4, 256), review_rows(rows), ENDINGS[:count]
    sides = {
        "workbench": lambda: score_templates(loaded, templates, examples),
        "a forward pass per label word": lambda: word_by_word(loaded, templates, examples, 1),
        "a forward pass per label word, in batches of 32": lambda: word_by_word(loaded, templates, examples, 32),
    }
    return _compared(scale, sides, f"scoring, causal 4x256, {rows} rows, {count} templates on one text", CAUSAL_GOAL)


def _compared(scale: Scale, sides: dict[str, Callable[[], Scores]], work: str, goal: float) -> list[Row]:
    answers: dict[str, Scores] = {}

    def keeping(name: str, run: Callable[[], Scores]) -> Callable[[], None]:
        return lambda: answers.update({name: run()})

    rounds = scale.rounds if scale.quick else 1
    measured = interleaved({name: keeping(name, run) for name, run in sides.items()}, rounds=rounds, warm_up=scale.quick, flops=False)
    ours, *peers = sides
    figures = {name: figure.to_json() for name, figure in measured.items()}
    apart = {peer: _apart(answers[ours], answers[peer]) for peer in peers}
    return [
        Row("P3", work, peer, ratio(measured[ours], measured[peer]), goal, figures=figures | {"largest_difference": apart[peer]})
        for peer in peers
    ]


def _apart(one: Scores, two: Scores) -> float:
    return max(abs(a - b) for first, second in zip(one, two, strict=True) for a, b in zip(first, second, strict=True))


def score_templates(loaded: Any, templates: Sequence[str], examples: list[InputExample]) -> Scores:
    """For each template the probability of the second class, row by row, as the prompt lab computes it."""
    from workbench.serving.scoring import CardScorer

    prompt = PromptPart(templates=list(templates), verbalizer=PROMPT.verbalizer, max_length=LONGEST_PROMPT)
    scorer, cards = CardScorer(loaded, prompt, LABELS, examples), [Card(template) for template in templates]
    scorer.read(cards, len(examples))
    return [scorer.probabilities(card, len(examples))[:, 1].tolist() for card in cards]


def fill_mask(loaded: Any, templates: Sequence[str], examples: list[InputExample], batch: int) -> Scores:
    """The same from a fill-mask pipeline with the label words as its targets; class scores are mean logits, as ours."""
    import torch
    from transformers import pipeline

    words = [word for label in LABELS for word in WORDS[label]]
    pipe = pipeline("fill-mask", model=loaded.model, tokenizer=loaded.tokenizer, device=-1)
    answers = []
    for template in templates:
        prompts = [_filled(template, example.fields["text"], loaded.tokenizer) for example in examples]
        cut = {"truncation": True, "max_length": LONGEST_PROMPT}
        found = pipe(prompts, targets=words, top_k=len(words), batch_size=batch, tokenizer_kwargs=cut)
        scores = [{item["token_str"].strip(): item["score"] for item in row} for row in found]
        logs = torch.tensor([[row[word] for word in words] for row in scores]).log().view(len(scores), 2, -1).mean(dim=2)
        answers.append(torch.softmax(logs, dim=1)[:, 1].tolist())
    return answers


def _filled(template: str, text: str, tokenizer: Any) -> str:
    pieces = parse_template(template).fill({"text": text})
    return "".join(tokenizer.mask_token if piece.kind == "mask" else piece.text for piece in pieces)


def word_by_word(loaded: Any, templates: Sequence[str], examples: list[InputExample], batch: int) -> Scores:
    """The same by reading every prompt with every label word behind it, as evaluation harnesses do, and adding up the log-probabilities
    of the word's tokens; prompts are tokenized beforehand, in the rows' order."""
    import torch

    from workbench.serving.classifier import PromptClassifier

    answers = []
    for template in templates:
        prompt = PromptPart(templates=[template], verbalizer=PROMPT.verbalizer, max_length=LONGEST_PROMPT)
        classifier = PromptClassifier(loaded, prompt, LABELS)
        rows = classifier.encode(examples)
        prompts = [row.variants[0].input_ids[: row.variants[0].mask_positions[0] + 1] for row in rows]
        words = classifier.verbalizer.words
        by_word = torch.stack([_word_scores(loaded, prompts, list(word.token_ids), batch) for word in words], dim=1)
        by_class = torch.stack([by_word[:, [w.label == label for w in words]].mean(dim=1) for label in range(2)], dim=1)
        answers.append(torch.softmax(by_class, dim=1)[:, 1].tolist())
    return answers


def _word_scores(loaded: Any, prompts: list[list[int]], word: list[int], batch: int) -> Any:
    """Log-probability of `word` behind each prompt, [N], from the model's own full logits."""
    import torch

    found = []
    with torch.no_grad():
        for start in range(0, len(prompts), batch):
            rows = [prompt + word for prompt in prompts[start : start + batch]]
            longest = max(map(len, rows))
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
            logs = torch.log_softmax(loaded.model(input_ids=ids, attention_mask=mask, use_cache=False).logits, dim=-1)
            for number, row in enumerate(rows):
                places = range(len(row) - len(word) - 1, len(row) - 1)
                found.append(sum(logs[number, place, token] for place, token in zip(places, word, strict=True)))
    return torch.stack(found)
