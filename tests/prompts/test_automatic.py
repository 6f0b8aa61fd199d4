import math

import pytest
import torch

from tests.prompts.tiny_tokenizers import albert_like, qwen_like, roberta_like, wordpiece
from workbench.errors import VerbalizerError
from workbench.prompts.verbalizers import build_verbalizer

LABELS = ("a", "b", "c")


class Read:
    """A reading with logits of one's own."""

    def __init__(self, logits, tokens=()):
        self._logits, self._tokens = logits, [list(tokens)] * len(logits)

    def logits(self, context, token_ids, *, normalize=False):
        assert context == 1 and (token_ids is None or not normalize)
        chosen = self._logits if token_ids is None else self._logits[:, token_ids]
        return chosen.unsqueeze(1), torch.logsumexp(self._logits, dim=1, keepdim=True)

    def text_tokens(self):
        return self._tokens


def build(tokenizer=None, labels=LABELS, leading_space=True, **options):
    options = {"kind": "automatic", **options}
    return build_verbalizer(options, labels, tokenizer or wordpiece(), causal=False, leading_space=leading_space)


def rows(tokenizer, count=12, labels=3, seed=0):
    torch.manual_seed(seed)
    return torch.randn(count, len(tokenizer)) * 3, torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2][:count]) % labels


def direct(q, labels, label, balance):
    """The likelihood ratio of each word for one label, row by row, as the paper writes it."""
    positive = labels == label
    factor = float((~positive).sum()) / float(positive.sum()) if balance else 1.0
    totals = []
    for word in range(q.shape[1]):
        own = sum(math.log(p) - math.log1p(-p) for p in q[positive, word].tolist())
        rest = sum(math.log1p(-p) - math.log(p) for p in q[~positive, word].tolist())
        totals.append(factor * own + rest)
    return torch.tensor(totals, dtype=torch.float64)


@pytest.mark.parametrize("balance", [True, False])
def test_the_ranking_is_that_of_the_formula(balance):
    tokenizer = wordpiece()
    logits, labels = rows(tokenizer)
    verbalizer = build(words_per_label=4, balance=balance)
    # Two batches of one template and one of another add up.
    verbalizer.fit([(Read(logits[:5]), labels[:5]), (Read(logits[5:]), labels[5:])])
    q = torch.softmax(logits.double(), dim=1)
    scores = torch.stack([direct(q, labels, label, balance) for label in range(3)])
    words = [token for token in range(len(tokenizer)) if verbalizer._is_word(token)]
    place = [{t: i for i, t in enumerate(sorted(words, key=lambda t: -float(scores[label, t])))} for label in range(3)]
    for label, name in enumerate(LABELS):
        mine = [t for t in words if all((place[label][t], label) <= (place[other][t], other) for other in range(3))]
        own = sorted(mine, key=lambda t: place[label][t])[:4]
        ranked = verbalizer.ranking()[name]
        assert [word for word, _ in ranked] == [tokenizer.decode([t]).strip() for t in own]
        assert [score for _, score in ranked] == pytest.approx([float(scores[label, t]) for t in own], rel=1e-5)


def test_only_likely_candidates_and_frequent_words_are_ranked():
    tokenizer = wordpiece()
    logits, labels = rows(tokenizer)
    few = build(candidates=3, words_per_label=50)
    few.fit([(Read(logits), labels)])
    log_q = torch.log_softmax(logits.double(), dim=1)
    words = [t for t in range(len(tokenizer)) if few._is_word(t)]
    likely = {i: set(sorted(words, key=lambda t: -float(log_q[labels == i, t].sum()))[:3]) for i in range(3)}
    assert all(word.token_ids[0] in likely[word.label] for word in few.words) and len(few.words) <= 9
    wanted = [tokenizer.convert_tokens_to_ids(word) for word in ("great", "bad", "good", "film", "plot", "movie")]
    frequent = build(vocabulary=6)
    frequent.fit([(Read(logits, wanted), labels)])
    assert {word.token_ids[0] for word in frequent.words} == set(wanted)


def test_words_are_whole_words_of_the_script():
    verbalizer = build()
    texts = {wordpiece().convert_ids_to_tokens(t) for t in range(len(wordpiece())) if verbalizer._is_word(t)}
    assert {"great", "好", "差", "it"} <= texts and not any(t.startswith("##") or t.startswith("[") for t in texts)
    assert not texts & {"a", ".", "!"}
    for tokenizer in (roberta_like(), qwen_like()):
        spaced, glued = build(tokenizer), build(tokenizer, leading_space=False)
        great = tokenizer.encode(" great", add_special_tokens=False)
        assert len(great) == 1 and spaced._is_word(great[0]) and not glued._is_word(great[0])
    great = albert_like().convert_tokens_to_ids("▁great")
    assert build(albert_like())._is_word(great)


def test_words_come_back_and_score_as_words_by_hand():
    tokenizer = wordpiece()
    logits, labels = rows(tokenizer)
    verbalizer = build(words_per_label=2)
    with pytest.raises(VerbalizerError, match="not been looked for"):
        verbalizer.scores(Read(logits))
    assert verbalizer.state() == {} and verbalizer.needs_fit
    verbalizer.fit([(Read(logits), labels)])
    again = build(words_per_label=2)
    again.load_state(verbalizer.state())
    assert again.ranking() == verbalizer.ranking()
    words = {label: [word for word, _ in ranked] for label, ranked in verbalizer.ranking().items()}
    manual = build_verbalizer({"kind": "manual", "words": words}, LABELS, tokenizer, causal=False, leading_space=True)
    assert torch.allclose(again.scores(Read(logits)), manual.scores(Read(logits)))


def test_a_label_without_rows_is_named():
    logits, _ = rows(wordpiece(), 4)
    with pytest.raises(VerbalizerError, match="no training row of 'b'"):
        build().fit([(Read(logits), torch.tensor([0, 0, 2, 2]))])
