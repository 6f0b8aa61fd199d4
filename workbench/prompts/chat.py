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
_PLACE = re.compile("\ue000(-?\\d+)\ue001")
_SYSTEM = -1


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
        self._layouts: dict[tuple[int, bool, bool], list[list[int] | int]] = {}

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
            TemplateError: the template asks for a field that the row does not have, or alone is longer than max_length; or the model's
                chat template refuses the conversation.
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
        """Ids up to where the next answer begins. `turns` are what followed the first question, the last of them a question or none.

        Where the whole conversation is longer than max_length its oldest turns are left out.
        """
        return self._assemble(fields, turns, system, answered=False).input_ids

    def whole_lengths(self, rows: Sequence[Conversation]) -> list[int]:
        """Tokens of each conversation with all its answers, before anything is cut to fit max_length.

        Raises:
            TemplateError: the template asks for a field that a row does not have, or the layout refuses the conversation.
        """
        questions = self._question.lengths([row.fields for row in rows])
        lengths = []
        for row, (_, question) in zip(rows, questions, strict=True):
            segments = self._laid_out(len(row.turns), row.system or self.prompt.system, answered=True)
            fixed = sum(len(segment) for segment in segments if isinstance(segment, list))
            lengths.append(fixed + question - len(self._plain.prefix) + sum(map(len, self._texts(row.turns))))
        return lengths

    def _assemble(
        self, fields: dict[str, str], turns: Sequence[Turn], system: str, *, answered: bool, keep_question: bool = False
    ) -> Dialogue:
        system, skipped = system or self.prompt.system, len(self._plain.prefix)
        if not answered:
            fields, turns = self._recent(fields, turns, system)
        segments = self._laid_out(len(turns), system, answered=answered)
        fixed = sum(len(segment) for segment in segments if isinstance(segment, list))
        whole = self._texts(turns)
        texts = self._fitting(fields, whole, self.max_length - fixed, newest=not answered)
        reserved = fixed + sum(map(len, texts)) - skipped
        question = self._question.encode(fields, masks=max(0, reserved) + 1)
        first = question.input_ids[skipped:]
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
            behind_answer = answer and len(ids) == len(whole[segment - 1])
        return dialogue

    def _recent(self, fields: dict[str, str], turns: Sequence[Turn], system: str) -> tuple[dict[str, str], Sequence[Turn]]:
        """The conversation without its oldest turns where the whole of it does not fit; the newest question is never one of them.

        The next question takes the first one's place in a template of one field. Several fields hold more than a question, so there
        the answers and questions behind them go.
        """
        names = self.fields
        while len(turns) >= (2 if len(names) == 1 else 4):
            segments = self._laid_out(len(turns), system, answered=False)
            fixed = sum(len(segment) for segment in segments if isinstance(segment, list)) - len(self._plain.prefix)
            if fixed + self._question.lengths([fields])[0][1] + sum(map(len, self._texts(turns))) <= self.max_length:
                break
            if len(names) == 1:
                fields = {**fields, names[0]: turns[1].text}
            turns = turns[2:]
        return fields, turns

    def _fitting(self, fields: dict[str, str], whole: list[list[int]], room: int, *, newest: bool) -> list[list[int]]:
        """The texts behind the first question, cut where they and the question do not fit into `room` tokens: the longest give way first,
        the question among them as far as its template lets it.

        Args:
            newest: the last text is a question that waits for its answer, and gives way last of all.
        """
        least, most = (count - len(self._plain.prefix) for count in self._question.lengths([fields])[0])
        lengths = [len(ids) for ids in whole]
        if not whole or most + sum(lengths) <= room:
            return whole
        kept_last = min(lengths[-1], max(1, room - least)) if newest else 0
        others = lengths[:-1] if newest else lengths
        left = room - kept_last
        share, *kept = balanced_lengths([most, *others], left)
        if share < least:
            kept = balanced_lengths(others, max(0 if newest else 1, left - least))
        kept += [kept_last] if newest else []
        return [ids[:count] for ids, count in zip(whole, kept, strict=True)]

    def _texts(self, turns: Sequence[Turn]) -> list[list[int]]:
        return [self._text(turn.text, turn.role, first=index == 0) for index, turn in enumerate(turns)]

    def _text(self, text: str, role: str, *, first: bool) -> list[int]:
        # In the plain layout the template says whether a blank stands between question and answer; chat templates break lines.
        blank = " " if role == "assistant" and first and not self.uses_chat_template and self.template.leading_space else ""
        return self._plain.encode(blank + text)

    def _laid_out(self, turns: int, system: str, *, answered: bool) -> list[list[int] | int]:
        """As `_segments` for a first question and `turns` more texts, with the system's words, as text, in their place."""
        segments = self._segments(1 + turns, answered=answered, system=bool(system))
        return [self._plain.encode(system) if segment == _SYSTEM else segment for segment in segments]

    def _segments(self, texts: int, *, answered: bool, system: bool = False) -> list[list[int] | int]:
        """Ids that the layout writes, and between them the numbers of the texts that go there; _SYSTEM where the system's words go."""
        key = (texts, answered, system)
        if key not in self._layouts:
            rendered = self._render([_place(i) for i in range(texts)], _place(_SYSTEM) if system else "", answered)
            parts = _PLACE.split(rendered)
            self._layouts[key] = [int(part) if index % 2 else self._tokenize(part) for index, part in enumerate(parts)]
        return self._layouts[key]

    def _render(self, places: list[str], system: str, answered: bool) -> str:
        from jinja2 import TemplateError as JinjaError  # where transformers renders chat templates

        roles = ["user", "assistant"] * len(places)
        if self.uses_chat_template:
            messages = [{"role": "system", "content": system}] if system else []
            messages += [{"role": role, "content": place} for role, place in zip(roles, places, strict=False)]
            try:
                # Thinking off: an answer then starts where the data's answers start.
                return str(
                    self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=not answered, enable_thinking=False)
                )
            except JinjaError as error:
                raise TemplateError(
                    f"The model's chat template refuses this conversation ({str(error).rstrip('.')}).",
                    fix="Leave the system message empty if there is one, or set prompt.chat to plain.",
                ) from None
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


def _place(number: int) -> str:
    return f"\ue000{number}\ue001"
