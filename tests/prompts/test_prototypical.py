import pytest
import torch

from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import build_verbalizer
from workbench.prompts.verbalizers.prototypical import Prototypes, pair_loss

LABELS = ("a", "b")


class Read:
    def __init__(self, hidden):
        self._hidden = hidden

    def hidden(self, position, *, transformed):
        assert position == "mask" and not transformed
        return self._hidden


def build(**options):
    return build_verbalizer({"kind": "prototypical", **options}, LABELS, None, causal=False, leading_space=True)


def test_means_are_class_means_and_scores_their_cosines():
    hidden, labels = torch.randn(7, 5), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    verbalizer = build(prototypes="means", temperature=0.5)
    with pytest.raises(VerbalizerError, match="not been taken"):
        verbalizer.scores(Read(hidden))
    verbalizer.fit([(Read(hidden[:3]), labels[:3]), (Read(hidden[3:]), labels[3:])])
    means = torch.stack([hidden[labels == label].mean(dim=0) for label in (0, 1)])
    expected = torch.nn.functional.cosine_similarity(hidden.unsqueeze(1), means.unsqueeze(0), dim=-1) / 0.5
    assert torch.allclose(verbalizer.scores(Read(hidden)), expected, atol=1e-6)
    again = build(prototypes="means", temperature=0.5)
    again.load_state(verbalizer.state())
    assert torch.equal(again.scores(Read(hidden)), verbalizer.scores(Read(hidden)))
    assert verbalizer.auxiliary_loss(Read(hidden), labels) is None
    with pytest.raises(VerbalizerError, match="no training row of 'b'"):
        build(prototypes="means").fit([(Read(hidden), torch.zeros(7, dtype=torch.long))])


def test_the_pair_loss_is_the_published_double_sum():
    # L_s = -1/(N^2 K^2) sum_n sum_ij log(exp S(v_i^n, v_j^n) / sum_n'j' exp S(v_i^n, v_j'^n')), here N times that, N = 3, K = 4.
    torch.manual_seed(0)
    vectors, labels = torch.randn(12, 6), torch.arange(3).repeat_interleave(4)
    total = 0.0
    for i in range(12):
        similarities = torch.stack([torch.cosine_similarity(vectors[i], vectors[j], dim=0) for j in range(12)])
        for j in range(12):
            if labels[i] == labels[j]:
                total -= float(similarities[j] - torch.log(similarities.exp().sum()))
    assert float(pair_loss(vectors, labels)) == pytest.approx(3 * total / (3**2 * 4**2), rel=1e-5)


def test_learned_prototypes_project_and_compare():
    verbalizer = build(dimension=4)
    verbalizer.module = Prototypes(5, 4, 2, "cpu")
    hidden = torch.randn(3, 5)
    projected = hidden @ verbalizer.module.project.weight.T
    expected = torch.nn.functional.cosine_similarity(projected.unsqueeze(1), verbalizer.module.prototypes.unsqueeze(0), dim=-1)
    assert torch.allclose(verbalizer.scores(Read(hidden)), expected, atol=1e-6)
    labels = torch.tensor([0, 1, 0])
    assert torch.allclose(verbalizer.auxiliary_loss(Read(hidden), labels), pair_loss(projected, labels), atol=1e-6)
    assert not verbalizer.needs_fit and set(verbalizer.state()) == {"project.weight", "prototypes"}
