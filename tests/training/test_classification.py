"""The objective of classification: soft labels against the formula, and the masked-word loss against the model's own full logits."""

import random

import pytest
import torch

from tests.tiny_runs import make_recipe
from workbench.data.soft_labels import write_soft_labels
from workbench.errors import TrainingError
from workbench.methods import attach, check_method
from workbench.models.pool import ModelPool
from workbench.serving.reading import EncodedExample
from workbench.training.classification import ClassificationObjective, class_loss, soft_label_loss
from workbench.training.masked_words import MaskedWords
from workbench.training.stepper import seed_everything


def test_soft_label_loss_is_the_formula():
    logits = torch.tensor([[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]], dtype=torch.float64)
    q = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=torch.float64)
    t = 2.0
    expected = 0.0
    for row, target in zip(logits, q, strict=True):
        e = [float(torch.exp(x / t)) for x in row]
        expected += sum(float(p) * float(torch.log(p) - torch.log(torch.tensor(v / sum(e), dtype=torch.float64)))
                        for p, v in zip(target, e, strict=True))  # fmt: skip
    got = soft_label_loss(torch.log_softmax(logits, dim=-1), q, t)
    assert float(got) == pytest.approx(expected * t**2, abs=1e-12)
    assert float(soft_label_loss(torch.log(q), q, 1.0)) == pytest.approx(0, abs=1e-12), "a student that agrees loses nothing"


def test_hard_and_soft_rows_add_up():
    log_p = torch.log_softmax(torch.randn(3, 2), dim=-1)
    hard, soft = EncodedExample([], 1, 1), EncodedExample([], 0, 1, (0.75, 0.25))
    expected = -log_p[0, 1] - log_p[2, 1] + soft_label_loss(log_p[1:2], torch.tensor([[0.75, 0.25]]), 2.0)
    assert float(class_loss(log_p, [hard, soft, hard], 2.0)) == pytest.approx(float(expected), abs=1e-6)


@pytest.fixture(scope="module")
def bound(tmp_path_factory):
    recipe = make_recipe(tmp_path_factory.mktemp("objective"), data__split__shots=4, training__lm_loss=0.25)
    objective = ClassificationObjective(recipe)
    loaded = ModelPool().fresh(recipe.model)
    objective.bind(loaded, attach(loaded, check_method(recipe.method)))
    loaded.model.eval()
    return objective


def test_masked_words_are_scored_as_by_the_whole_model(bound):
    words, classifier = bound._words, bound.classifier
    pool = words.pool[:1]
    single, token = MaskedWords(classifier, pool), classifier.loaded.tokenizer
    encoding = pool[0].variants[0]
    seed_everything(1, 1)
    loss = single.loss(1)
    seed_everything(1, 1)
    random.choice(pool), random.choice(pool[0].variants)
    free = [i for span in encoding.spans if span.role in ("text", "template") for i in range(span.start, span.end)]
    chosen = sorted(random.sample(free, max(1, round(len(free) * 0.15))))
    ids = list(encoding.input_ids)
    for place in chosen:
        chance = random.random()
        ids[place] = token.mask_token_id if chance < 0.8 else random.randrange(len(token)) if chance < 0.9 else ids[place]
    logits = classifier.loaded.model(input_ids=torch.tensor([ids])).logits[0]
    expected = torch.nn.functional.cross_entropy(logits[chosen], torch.tensor([encoding.input_ids[i] for i in chosen]))
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)
    assert not set(chosen) & set(encoding.mask_positions)


def test_the_two_losses_are_mixed_by_alpha(bound):
    rows = [0, 1, 2]
    seed_everything(3, 1)
    both = float(bound.loss(rows))
    seed_everything(3, 1)
    words = float(bound._words.loss(3))
    examples = [bound._encoded[row] for row in rows]
    classes = float(class_loss(bound.classifier.log_probabilities(examples), examples))
    assert both == pytest.approx(0.75 * classes + 0.25 * 3 * words, abs=1e-5)


def test_without_unlabelled_rows_there_is_a_sentence(tmp_path):
    recipe = make_recipe(tmp_path, training__lm_loss=0.1)
    objective = ClassificationObjective(recipe)
    loaded = ModelPool().fresh(recipe.model)
    with pytest.raises(TrainingError) as error:
        objective.bind(loaded, attach(loaded, check_method(recipe.method)))
    assert "unlabelled" in error.value.message


def test_soft_labels_of_a_file_reach_the_loss(tmp_path):
    recipe = make_recipe(tmp_path)
    examples = ClassificationObjective(recipe).splits.train.examples[:6]
    write_soft_labels(tmp_path / "soft.jsonl", examples, ("neg", "pos"), [[0.25, 0.75]] * 6)
    changes = {"data.train": str(tmp_path / "soft.jsonl"), "data.columns": {"text": "field_text", "label": "label"}}
    changes |= {"data.split.validation": 0, "data.soft_labels": "probability_", "training.temperature": 2.0}
    objective = ClassificationObjective(recipe.replace(changes))
    loaded = ModelPool().fresh(recipe.model)
    objective.bind(loaded, attach(loaded, check_method(recipe.method)))
    loaded.model.eval()
    batch = objective._encoded
    expected = soft_label_loss(objective.classifier.log_probabilities(batch), torch.tensor([[0.25, 0.75]] * 6), 2.0)
    assert float(objective.loss(list(range(6)))) == pytest.approx(float(expected), abs=1e-6)
