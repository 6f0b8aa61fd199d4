"""Drawings that follow from a card alone, as well-formed SVG."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import transformers as hf

from tests.models.baichuan_layout import BAICHUAN_7B
from tests.models.test_card import QWEN_7B
from workbench.models.card import ModelCard, model_card
from workbench.models.card import card_of as described
from workbench.models.published import published_of
from workbench.recipe import ModelPart
from workbench.ui.drawing import ATTENTION, QUERY, drawing, ideas
from workbench.ui.text import Words


def card_of(folder: Path, config: dict) -> ModelCard:
    (folder / "config.json").write_text(json.dumps(config))
    return model_card(ModelPart(path=str(folder), dtype="bfloat16"))


def boxes(svg: str, colour: str) -> int:
    root = ElementTree.fromstring(svg)
    return sum(e.get("fill") == colour and e.get("height") == "12.0" for e in root.iter("{http://www.w3.org/2000/svg}rect"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_qwen_draws_28_query_heads_on_4(tmp_path: Path, language: str) -> None:
    card, t = card_of(tmp_path, QWEN_7B), Words(language)
    svg = drawing(card, t)
    assert (boxes(svg, QUERY), boxes(svg, ATTENTION)) == (28, 4)
    texts = [e.text for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "28 \u00d7" in texts and texts.count("RMSNorm") == 3 and "SwiGLU" in texts
    said = " ".join(ideas(card, t))
    assert "57,344" in said and "401,408" in said and re.search(r"(\(| )7 ", said)
    assert published_of(card).name == "Qwen2.5-7B-Instruct"


def test_baichuan_and_a_masked_model(tmp_path: Path) -> None:
    card, t = card_of(tmp_path, BAICHUAN_7B), Words("en")
    assert (boxes(drawing(card, t), QUERY), boxes(drawing(card, t), ATTENTION)) == (32, 32)
    assert published_of(card).name == "Baichuan-7B"
    masked = model_card("embedded:tiny-zh")
    texts = [e.text for e in ElementTree.fromstring(drawing(masked, t)).iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("LayerNorm") == 2 and "SwiGLU" not in texts and published_of(masked) is None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_norms_are_drawn_where_the_architecture_has_them(language: str) -> None:
    t = Words(language)

    def texts(config: hf.PreTrainedConfig) -> list[str]:
        drawn = drawing(described(config, "causal", "x"), t)
        return [e.text for e in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]

    gemma = texts(hf.Gemma3TextConfig(num_hidden_layers=2))
    assert gemma.count("RMSNorm") == 5 and t("draw.head_norms") in gemma
    assert texts(hf.GPT2Config()).count("LayerNorm") == 3 and t("draw.head_norms") not in texts(hf.GPT2Config())
    assert texts(hf.Qwen3Config(num_hidden_layers=2)).count("RMSNorm") == 3
    mamba = texts(hf.MambaConfig(num_hidden_layers=2))
    assert t("draw.mixing") in mamba and not {t("draw.attention"), t("draw.feed_forward"), "RMSNorm"} & set(mamba)
    said = ideas(described(hf.Gemma3TextConfig(num_hidden_layers=2), "causal", "x"), t)
    assert {t("idea.head_norms"), t("idea.geglu"), t("idea.local")} <= set(said)
