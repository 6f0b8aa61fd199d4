"""Chat encoding against the chat template rendered and tokenized whole."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.prompts.tiny_tokenizers import qwen_like
from workbench.data.conversations import Conversation, Turn
from workbench.errors import TemplateError
from workbench.prompts.chat import IGNORED, ChatEncoder
from workbench.recipe import PromptPart

# The layout that Qwen2's tokenizer_config.json publishes, without its default system message.
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    made = copy.deepcopy(qwen_like())
    made.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"], "eos_token": "<|endoftext|>"})
    made.chat_template = CHATML
    return made


def encoder(tokenizer, **prompt) -> ChatEncoder:
    part = PromptPart(templates=["{message} [MASK]"], **prompt)
    return ChatEncoder(tokenizer, part, max_length=prompt.get("max_length", 128))


def talk(*texts: str, system: str = "") -> Conversation:
    turns = [Turn("assistant" if i % 2 == 0 else "user", text) for i, text in enumerate(texts[1:])]
    return Conversation("x", {"message": texts[0]}, tuple(turns), system)


def test_ids_are_those_of_the_template_rendered_whole(tokenizer) -> None:
    encoded = encoder(tokenizer).encode(talk("hello there", "good day", "and now", "the end", system="be kind"))
    messages = [{"role": "system", "content": "be kind"}]
    messages += [{"role": r, "content": c} for r, c in zip(["user", "assistant"] * 2, ["hello there", "good day", "and now", "the end"])]
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    assert encoded.input_ids == tokenizer(whole, add_special_tokens=False)["input_ids"]
    learnt = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    assert learnt == "good day<|im_end|>the end<|im_end|>"


def test_a_question_ends_where_the_answer_begins(tokenizer) -> None:
    chat = encoder(tokenizer)
    whole, question = chat.encode(talk("hello", "good day")), chat.question({"message": "hello"})
    assert whole.input_ids[: len(question)] == question
    assert all(label == IGNORED for label in whole.labels[: len(question)]) and whole.labels[len(question)] != IGNORED
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in chat.stop_ids


def test_control_tokens_in_a_text_are_text(tokenizer) -> None:
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    encoded = encoder(tokenizer).encode(talk("a <|im_end|> b", "c <|im_end|> d"))
    assert encoded.input_ids.count(end) == 2 and "a <|im_end|> b" in tokenizer.decode(encoded.input_ids)


def test_plain_layout_ends_with_the_end_of_text(tokenizer) -> None:
    encoded = encoder(tokenizer, chat="plain").encode(talk("hello", "good day"))
    assert tokenizer.decode(encoded.input_ids) == "hello good day<|endoftext|>"
    assert tokenizer.decode([label for label in encoded.labels if label != IGNORED]) == " good day<|endoftext|>"


@settings(deadline=None, max_examples=30)
@given(question=st.integers(1, 300), answer=st.integers(1, 300), length=st.integers(24, 96))
def test_every_length_keeps_an_answer(tokenizer, question: int, answer: int, length: int) -> None:
    chat = ChatEncoder(tokenizer, PromptPart(templates=["{message} [MASK]"]), max_length=length)
    encoded = chat.encode(talk("good " * question, "day " * answer))
    assert len(encoded.input_ids) == len(encoded.labels) <= length and encoded.answer_tokens > 0


def test_nothing_is_cut_while_everything_fits(tokenizer) -> None:
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    row = talk("hi", "day " * 20)
    length = encoder(tokenizer).whole_lengths([row])[0]
    for limit in (length, length + 9):
        encoded = ChatEncoder(tokenizer, PromptPart(templates=["{message} [MASK]"]), max_length=limit).encode(row)
        assert len(encoded.input_ids) == length and end in encoded.labels
    cut = ChatEncoder(tokenizer, PromptPart(templates=["{message} [MASK]"]), max_length=length - 1).encode(row)
    # The short question stays whole, and the answer's end is not learnt where it was cut off.
    assert len(cut.input_ids) == length - 1 and end not in cut.labels
    assert "user\nhi<|im_end|>" in tokenizer.decode(cut.input_ids)


def test_a_long_chat_loses_its_oldest_turns_and_no_part_of_the_newest_question(tokenizer) -> None:
    said = list(talk("", "old answer " * 8, "second", "newer", "what is the last word?").turns)
    fields = {"message": "first question " * 4}
    prompt = PromptPart(templates=["Ask: {message} [MASK]"])
    whole = ChatEncoder(tokenizer, prompt, max_length=512).question(fields, said)
    assert "old answer" in tokenizer.decode(whole)
    short = ChatEncoder(tokenizer, prompt, max_length=len(whole) - 1).question(fields, said)
    text = tokenizer.decode(short)
    assert text.startswith("<|im_start|>user\nAsk: second<|im_end|>") and "newer" in text and "old answer" not in text
    assert text.endswith("what is the last word?<|im_end|>\n<|im_start|>assistant\n")


def test_a_template_of_several_fields_keeps_them_and_the_newest_question(tokenizer) -> None:
    prompt = PromptPart(templates=["{document} {message} [MASK]"])
    said = [Turn("assistant", "old answer " * 8), Turn("user", "second"), Turn("assistant", "newer " * 30), Turn("user", "the last word?")]
    fields = {"document": "a long story " * 10, "message": "first"}
    chat = ChatEncoder(tokenizer, prompt, max_length=80)
    text = tokenizer.decode(chat.question(fields, said))
    assert text.startswith("<|im_start|>user\na long story") and "old answer" not in text and "second" not in text
    assert text.endswith("the last word?<|im_end|>\n<|im_start|>assistant\n") and len(chat.question(fields, said)) <= 80


def test_control_tokens_in_a_system_message_are_text(tokenizer) -> None:
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    encoded = encoder(tokenizer).encode(talk("a", "b", system="be <|im_end|> kind"))
    assert encoded.input_ids.count(end) == 3 and "be <|im_end|> kind" in tokenizer.decode(encoded.input_ids)


def test_a_chat_template_that_knows_no_system_message_says_so(tokenizer) -> None:
    made = copy.deepcopy(tokenizer)
    # As Gemma's does.
    made.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    assert encoder(made).encode(talk("a", "b")).answer_tokens
    with pytest.raises(TemplateError, match="System role not supported") as caught:
        encoder(made).encode(talk("a", "b", system="be kind"))
    assert "system message" in caught.value.fix


def test_chat_without_a_template_is_refused() -> None:
    bare = copy.deepcopy(qwen_like())  # the tokenizers of that module are shared
    bare.add_special_tokens({"eos_token": "<|endoftext|>"})
    with pytest.raises(TemplateError, match="no chat template"):
        encoder(bare, chat="chat")
