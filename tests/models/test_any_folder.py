"""A recipe whose model is a folder as `save_pretrained` leaves it, trained by the command line: BERT and RoBERTa, random weights."""

import json

import pytest
import torch
import transformers as hf

from tests.prompts import tiny_tokenizers
from tests.training.small_run import losses
from workbench.cli import main

BODY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 66}
FOLDERS = {
    "bert": (hf.BertConfig, hf.BertForMaskedLM, tiny_tokenizers.wordpiece, BODY),
    "roberta": (hf.RobertaConfig, hf.RobertaForMaskedLM, tiny_tokenizers.roberta_like, BODY),
}
RECIPE = """
name: any-folder
model: {path: MODEL, device: cpu}
data: {train: rows.csv, validation: others.csv, columns: {text: text, label: label}}
prompt:
  templates: ["{text} it was [MASK] ."]
  verbalizer: {kind: manual, words: {good: [great, good], bad: [terrible]}}
  max_length: 32
method: {name: METHOD}
training: {epochs: 6, batch_size: 12, learning_rate: 0.003, seed: 7}
"""


def make_folder(folder, family):
    config_class, model_class, tokenizer, body = FOLDERS[family]
    vocabulary = tokenizer()
    torch.manual_seed(11)
    config = config_class(**body, vocab_size=len(vocabulary), pad_token_id=vocabulary.pad_token_id)
    model_class(config).save_pretrained(folder)
    vocabulary.save_pretrained(folder)


def command(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(("family", "method"), [("bert", "lora"), ("bert", "full"), ("roberta", "lora"), ("roberta", "full")])
def test_it_trains_and_answers_by_a_path_beside_the_recipe(tmp_path, capsys, family, method):
    make_folder(tmp_path / "my model", family)
    rows = [f"the {'film' if i % 3 else 'plot'} {'wonderful' if i % 2 else 'boring'} {i},{('bad', 'good')[i % 2]}" for i in range(48)]
    for name, part in (("rows.csv", rows[:36]), ("others.csv", rows[36:])):
        (tmp_path / name).write_text("\n".join(["text,label", *part]) + "\n", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("MODEL", "my model").replace("METHOD", method), encoding="utf-8")

    trained = command(capsys, "train", tmp_path / "recipe.yaml", "--runs", tmp_path / "runs")
    assert trained["status"] == "finished" and trained["steps"] == 18
    assert 0 < trained["trainable_parameters"] < trained["total_parameters"] or method == "full"

    # The template is the same for every row but for one word that decides the label: a model that trains gets better at it.
    # LoRA beside random layers moves too little in 18 steps to stand out from dropout.
    steps = [loss for _, loss in losses(tmp_path / "runs" / "runs" / trained["run"])]
    assert method == "lora" or sum(steps[-4:]) < sum(steps[:4])
    # The figures that the run reported, and the page shows, are those of its saved weights on the same rows.
    evaluated = command(capsys, "evaluate", trained["run"], "--data", tmp_path / "others.csv", "--runs", tmp_path / "runs")
    assert evaluated["examples"] == sum(map(sum, evaluated["metrics"]["confusion"])) == 12
    assert {name: evaluated["metrics"][name] for name in trained["metrics"]} == pytest.approx(trained["metrics"], abs=1e-5)
