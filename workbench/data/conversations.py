"""Rows for text generation: a question and the answer that the model should learn to give, or whole conversations.

    columns {instruction: instruction, input: input, response: output}   Alpaca; any fields, and `response` for the answer
    columns {messages: conversations}                                    ShareGPT (from, value) or OpenAI (role, content) lists

The fields of the first question go through the recipe's template; a conversation's first question is the field `message`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.data.readers import Reads, read_table
from workbench.data.splits import split_indices
from workbench.data.table import Table, count, rows_where, shorten
from workbench.errors import DataError, nearest
from workbench.recipe import DataPart

RESPONSE, MESSAGES, MESSAGE = "response", "messages", "message"
ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "assistant": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
    "system": "system",
}  # fmt: skip
# Question columns and answer column of layouts that people download.
LAYOUTS = (
    (("instruction", "input"), "output"), (("instruction",), "output"), (("instruction",), "response"), (("question",), "answer"),
    (("prompt",), "completion"), (("prompt",), "response"),
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """One message: role user or assistant, and its text."""

    role: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """Fields of the first question, what follows it (an answer first, answers and questions in turn), and the system's words."""

    guid: str
    fields: dict[str, str]
    turns: tuple[Turn, ...]
    system: str = ""
    line: int = 0

    @property
    def content(self) -> str:
        """Everything of the question, by which leaks and duplicates are found."""
        return "\x1f".join([self.system, *(self.fields[name] for name in sorted(self.fields))])


@dataclass(frozen=True)
class ConversationSplits:
    """What a generation run trains and validates on, with sentences for the person."""

    train: list[Conversation]
    validation: list[Conversation]
    notes: list[str] = field(default_factory=list)


def guess_columns(table: Table) -> dict[str, str] | None:
    """The columns of a known layout (ShareGPT, OpenAI messages, Alpaca, question and answer), or None."""
    known = {column.strip().lower(): column for column in table.columns}
    for name in ("conversations", "messages"):
        if name in known:
            return {MESSAGES: known[name]}
    for questions, answer in LAYOUTS:
        if answer in known and all(name in known for name in questions):
            return {**{name: known[name] for name in questions}, RESPONSE: known[answer]}
    return None


def conversations(table: Table, columns: dict[str, str]) -> list[Conversation]:
    """One conversation per row; rows without a question or an answer have no turns.

    Raises:
        DataError: a column that the file does not have, no answer column, or a list of messages that cannot be read.
    """
    if RESPONSE not in columns and MESSAGES not in columns:
        guessed = guess_columns(table)
        if guessed is None:
            raise DataError(
                f"{table.name}: no column is chosen for the answers.",
                fix=f"Set data.columns.response (or messages) to one of: {shorten(', '.join(table.columns), 200)}.",
            )
        columns = guessed
    places = {name: _place(table, column, name) for name, column in columns.items()}
    if MESSAGES in places:
        place = places[MESSAGES]
        return [_from_messages(table, row[place], line) for row, line in zip(table.rows, table.lines, strict=True)]
    answer = places.pop(RESPONSE)
    if not places:
        raise DataError(f"{table.name}: no column is chosen for the question.", fix="Set data.columns, such as {instruction: instruction}.")
    return [
        Conversation(
            guid=f"{table.name}:{line}",
            fields={name: row[place] for name, place in places.items()},
            turns=(Turn("assistant", row[answer].strip()),) if row[answer].strip() else (),
            line=line,
        )
        for row, line in zip(table.rows, table.lines, strict=True)
    ]


def load_conversations(data: DataPart, read: Reads = read_table) -> ConversationSplits:
    """Reads a recipe's files and splits them by `data.split`; `shots` is the number of training rows in all. `read` as in `load_splits`.

    Raises:
        DataError: unreadable files, missing columns, no row with an answer.
    """
    table = rows_where(read(data.train, encoding=data.encoding), data.only)
    rows, notes = usable(conversations(table, data.columns), table.name)
    if data.validation is not None:
        other = rows_where(read(data.validation, encoding=data.encoding, strict=False), data.only)
        validation, more = usable(conversations(other, data.columns), other.name)
        notes += more
        rest = rows
    else:
        wanted = min(data.split.validation, len(rows) // 2)
        _, held = _split(rows, validation=wanted, shots=None, seed=data.split.seed)
        taken = set(held)
        validation, rest = [rows[i] for i in held], [row for i, row in enumerate(rows) if i not in taken]
    seen = {(row.content, row.turns) for row in validation}
    kept = [row for row in rest if (row.content, row.turns) not in seen]
    if len(kept) < len(rest):
        notes.append(f"{count(len(rest) - len(kept), 'training row')} removed, because the same row stands in validation.")
    chosen, _ = _split(kept, validation=0, shots=data.split.shots, seed=data.split.seed)
    return ConversationSplits([kept[i] for i in chosen], validation, notes)


def _split(rows: Sequence[Conversation], *, validation: int, shots: int | None, seed: int) -> tuple[list[int], list[int]]:
    texts = [row.content + "\x1e" + "\x1f".join(turn.text for turn in row.turns) for row in rows]
    return split_indices(texts, [""] * len(rows), validation=validation, shots=shots, seed=seed)


def questions(table: Table, columns: dict[str, str], fields: Sequence[str]) -> list[Conversation]:
    """What each row asks, in the file's order, for a model to answer: no answer is needed, and one that is there is kept.

    Args:
        columns: the run's; where it took a layout that people download, the columns are found here in the same way.
        fields: of the first question's template. Of whole conversations the last question is the one to answer.

    Raises:
        DataError: a column that the file does not have, or a list of messages that cannot be read.
    """
    known = {column.strip().lower(): column for column in table.columns}
    if not columns:
        listed = next((known[name] for name in ("conversations", "messages") if name in known), None)
        columns = {MESSAGES: listed} if listed and tuple(fields) == (MESSAGE,) else {name: known.get(name.lower(), name) for name in fields}
        answer = next((known[answer] for questions, answer in LAYOUTS if set(questions) == set(fields) and answer in known), None)
        columns |= {RESPONSE: answer} if answer and MESSAGES not in columns else {}
    if MESSAGES in columns:
        place = _place(table, columns[MESSAGES], MESSAGES)
        return [_asked(table, row[place], line) for row, line in zip(table.rows, table.lines, strict=True)]
    places = {name: _place(table, column, name) for name, column in columns.items() if name != RESPONSE}
    answered = table.columns.index(columns[RESPONSE]) if columns.get(RESPONSE) in table.columns else None
    return [
        Conversation(
            guid=f"{table.name}:{line}",
            fields={name: row[place] for name, place in places.items()},
            turns=(Turn("assistant", row[answered].strip()),) if answered is not None and row[answered].strip() else (),
            line=line,
        )
        for row, line in zip(table.rows, table.lines, strict=True)
    ]


def usable(rows: list[Conversation], name: str) -> tuple[list[Conversation], list[str]]:
    """The rows with a question and an answer, and a sentence about the others.

    Raises:
        DataError: there is no such row; `name` is the file's.
    """
    kept = [row for row in rows if row.turns and any(value.strip() for value in row.fields.values())]
    if not kept:
        raise DataError(f"{name}: no row has both a question and an answer.", fix="Check the chosen columns.")
    lost = len(rows) - len(kept)
    return kept, [f"{name}: {count(lost, 'row')} without a question or an answer left out."] if lost else []


def _place(table: Table, column: str, name: str) -> int:
    if column not in table.columns:
        raise DataError(
            f"{table.name}, line 1: there is no column '{shorten(column)}' for '{name}'.",
            fix=f"{nearest(column, table.columns)} Set data.columns.{name} to one of: {shorten(', '.join(table.columns), 200)}.",
        )
    return table.columns.index(column)


def _from_messages(table: Table, value: str, line: int) -> Conversation:
    """A conversation up to its last answer."""
    asked = _asked(table, value, line)
    answered = asked.turns
    # A question that nobody answered teaches nothing.
    while answered and answered[-1].role != "assistant":
        answered = answered[:-1]
    return replace(asked, fields=asked.fields if answered else {MESSAGE: ""}, turns=answered)


def _asked(table: Table, value: str, line: int) -> Conversation:
    """A conversation from its first question on."""
    turns = _turns(table, value, line)
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    turns = [turn for turn in turns if turn.role != "system"]
    # What comes before the first question teaches nothing.
    while turns and turns[0].role != "user":
        turns.pop(0)
    first = turns[0].text if turns else ""
    return Conversation(f"{table.name}:{line}", {MESSAGE: first}, tuple(turns[1:]), system, line)


def _turns(table: Table, value: str, line: int) -> list[Turn]:
    try:
        messages: Any = json.loads(value) if value.strip() else []
    except (ValueError, RecursionError):
        messages = None
    if not isinstance(messages, list) or any(not isinstance(message, dict) for message in messages):
        raise DataError(
            f"{table.name}, line {line}: this is not a list of messages.",
            fix='Write lists such as [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}].',
        )
    turns: list[Turn] = []
    for message in messages:
        role = ROLES.get(str(message.get("from", message.get("role", ""))).lower())
        if role is None:
            raise DataError(
                f"{table.name}, line {line}: a message has the unknown role '{shorten(str(message.get('from', message.get('role'))))}'.",
                fix="Use human and gpt, or user and assistant; system is allowed too.",
            )
        text = _said(message.get("value", message.get("content")), table.name, line)
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, turns[-1].text + "\n" + text)
        else:
            turns.append(Turn(role, text))
    return turns


def _said(content: Any, name: str, line: int) -> str:
    """The text of a message: nothing where it is null, as beside a call of a tool, and its parts joined where it is a list of text parts.

    Raises:
        DataError: a picture, a sound or whatever else is no text.
    """
    parts = content if isinstance(content, list) else [content]
    texts = [part["text"] if isinstance(part, dict) and "text" in part and part.get("type", "text") == "text" else part for part in parts]
    if any(isinstance(text, (dict, list, bool)) for text in texts):
        raise DataError(
            f"{name}, line {line}: a message holds something else than text.", fix="Leave out pictures, sounds and calls of tools."
        )
    return "\n".join(str(text) for text in texts if text is not None).strip()
