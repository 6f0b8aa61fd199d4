"""A generation run in figures and in words: perplexity, BLEU, ROUGE-L, and what the model wrote at the last evaluation."""

from __future__ import annotations

from typing import Any

from workbench.ui.markup import heading, table
from workbench.ui.text import Words


def writes(evaluations: list[dict[str, Any]]) -> bool:
    """Whether a run's evaluations are those of text generation."""
    return any("perplexity" in event for event in evaluations)


def text_tiles(evaluations: list[dict[str, Any]], t: Words) -> list[tuple[str, str]]:
    """Perplexity at first, now and at its best; the other figures as they are now."""
    if not evaluations:
        return []
    perplexities = [event["perplexity"] for event in evaluations]
    first = "zero_shot" if evaluations[0]["step"] == 0 else "first"
    now = evaluations[-1]
    return [
        (t(f"train.perplexity_{first}"), f"{perplexities[0]:.1f}"),
        (t("train.perplexity_now"), f"{perplexities[-1]:.1f}"),
        (t("train.perplexity_best"), f"{min(perplexities):.1f}"),
        ("BLEU", f"{now['bleu']:.1f}"),
        ("ROUGE-L", f"{now['rouge_l']:.3f}"),
    ]


def samples_html(event: dict[str, Any], t: Words) -> str:
    """Questions, expected answers and the model's own at the last evaluation."""
    if not event:
        return ""
    rows = [(sample["prompt"], sample["expected"], sample["answer"]) for sample in event["samples"]]
    columns = [t("train.sample_prompt"), t("train.sample_expected"), t("train.sample_answer")]
    return heading(t("train.samples", step=event["step"])) + table(columns, rows)
