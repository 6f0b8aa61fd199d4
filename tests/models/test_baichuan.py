"""Baichuan checkpoints in the published layout, converted, tuned, merged and opened by plain transformers."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import sentencepiece
import torch
import transformers as hf

from tests.models import baichuan_layout as layout
from workbench.cli import main
from workbench.errors import ModelError
from workbench.methods import attach, check_method
from workbench.models import baichuan, transfer
from workbench.models.baichuan import convert_baichuan
from workbench.models.card import model_card
from workbench.models.loading import load_model
from workbench.models.spm import fast_tokenizer, read_sentencepiece
from workbench.models.transfer import CancelledError, Stage
from workbench.recipe import PRESETS, ModelPart
from workbench.ui.markup import stage_text
from workbench.ui.text import Words

DATA = ("en_movie_reviews.csv", "zh_product_reviews.csv")
IDS = torch.tensor([5, 9, 300, 41, 7, 80, 12])


def lines(count: int) -> list[str]:
    """English and Chinese review texts in turn, and some lines with blanks, digits, emoji and control words."""
    texts = []
    for name in DATA:
        with (PRESETS / "data" / name).open(encoding="utf-8", newline="") as file:
            texts.append([row["text"] for row in csv.DictReader(file)][: count // 2])
    odd = ["  two  blanks ", "1234567 and 3.14", "emoji 😀 and 𠮷", "<s> is text </s>", "", " ", "a\tb\nc", "日本語と한국어"]
    odd += ["<unk>", "▁under", "four    blanks", "x      six"]
    return [text for pair in zip(*texts) for text in pair][: count - len(odd)] + odd


@pytest.fixture(scope="module")
def spm_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small SentencePiece BPE models: as Baichuan's (a blank in front, bytes for the unknown), Baichuan 2's (none), and the defaults."""
    folder = tmp_path_factory.mktemp("spm")
    (folder / "text.txt").write_text("\n".join(lines(1200)), encoding="utf-8")
    plain = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True, "split_digits": True}
    # Baichuan 2's has pieces of several blanks.
    second = {"add_dummy_prefix": False, "user_defined_symbols": ["\u2581\u2581", "\u2581\u2581\u2581\u2581"]}
    kinds = {"first": plain | {"add_dummy_prefix": True}, "second": plain | second, "default": {}}
    for name, options in kinds.items():
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text.txt"), model_prefix=str(folder / name), model_type="bpe", vocab_size=2600, character_coverage=0.995,
            pad_id=-1, minloglevel=2, **options,
        )  # fmt: skip
    return {name: folder / f"{name}.model" for name in kinds}


@pytest.mark.parametrize("kind", ["first", "second", "default"])
def test_ids_are_those_of_sentencepiece_on_10000_lines(spm_files: dict[str, Path], kind: str) -> None:
    reference = sentencepiece.SentencePieceProcessor(model_file=str(spm_files[kind]))
    ours = fast_tokenizer(spm_files[kind])
    ours.encode_special_tokens = True
    texts = lines(10_000)
    assert len(texts) == 10_000
    found = [encoding.ids for encoding in ours.encode_batch_fast(texts, add_special_tokens=False)]
    wanted = reference.encode(texts)
    different = [text for text, one, other in zip(texts, found, wanted, strict=True) if one != other]
    assert different == []


@pytest.fixture(scope="module")
def small(spm_files: dict[str, Path]) -> dict[str, object]:
    return layout.SMALL | {"vocab_size": len(read_sentencepiece(spm_files["first"]).pieces)}


@pytest.mark.parametrize(("form", "second"), [("bin", False), ("safetensors", True)])
def test_logits_are_those_of_the_papers(tmp_path: Path, spm_files, small, form: str, second: bool) -> None:
    config = small | (layout.SECOND if second else {"vocab_size": small["vocab_size"]})
    made = layout.write(tmp_path / "source", config, spm_files["second" if second else "first"], form=form, shards=3)
    with pytest.raises(ModelError, match="converted once"):
        load_model(ModelPart(path=str(tmp_path / "source")))
    answer = convert_baichuan(tmp_path / "source", tmp_path / "llama")
    assert answer["shards"] == 3 and len(list((tmp_path / "llama").glob("*.safetensors"))) == 3
    loaded = load_model(ModelPart(path=str(tmp_path / "llama"), device="cpu"))
    assert answer["parameters"] == sum(p.numel() for p in loaded.model.parameters()) and loaded.family.name == "llama"
    with torch.no_grad():
        logits = loaded.model(input_ids=IDS[None]).logits[0]
    torch.testing.assert_close(logits, layout.reference(made, config, IDS, norm_head=second), rtol=1e-4, atol=1e-4)
    text = "这本书很好 and the film too"
    spm = sentencepiece.SentencePieceProcessor(model_file=str(spm_files["second" if second else "first"]))
    assert loaded.tokenizer(text)["input_ids"] == spm.encode(text) and loaded.tokenizer.decode(spm.encode(text)) == text


def test_a_conversion_tells_its_bytes_and_leaves_nothing_where_it_is_cancelled(
    tmp_path: Path, spm_files, small, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(baichuan, "PART_BYTES", 2**12)
    monkeypatch.setattr(transfer, "SECONDS_BETWEEN_REPORTS", 0)
    layout.write(tmp_path / "source", small, spm_files["first"])
    told: list[tuple[Stage, float]] = []
    answer = convert_baichuan(tmp_path / "source", tmp_path / "llama", lambda *stage: told.append(stage))
    assert answer["shards"] == len(told) - 1 > 10 and len(list((tmp_path / "llama").glob("*-of-*.safetensors"))) == answer["shards"]
    assert not list((tmp_path / "llama").glob("*.part"))
    stages = [stage for stage, _ in told]
    assert stages[0].done == 0 and stages[-1].done == answer["bytes"] and sorted(stage.done for stage in stages) == [s.done for s in stages]
    assert {stage.total for stage in stages} == {sum(file.stat().st_size for file in (tmp_path / "source").glob("*.bin"))}
    assert stages[0].seconds_left is None and stages[-1].seconds_left is not None
    assert stage_text(stages[-1], Words("en")).startswith("Converting, ") and " left" in stage_text(stages[-1], Words("en"))

    def cancel(stage: Stage, share: float) -> None:
        if share > 0.3:
            raise CancelledError("source")

    with pytest.raises(CancelledError):
        convert_baichuan(tmp_path / "source", tmp_path / "second", cancel)
    assert {file.name for file in tmp_path.iterdir()} == {"source", "llama"}
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["convert", str(tmp_path / "source"), "--to", str(tmp_path / "third")]) == 0
    assert re.search(r"Converting, [\d.]+ \wB of [\d.]+ \wB, \d+ s left", capsys.readouterr().err)


def test_tuned_merged_and_opened_by_transformers(tmp_path: Path, spm_files, small) -> None:
    layout.write(tmp_path / "source", small, spm_files["first"])
    convert_baichuan(tmp_path / "source", tmp_path / "llama")
    loaded = load_model(ModelPart(path=str(tmp_path / "llama"), device="cpu"))
    attached = attach(loaded, check_method({"name": "lora", "r": 4, "dropout": 0.0}), keep_original=False)
    optimizer = torch.optim.AdamW([p for _, p in attached.parameters()], lr=0.01)
    losses = []
    for _ in range(5):
        loss = loaded.model(input_ids=IDS[None], labels=IDS[None]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    with torch.no_grad():
        tuned = loaded.model(input_ids=IDS[None]).logits
        attached.merge().save_pretrained(tmp_path / "merged")
        loaded.tokenizer.save_pretrained(tmp_path / "merged")
        plain = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", trust_remote_code=False)
        assert type(plain) is hf.LlamaForCausalLM
        torch.testing.assert_close(plain(input_ids=IDS[None]).logits, tuned, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", [{"name": "lora", "r": 4}, {"name": "prefix_tuning", "length": 4}, {"name": "p_tuning", "length": 4}])
def test_from_checkpoint_to_answers_on_the_command_line(tmp_path: Path, spm_files, small, method, capsys) -> None:
    layout.write(tmp_path / "source", small, spm_files["first"])
    assert main(["convert", str(tmp_path / "source"), "--to", str(tmp_path / "llama")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["parameters"] > 0
    recipe = {
        "model": {"path": str(tmp_path / "llama"), "device": "cpu"}, "data": {"split": {"shots": 8, "validation": 8}},
        "prompt": {
            "templates": ["{text} It was [MASK]"], "verbalizer": {"words": {"positive": ["good"], "negative": ["bad"]}}, "max_length": 48,
        },
        "method": method, "training": {"epochs": 2, "learning_rate": 0.02},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    root = ["--runs", str(tmp_path / "root")]
    assert main(["train", str(tmp_path / "recipe.yaml"), *root]) == 0
    run = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert run["status"] == "finished" and 0 < run["trainable_parameters"] < run["total_parameters"]
    few = (PRESETS / "data" / "en_movie_reviews.csv").read_text(encoding="utf-8").splitlines()[:40]
    (tmp_path / "few.csv").write_text("\n".join(few), encoding="utf-8")
    assert main(["evaluate", run["run"], "--data", str(tmp_path / "few.csv"), *root]) == 0
    assert 0 <= json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["accuracy"] <= 1


def test_the_card_of_a_folder_with_nothing_but_the_published_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(layout.BAICHUAN_7B))
    card = model_card(str(tmp_path))
    assert card.parameters == 7_000_559_616  # the published checkpoint's count
    assert (card.layers, card.heads, card.kv_heads, card.hidden_size, card.vocabulary, card.max_length) == (32, 32, 32, 4096, 64000, 4096)


def test_refused(tmp_path: Path, spm_files, small) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "config.json").write_text(json.dumps(layout.BAICHUAN_13B))
    with pytest.raises(ModelError, match="ALiBi"):
        model_card(str(tmp_path / "big"))
    layout.write(tmp_path / "source", small, spm_files["first"])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    with pytest.raises(ModelError, match="not empty"):
        convert_baichuan(tmp_path / "source", tmp_path / "there")
    shard = next((tmp_path / "source").glob("*.bin"))
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read"):
        convert_baichuan(tmp_path / "source", tmp_path / "llama")
    assert not (tmp_path / "llama").exists() and not list(tmp_path.glob(".llama*"))
    shard.unlink()
    with pytest.raises(ModelError, match="lacks 1 of 2"):
        convert_baichuan(tmp_path / "source", tmp_path / "llama")
    with pytest.raises(ModelError, match="SentencePiece"):
        read_sentencepiece(tmp_path / "source" / "config.json")
