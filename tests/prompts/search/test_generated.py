"""Generated templates and found label words against direct computation over small vocabularies."""

import itertools

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.models.tiny import make_model
from workbench.errors import ModelError, VerbalizerError
from workbench.prompts.search.fills import FillSearch, Row
from workbench.prompts.search.label_words import combinations, grown, judged, likely_words
from workbench.prompts.search.t5 import T5Writer

ROWS = [Row((20, 21, 22), (5,)), Row((30, 31), (6,)), Row((40, 41, 42, 43), (5,))]
IDS = [10, 11, 12, 13]
PREFIX, SUFFIX, MASK = [2], [3], 4


def nothing():
    """No halt is asked for."""


def asker(model):
    def ask(prompts, positions):
        with torch.no_grad():
            rows = [model(input_ids=torch.tensor([ids])).logits[0, place] for ids, place in zip(prompts, positions, strict=True)]
        return torch.log_softmax(torch.stack(rows), dim=-1)

    return ask


def test_a_wide_beam_of_fills_is_exhaustive_search():
    model = make_model("bert")
    search = FillSearch(asker(model), IDS, PREFIX, SUFFIX, MASK, beam=16)
    best = search.search(ROWS, before=1, behind=1, halt=nothing)[0]
    scores = {}
    for a, b in itertools.product(IDS, IDS):
        total = 0.0
        for row in ROWS:
            first = [2, *row.text, MASK, *row.word, MASK, 3]
            second = [2, *row.text, a, *row.word, MASK, 3]
            with torch.no_grad():
                one = torch.log_softmax(model(input_ids=torch.tensor([first])).logits[0, 1 + len(row.text)], dim=-1)[a]
                two = torch.log_softmax(model(input_ids=torch.tensor([second])).logits[0, 2 + len(row.text) + 1], dim=-1)[b]
            total += float(one) + float(two)
        scores[a, b] = total
    expected = max(scores, key=scores.__getitem__)
    assert (best.before, best.behind) == ((expected[0],), (expected[1],)) and best.score == pytest.approx(scores[expected], abs=1e-4)


def test_a_causal_fill_counts_the_label_word():
    model = make_model("qwen2")
    search = FillSearch(asker(model), IDS, [], [], None, beam=4)
    found = search.search(ROWS, before=1, behind=0, halt=nothing)
    scores = {}
    for a in IDS:
        total = 0.0
        for row in ROWS:
            with torch.no_grad():
                logits = torch.log_softmax(model(input_ids=torch.tensor([[*row.text, a]])).logits[0], dim=-1)
            total += float(logits[len(row.text) - 1, a] + logits[len(row.text), row.word[0]])
        scores[a] = total
    assert [fill.before[0] for fill in found] == sorted(IDS, key=lambda a: -scores[a])
    assert found[0].score == pytest.approx(max(scores.values()), abs=1e-4)


def test_likely_words_and_combinations_against_brute_force():
    generator = torch.Generator().manual_seed(2)
    scores = torch.log_softmax(torch.randn(20, 30, generator=generator) * 2, dim=-1)
    labels = torch.tensor([n % 3 for n in range(20)])
    candidates = likely_words(scores, labels, 3, 4)
    for c, words in enumerate(candidates):
        sums = [float(scores[labels == c, v].sum()) for v in range(30)]
        assert words == sorted(range(30), key=lambda v: -sums[v])[:4]
    everything = [[c for c in range(30)]] * 3
    found = combinations(scores, labels, [words[:12] for words in everything], keep=3)
    best = max(
        (tuple((column,) for column in choice) for choice in itertools.permutations(range(12), 3)),
        key=lambda choice: (judged(scores, labels, choice).accuracy, -judged(scores, labels, choice).loss),
    )
    assert found[0].columns == best and found[0] == judged(scores, labels, best)
    larger = grown(scores, labels, candidates, found[0], words=3)
    assert larger.loss <= found[0].loss and all(len(chosen) <= 3 for chosen in larger.columns)
    assert len({column for chosen in larger.columns for column in chosen}) == sum(map(len, larger.columns))


def test_too_many_combinations_are_cut_to_the_best_candidates():
    scores = torch.log_softmax(torch.randn(8, 200), dim=-1)
    found = combinations(scores, torch.tensor([0, 1, 2, 3] * 2), [list(range(50 * c, 50 * c + 50)) for c in range(4)], keep=1)
    assert all(column[0] % 50 < 14 for column in found[0].columns)  # 14^4 < 50,000 < 15^4


def test_many_classes_with_the_same_likely_words_get_one_each():
    scores = torch.log_softmax(torch.randn(40, 60, generator=torch.Generator().manual_seed(5)), dim=-1)
    labels = torch.arange(40) % 20
    alike = [list(range(30)) for _ in range(20)]  # 2^20 choices are too many, and one word each leaves the same for all
    (found,) = combinations(scores, labels, alike, keep=5)
    assert sorted(column for (column,) in found.columns) == list(range(20))  # the first twenty: no list is taken from further down
    own = [[100 + c, *range(19)] for c in range(20)]
    wide = torch.cat([scores, scores, scores], dim=1)
    (found,) = combinations(wide, labels, own, keep=5)
    assert [column for (column,) in found.columns] == [100 + c for c in range(20)]
    with pytest.raises(VerbalizerError, match="too few candidate words"):
        combinations(scores, labels, [list(range(19)) for _ in range(20)], keep=5)


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    marks = ["<extra_id_0>", "<extra_id_1>", "<extra_id_2>"]
    words = ["<pad>", "</s>", "<unk>", *marks, "great", "bad", "it", "was", *(f"w{n}" for n in range(20))]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", additional_special_tokens=marks
    )
    fast.save_pretrained(folder)
    torch.manual_seed(4)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = hf.T5Config(vocab_size=len(words), **sizes, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    model = hf.T5ForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    return folder


def test_a_t5s_templates_carry_their_likelihood_over_all_rows(t5):
    writer = T5Writer(t5)
    texts, words = ["w1 w2", "w3"], ["great", "bad"]
    found = writer.write(texts, words, beam=32, barred=(), halt=nothing)
    assert found and [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    item = found[0]
    before = writer.tokenizer(item.before, add_special_tokens=False).input_ids
    behind = writer.tokenizer(item.behind, add_special_tokens=False).input_ids
    totals = []
    for end in (writer.marks[2], 1):
        answer = [writer.marks[0], *before, writer.marks[1], *behind, end]
        total = 0.0
        for text, word in zip(texts, words, strict=True):
            inputs = writer.tokenizer(f"{text} <extra_id_0> {word} <extra_id_1>", return_tensors="pt").input_ids
            with torch.no_grad():
                logits = writer.model(input_ids=inputs, decoder_input_ids=torch.tensor([[0, *answer[:-1]]])).logits[0]
            scores = torch.log_softmax(logits, dim=-1)
            total += sum(float(scores[place, token]) for place, token in enumerate(answer) if place)
        totals.append(total)
    assert any(item.score == pytest.approx(total, abs=1e-3) for total in totals)


def test_what_is_no_t5_is_a_sentence(tmp_path):
    with pytest.raises(ModelError):
        T5Writer(tmp_path)
