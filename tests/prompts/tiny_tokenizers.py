"""Small real tokenizers of a few sentences: WordPiece like BERT's, byte-level BPE like RoBERTa's and Qwen's, Unigram like ALBERT's."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SENTENCES = [
    "the movie was great and the plot was good . it was really wonderful !",
    "the film is terrible , bad and boring . it was awful ?",
    "a review of the book : it is great , good , bad or terrible",
    "这本书很好 ， 我很喜欢 。", "这部电影很差 ， 我不满意 。", "满意 不满 喜欢 讨厌",
] * 4


def _finish(tokenizer: Tokenizer, prefix: str, suffix: str, **specials: str) -> PreTrainedTokenizerFast:
    if prefix:
        tokens = [(token, tokenizer.token_to_id(token)) for token in (prefix, suffix)]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{prefix} $A {suffix}", special_tokens=tokens)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **specials)


def wordpieces(sentences: list[str], size: int) -> Tokenizer:
    """BERT's kind, learnt from sentences."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    alphabet = [chr(c) for c in range(33, 127)]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer


@cache
def wordpiece() -> PreTrainedTokenizerFast:
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return _finish(wordpieces(SENTENCES, 600), "[CLS]", "[SEP]", **names)


def byte_level(specials: list[str], sentences: list[str] = SENTENCES, size: int = 700) -> Tokenizer:
    """RoBERTa's and Qwen's kind, learnt from sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer


@cache
def roberta_like() -> PreTrainedTokenizerFast:
    tokenizer = byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _finish(tokenizer, "<s>", "</s>", cls_token="<s>", sep_token="</s>", mask_token="<mask>", **names)


@cache
def qwen_like() -> PreTrainedTokenizerFast:
    return _finish(byte_level(["<|endoftext|>"]), "", "", eos_token="<|endoftext|>", pad_token="<|endoftext|>")


@cache
def albert_like() -> PreTrainedTokenizerFast:
    """Unigram with the special tokens as pieces of the vocabulary, as SentencePiece writes them."""
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({"▁" + w for s in SENTENCES for w in s.split()} | {c for s in SENTENCES for c in s} | {chr(c) for c in range(33, 127)})
    vocabulary = [(s, 0.0) for s in specials] + [("▁", -3.0)] + [(w, -5.0) for w in words if w not in (" ", "▁")]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return _finish(tokenizer, "[CLS]", "[SEP]", **names)
