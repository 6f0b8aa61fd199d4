"""P3: zero-shot scores of many templates on the same rows, next to transformers' fill-mask pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.bench.comparison import Row, Scale, comparison
from workbench.bench.measure import interleaved, ratio
from workbench.data.dataset import InputExample, dataset_from
from workbench.data.readers import read_table
from workbench.prompts.cards import Card
from workbench.prompts.template import parse_template
from workbench.recipe import PRESETS, PromptPart

LABELS = ("negative", "positive")
WORDS = {"negative": ["terrible", "bad"], "positive": ["great", "good"]}
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
MAX_LENGTH = 256
WANTED = 12.0


@comparison("P3", "zero-shot scores of templates")
def scoring(scale: Scale) -> list[Row]:
    """A 4x256 masked model with a vocabulary of 30,522; the same prompts, and class probabilities that agree to 1e-4."""
    rows, count = (32, 2) if scale.quick else (1000, 8)
    loaded, examples, templates = _model(), _examples(rows), TEMPLATES[:count]
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}

    def workbench() -> None:
        ours["answer"] = score_templates(loaded, templates, examples)

    def pipeline_of(batch: int) -> Any:
        return lambda: theirs.update(answer=fill_mask(loaded, templates, examples, batch))

    sides = {"workbench": workbench, "pipeline": pipeline_of(1), "pipeline in batches of 32": pipeline_of(32)}
    measured = interleaved(sides, rounds=1 if not scale.quick else scale.rounds, warm_up=scale.quick, flops=False)
    apart = max(abs(a - b) for one, two in zip(ours["answer"], theirs["answer"], strict=True) for a, b in zip(one, two, strict=True))
    work = f"scoring, 4x256, {rows} rows, {count} templates"
    figures = {name: figure.to_json() for name, figure in measured.items()} | {"largest_difference": apart}
    return [
        Row("P3", work, f"transformers fill-mask {peer}", ratio(measured["workbench"], measured[peer]), WANTED, figures=figures)
        for peer in list(sides)[1:]
    ]


def score_templates(loaded: Any, templates: Sequence[str], examples: list[InputExample]) -> list[list[float]]:
    """For each template the probability of the second class, row by row, as the prompt lab computes it."""
    from workbench.serving.scoring import CardScorer

    prompt = PromptPart(templates=list(templates), verbalizer={"kind": "manual", "words": WORDS}, max_length=MAX_LENGTH)
    scorer = CardScorer(loaded, prompt, LABELS, examples)
    return [scorer.probabilities(Card(template), len(examples))[:, 1].tolist() for template in templates]


def fill_mask(loaded: Any, templates: Sequence[str], examples: list[InputExample], batch: int) -> list[list[float]]:
    """The same from a fill-mask pipeline with the label words as its targets; class scores are mean logits, as ours."""
    import torch
    from transformers import pipeline

    words = [word for label in LABELS for word in WORDS[label]]
    pipe = pipeline("fill-mask", model=loaded.model, tokenizer=loaded.tokenizer, device=-1)
    answers = []
    for template in templates:
        prompts = [_filled(template, example.fields["text"], loaded.tokenizer) for example in examples]
        cut = {"truncation": True, "max_length": MAX_LENGTH}
        found = pipe(prompts, targets=words, top_k=len(words), batch_size=batch, tokenizer_kwargs=cut)
        scores = [{item["token_str"].strip(): item["score"] for item in row} for row in found]
        logs = torch.tensor([[row[word] for word in words] for row in scores]).log().view(len(scores), 2, -1).mean(dim=2)
        answers.append(torch.softmax(logs, dim=1)[:, 1].tolist())
    return answers


def _filled(template: str, text: str, tokenizer: Any) -> str:
    pieces = parse_template(template).fill({"text": text})
    return "".join(tokenizer.mask_token if piece.kind == "mask" else piece.text for piece in pieces)


def _examples(rows: int) -> list[InputExample]:
    table = read_table(PRESETS / "data" / "en_movie_reviews.csv")
    # Rows that name a special token would be two different prompts: the pipeline reads it as one.
    plain = [e for e in dataset_from(table, {"text": "text", "label": "label"}).examples if "[" not in e.fields["text"]]
    return plain[:rows]


def _model() -> Any:
    """Randomly initialised: what is measured does not depend on what a model knows."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    from workbench.models.families import family_of
    from workbench.models.loading import LoadedModel

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(PRESETS / "models" / "tiny-en", trust_remote_code=False)
    config = BertConfig(vocab_size=30522, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    model = BertForMaskedLM(config).eval()
    return LoadedModel(model, tokenizer, family_of(model, "masked"), "masked", "4x256", "", torch.device("cpu"), "none")
