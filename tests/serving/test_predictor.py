import pytest

from tests.tiny_runs import make_recipe
from workbench.models.loading import load_model
from workbench.serving.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    recipe = make_recipe(tmp_path_factory.mktemp("predictor"))
    return Predictor(load_model(recipe.model), None, recipe, ("neg", "pos"))


def test_answers_keep_the_order_whatever_the_lengths(predictor):
    texts = ["film", "the food was lovely " * 5, "", "bad"]
    together = predictor.predict([{"text": text} for text in texts])
    for text, answer in zip(texts, together, strict=True):
        alone = predictor.predict([{"text": text}])[0]
        assert alone.probabilities == pytest.approx(answer.probabilities, abs=1e-6)
        assert answer.label == max(answer.probabilities, key=answer.probabilities.get)
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_label_words_only_when_asked(predictor):
    assert predictor.predict([{"text": "film"}], label_words=False)[0].label_words == {}
    assert set(predictor.predict([{"text": "film"}])[0].label_words) == {"great", "terrible"}


def test_nothing_asked_nothing_answered(predictor):
    assert predictor.predict([]) == []
