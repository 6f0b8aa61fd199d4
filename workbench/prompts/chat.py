"""Conversations to token ids: the model's own chat template (or a plain layout) around texts that can never turn into control tokens.

The template is rendered once with placeholders where the texts stand. What it writes itself is tokenized with its special tokens; the
texts are tokenized as text, so "<|im_end|>" in an answer is ten characters. Only the answers are learnt, each with the token that ends it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.data.conversations import Conversation, Turn
from workbench.errors import TemplateError
from workbench.prompts.encoding import Encoding, PromptEncoder, balanced_lengths
from workbench.prompts.template import parse_template
from workbench.prompts.tokenization import plain_tokenizer

if TYPE_CHECKING:
    from workbench.prompts.soft import SoftSlots
    from workbench.recipe import PromptPart

IGNORED = -100
_PLACE = re.compile("\ue000(\\d+)\ue001")


@dataclass
class Dialogue:
    """A conversation as a model reads it.

    Args:
        input_ids: [T].
        labels: [T], IGNORED outside the answers.
        question: the first question under the template; what its tokenizer puts in front is not part of the conversation.
        question_start: where the question's first own token stands in input_ids.
    """

    input_ids: list[int]
    labels: list[int]
    question: Encoding | None = None
    question_start: int = 0

    @property
    def answer_tokens(self) -> int:
        """Tokens that are learnt. The first token of a sequence has nothing before it that could predict it."""
        return sum(label != IGNORED for label in self.labels[1:])


class ChatEncoder:
    """Encodes conversations for one tokenizer; made once per prompt.

    Args:
        prompt: its first template makes the first question from a row's fields; [MASK] stands where the answer begins.
        max_length: tokens per conversation.
        soft: the run's soft tokens, if its method has some.

    Raises:
        TemplateError: a template that does not parse, or `chat` for a tokenizer that has no chat template.
    """

    def __init__(self, tokenizer: Any, prompt: PromptPart, *, max_length: int, soft: SoftSlots | None = None) -> None:
        self.tokenizer, self.prompt, self.max_length = tokenizer, prompt, max_length
        self._plain = plain_tokenizer(tokenizer)
        self.template = parse_template(prompt.templates[0])
        self._question = PromptEncoder(self.template, tokenizer, max_length=max_length, causal=True, soft=soft)
        self.uses_chat_template = prompt.chat != "plain" and bool(tokenizer.chat_template)
        if prompt.chat == "chat" and not self.uses_chat_template:
            raise TemplateError("This model's tokenizer has no chat template.", fix="Set prompt.chat to plain.")
        names = sorted({token for token in tokenizer.all_special_tokens if token} | set(tokenizer.get_added_vocab()), key=len, reverse=True)
        self._specials = re.compile("|".join(map(re.escape, names))) if names else None
        self._ids = {name: tokenizer.convert_tokens_to_ids(name) for name in names}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that make the first question."""
        return self.template.fields

    @property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: the end of text, and what the chat template writes behind an answer."""
        ends = {self.tokenizer.eos_token_id} - {None}
        behind = self._segments(2, answered=True)[-1]
        if isinstance(behind, list) and behind and self._is_special(behind[0]):
            ends.add(behind[0])
        return sorted(ends)

    def encode(self, conversation: Conversation) -> Dialogue:
        """A conversation with all its answers.

        Raises:
            TemplateError: the template asks for a field that the row does not have, or alone is longer than max_length.
        """
        return self._assemble(conversation.fields, conversation.turns, conversation.system, answered=True)

    def roles(self, conversation: Conversation) -> list[tuple[int, str]]:
        """The tokens of `encode` with what each is, for looking at: answer (learnt), text:FIELD, template, soft, or special for what
        the layout writes.

        Raises:
            TemplateError: as `encode`.
        """
        dialogue = self._assemble(conversation.fields, conversation.turns, conversation.system, answered=True, keep_question=True)
        roles = ["special" if label == IGNORED else "answer" for label in dialogue.labels]
        skipped = len(self._plain.prefix)
        for span in dialogue.question.spans if dialogue.question else []:
            for place in range(max(span.start, skipped), span.end):
                name = f"text:{span.field}" if span.field is not None else span.role
                roles[dialogue.question_start + place - skipped] = name
        return list(zip(dialogue.input_ids, roles, strict=True))

    def question(self, fields: dict[str, str], turns: Sequence[Turn] = (), *, system: str = "") -> list[int]:
        """Ids up to where the next answer begins. `turns` are what followed the first question, the last of them a question or none."""
        return self._assemble(fields, turns, system, answered=False).input_ids

    def _assemble(
        self, fields: dict[str, str], turns: Sequence[Turn], system: str, *, answered: bool, keep_question: bool = False
    ) -> Dialogue:
        system = system or self.prompt.system
        texts = [self._text(turn.text, turn.role, first=index == 0) for index, turn in enumerate(turns)]
        segments = self._segments(1 + len(turns), answered=answered, system=system)
        fixed = sum(len(segment) for segment in segments if isinstance(segment, list))
        # An answer may take half of the room; the first question is then cut as its template says.
        budget = max(1, (self.max_length - fixed) // 2)
        whole = [len(text) for text in texts]
        texts = [text[:kept] for text, kept in zip(texts, balanced_lengths(whole, budget), strict=True)]
        reserved = fixed + sum(map(len, texts)) - len(self._plain.prefix)
        question = self._question.encode(fields, masks=max(0, reserved) + 1)
        first = question.input_ids[len(self._plain.prefix) :]
        dialogue = Dialogue([], [], question if keep_question else None)
        behind_answer = False
        for segment in segments:
            if isinstance(segment, list):
                ends = behind_answer and bool(segment) and self._is_special(segment[0])
                dialogue.input_ids += segment
                dialogue.labels += [segment[0] if ends else IGNORED] * bool(segment) + [IGNORED] * (len(segment) - 1)
                behind_answer = False
                continue
            if segment == 0:
                dialogue.question_start = len(dialogue.input_ids)
            ids = first if segment == 0 else texts[segment - 1]
            answer = segment > 0 and turns[segment - 1].role == "assistant"
            dialogue.input_ids += ids
            dialogue.labels += ids if answer else [IGNORED] * len(ids)
            behind_answer = answer and len(ids) == whole[segment - 1]
        return dialogue

    def _text(self, text: str, role: str, *, first: bool) -> list[int]:
        # In the plain layout the template says whether a blank stands between question and answer; chat templates break lines.
        blank = " " if role == "assistant" and first and not self.uses_chat_template and self.template.leading_space else ""
        return self._plain.encode(blank + text)

    def _segments(self, texts: int, *, answered: bool, system: str = "") -> list[list[int] | int]:
        """Ids that the layout writes, and between them the numbers of the texts that go there."""
        rendered = self._render([f"\ue000{i}\ue001" for i in range(texts)], system, answered)
        parts = _PLACE.split(rendered)
        return [int(part) if index % 2 else self._tokenize(part) for index, part in enumerate(parts)]

    def _render(self, places: list[str], system: str, answered: bool) -> str:
        roles = ["user", "assistant"] * len(places)
        if self.uses_chat_template:
            messages = [{"role": "system", "content": system}] if system else []
            messages += [{"role": role, "content": place} for role, place in zip(roles, places, strict=False)]
            # Thinking off: an answer then starts where the data's answers start.
            return str(
                self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=not answered, enable_thinking=False)
            )
        end = self.tokenizer.eos_token or "\n"
        start = self.tokenizer.decode(self._plain.prefix) + (system + "\n" if system else "")
        turns = [place if role == "user" else place + end for role, place in zip(roles, places, strict=False)]
        return start + "".join(turns)

    def _tokenize(self, text: str) -> list[int]:
        if self._specials is None:
            return self._plain.encode(text)
        ids: list[int] = []
        end = 0
        for match in self._specials.finditer(text):
            ids += self._plain.encode(text[end : match.start()]) + [self._ids[match.group()]]
            end = match.end()
        return ids + self._plain.encode(text[end:])

    def _is_special(self, token: int) -> bool:
        return token in self._ids.values()
