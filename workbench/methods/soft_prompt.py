"""Soft prompt (Lester, Al-Rfou & Constant 2021): trained vectors among the embedded words of a model that stays as it is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from workbench.methods.registry import Options, register
from workbench.methods.soft import SoftMethod, refuse_words_without_text


class SoftPromptOptions(Options):
    """Options of prompt tuning (Lester et al. 2021)."""

    name: Literal["soft_prompt"] = "soft_prompt"
    length: int = Field(20, ge=1, le=1024, description="Soft tokens put in front of a template that has no [SOFT] of its own.")
    init: Literal["vocabulary", "random", "words", "label_words"] = Field(
        "vocabulary", description="Where the vectors start: common words, random numbers, words of yours, or the label words."
    )
    words: str = Field("", max_length=2000, description="The words to start from when init is words; repeated to fill the length.")

    @model_validator(mode="after")
    def _words_are_given(self) -> SoftPromptOptions:
        refuse_words_without_text(self)
        return self


@register
class SoftPrompt(SoftMethod):
    """A table of n x E trained numbers; everything else is frozen."""

    options_type = SoftPromptOptions
    title = "Soft prompt"
    description = "Trains a few invisible words in front of the text, or wherever the template says [SOFT]; the model stays frozen."
    # Prompts need far higher rates than weights (Lester et al. 2021 trained at 0.3 with Adafactor). On the embedded Chinese model (width
    # 256), 16 shots, 20 tokens from common words, 40 steps: 1e-2 takes 200 validation rows from 48 % right to 64.5 %; 5e-2 overshoots
    # (52.5 % at step 20).
    rates = (1e-2, 1e-2, 5e-3)
