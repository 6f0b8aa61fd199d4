"""The networks: what they compute, what they keep, and that a batch does not change an answer."""

import json

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from workbench.paradigms.from_scratch import FromScratch, NetworkText
from workbench.paradigms.networks import EMBEDDING, FILTERS, HIDDEN, NETWORKS, WIDTHS
from workbench.paradigms.paradigm import Task
from workbench.paradigms.vocabulary import Vocabulary
from workbench.recipe import Recipe
from workbench.training.control import Control

WORDS = ["good", "lovely", "bad", "awful", "film", "the", "a", "food", "very", "quite", "place", "story"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows whose label follows from one of four words among others."""
    folder = tmp_path_factory.mktemp("data")
    generator = torch.Generator().manual_seed(3)
    lines = []
    for number in range(120):
        others = [WORDS[4 + int(i)] for i in torch.randint(8, (5,), generator=generator)]
        word = WORDS[number % 4]
        others.insert(number % 5, word)
        lines.append(json.dumps({"text": f"{' '.join(others)} {number}", "label": "pos" if number % 4 < 2 else "neg"}) + "\n")
    (folder / "rows.jsonl").write_text("".join(lines))
    return Recipe().replace({"data.train": str(folder / "rows.jsonl"), "data.split.validation": 24, "training.seed": 5})


@pytest.mark.parametrize("method", list(NETWORKS))
def test_a_network_learns_is_kept_and_answers_the_same(tmp_path, data, method):
    task = Task(data, method)
    figures = FromScratch().fit(task, tmp_path, Control(), None)
    assert figures.validation["accuracy"] >= 0.9 and figures.trainable_parameters == figures.total_parameters
    opened = FromScratch().open(task, tmp_path, None)
    fields = [example.fields for example in task.splits.validation.examples]
    rows = torch.tensor(opened.probabilities(fields))
    right = [opened.labels[i] == e.label for i, e in zip(rows.argmax(dim=1), task.splits.validation.examples, strict=True)]
    assert sum(right) / len(right) == pytest.approx(figures.validation["accuracy"])
    alone = torch.tensor([opened.probabilities([row])[0] for row in fields[:6]])
    assert torch.allclose(rows[:6], alone, atol=1e-6)


@pytest.mark.parametrize("method", list(NETWORKS))
def test_the_same_seed_gives_the_same_network(tmp_path, data, method):
    short = data.replace({"data.split.shots": 8})
    states = []
    for name in ("a", "b"):
        FromScratch().fit(Task(short, method), tmp_path / name, Control(), None)
        states.append(NetworkText.load(tmp_path / name / "final").network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_parameters_follow_the_papers_formulas():
    """TextCNN: words x 128, three widths of 100 filters with biases, 300 x C and biases. LSTM: four gates, two ways, two biases each."""
    counts = {name: sum(p.numel() for p in network(50, 3).parameters()) for name, network in NETWORKS.items()}
    assert counts["textcnn"] == 50 * EMBEDDING + sum(FILTERS * (width * EMBEDDING + 1) for width in WIDTHS) + 3 * (3 * FILTERS + 1)
    lstm = 2 * 4 * HIDDEN * (EMBEDDING + HIDDEN + 2)
    assert counts["bilstm"] == 50 * EMBEDDING + lstm + 2 * HIDDEN + 3 * (2 * HIDDEN + 1)


@pytest.mark.parametrize("method", list(NETWORKS))
def test_padding_says_nothing(method):
    torch.manual_seed(0)
    network = NETWORKS[method](20, 2).eval()
    short, lengths = torch.tensor([[3, 4]]), torch.tensor([2])
    padded = torch.tensor([[3, 4, 0, 0, 0, 0, 0, 0, 0, 0]])
    with torch.no_grad():
        assert torch.allclose(network(short, lengths), network(padded, lengths), atol=1e-6)


def test_two_directions_over_padded_rows_are_one_bidirectional_lstm_over_packed_rows():
    """States and gradients against the textbook way, with rows of several lengths."""
    torch.manual_seed(0)
    network = NETWORKS["bilstm"](20, 2).eval()
    whole = torch.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True, bidirectional=True)
    ways = {"": network.forwards, "_reverse": network.backwards}
    whole.load_state_dict({name + way: value for way, one in ways.items() for name, value in one.state_dict().items()})
    ids, lengths = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0], [9, 0, 0, 0]]), torch.tensor([4, 2, 1])
    packed = pack_padded_sequence(network.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
    states = pad_packed_sequence(whole(packed)[0], batch_first=True)[0]
    scores = network.attention(torch.tanh(states)).squeeze(2).masked_fill(ids == 0, float("-inf"))
    summary = (torch.softmax(scores, dim=1).unsqueeze(2) * states).sum(dim=1)
    expected, answered = network.output(torch.tanh(summary)), network(ids, lengths)
    assert torch.allclose(answered, expected, atol=1e-6)
    wanted = torch.autograd.grad(expected.square().sum(), [network.embedding.table.weight, whole.weight_hh_l0_reverse])
    given = torch.autograd.grad(answered.square().sum(), [network.embedding.table.weight, network.backwards.weight_hh_l0])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(wanted, given, strict=True))


def test_the_convolutions_shares_add_up_to_its_score(tmp_path, data):
    task = Task(data.replace({"data.split.shots": 16}), "textcnn")
    FromScratch().fit(task, tmp_path, Control(), None)
    opened = NetworkText.load(tmp_path / "final")
    fields = {"text": "a lovely film the food quite"}
    why = opened.why(fields, "pos")
    ids = torch.tensor([opened.vocabulary.encode(fields["text"])])
    with torch.no_grad():
        scores = opened.network(ids, torch.tensor([6]))[0]
    bias = opened.network.output.bias.detach()
    own, other = opened.labels.index("pos"), opened.labels.index("neg")
    expected = float((scores[own] - bias[own]) - (scores[other] - bias[other]))
    assert sum(reason.weight for reason in why.reasons) == pytest.approx(expected, abs=1e-4)
    assert all(phrase in fields["text"] for phrase, _ in why.phrases)


def test_the_lstm_is_asked_by_leaving_words_out(tmp_path, data):
    task = Task(data.replace({"data.split.shots": 30}), "bilstm")
    FromScratch().fit(task, tmp_path, Control(), None)
    why = FromScratch().open(task, tmp_path, None).why({"text": "the food film lovely a place"}, "pos")
    strongest = max(why.reasons, key=lambda reason: reason.weight)
    assert why.text[strongest.start : strongest.end] == "lovely" and len(why.reasons) == 6


def test_words_come_from_training_texts_alone():
    vocabulary = Vocabulary.of(["The film, the film!", "it's GOOD"])
    assert vocabulary.words[:2] == ("film", "the") and "it's" in vocabulary.words
    assert vocabulary.encode("the unheard film") == [3, 1, 2] and vocabulary.encode("  ") == [1]
    chinese = Vocabulary.of(["手机很好ABC 123。"])
    assert [unit for unit, _, _ in chinese.units("很好abc123")] == ["很", "好", "abc", "123"]


def test_a_stop_leaves_nothing_that_looks_done(tmp_path, data):
    control = Control()
    control.request_stop()
    assert FromScratch().fit(Task(data, "textcnn"), tmp_path, control, None) is None
    assert not (tmp_path / "final").exists()
