"""JSON Lines and JSON: flat objects, one per row. Numbers keep the digits that stand in the file; `true` is the text 'true', null is ''."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from workbench.data.encoding import decode
from workbench.data.formats import Source, register_format
from workbench.data.table import Table, build_table, check_value, count, shorten
from workbench.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_END = re.compile("\r\n|\r|\n")
_ROWS_FIX = 'Write a list of flat objects, such as [{"text": "...", "label": "..."}].'


class _TwiceError(ValueError):
    """A key stands twice in one object."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _TwiceError(key)
            seen.add(key)
    return content


# Numbers as text: 1.0 and 1 stay apart, and a number of 5,000 digits is no error.
_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=str, parse_float=str, parse_constant=str)


def stream_jsonl(name: str, lines: Iterable[str], sample: str) -> Iterator[tuple[int, dict[str, str]]]:
    """See `RowStream`."""
    for line, value in _line_objects(name, lines):
        row = _fields(name, line, value)
        for key, content in row.items():
            check_value(name, line, key, content)
        yield line, row


@register_format("jsonl", suffixes=(".jsonl", ".ndjson"), title="JSON Lines", stream=stream_jsonl)
def read_jsonl(source: Source) -> Table:
    """A table from one flat object per line; a key that a row lacks is an empty field."""
    text, encoding = _text(source)
    return _table(source.name, "jsonl", encoding, _line_objects(source.name, _LINE_END.split(text)))


@register_format("json", suffixes=(".json",), title="JSON")
def read_json(source: Source) -> Table:
    """A table from a list of flat objects, or from objects that follow each other as in JSON Lines."""
    text, encoding = _text(source)
    start = _skip(text, 0)
    if text[start] == "[":
        return _table(source.name, "json", encoding, _list_objects(source.name, text, start + 1))
    return _table(source.name, "json", encoding, _stream_objects(source.name, text))


def _text(source: Source) -> tuple[str, str]:
    text, encoding = decode(source.data, name=source.name, encoding=source.encoding)
    if _skip(text, 0) == len(text):
        raise DataError(f"{source.name} is empty.", fix=_ROWS_FIX)
    return text, encoding


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _decode_at(name: str, line: int, text: str, position: int) -> tuple[Any, int]:
    """The value at `position` and where it ends; `line` is the line of `position`."""
    try:
        return _DECODER.raw_decode(text, position)
    except _TwiceError as error:
        raise DataError(
            f"{name}, line {line}: the key '{shorten(str(error))}' stands twice in one object.", fix="Keep one of the two."
        ) from None
    except RecursionError:
        raise DataError(f"{name}, line {line}: values are nested too deeply.", fix=_ROWS_FIX) from None
    except json.JSONDecodeError as error:
        at = line + len(_LINE_END.findall(text, position, error.pos))
        raise DataError(
            f"{name}, line {at}: this is not valid JSON ({error.msg[0].lower()}{error.msg[1:]}).", fix="Correct that line."
        ) from None


def _line_objects(name: str, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for line, content in enumerate(lines, start=1):
        start = _skip(content, 0)
        if start == len(content):
            continue
        value, end = _decode_at(name, line, content, start)
        if _skip(content, end) < len(content):
            raise DataError(f"{name}, line {line}: something follows the object on the same line.", fix="Write one object per line.")
        yield line, value


def _stream_objects(name: str, text: str) -> Iterator[tuple[int, Any]]:
    position, line, counted = _skip(text, 0), 1, 0
    while position < len(text):
        line += len(_LINE_END.findall(text, counted, position))
        counted = position
        value, end = _decode_at(name, line, text, position)
        yield line, value
        position = _skip(text, end)


def _list_objects(name: str, text: str, start: int) -> Iterator[tuple[int, Any]]:
    position, line, counted = _skip(text, start), 1, 0
    closed = text[position : position + 1] == "]"
    while not closed:
        line += len(_LINE_END.findall(text, counted, position))
        counted = position
        value, end = _decode_at(name, line, text, position)
        yield line, value
        end = _skip(text, end)
        closed = text[end : end + 1] == "]"
        if not closed and text[end : end + 1] != ",":
            at = line + len(_LINE_END.findall(text, counted, end))
            raise DataError(f"{name}, line {at}: a comma or the closing bracket of the list is missing.", fix="Correct that line.")
        position = end if closed else _skip(text, end + 1)
    after = _skip(text, position + 1)
    if after < len(text):
        at = line + len(_LINE_END.findall(text, counted, after))
        raise DataError(f"{name}, line {at}: something follows the closing bracket of the list.", fix="Remove what stands after it.")


def _table(name: str, format: str, encoding: str, objects: Iterator[tuple[int, Any]]) -> Table:
    columns: dict[str, None] = {}
    rows: list[tuple[int, dict[str, str]]] = []
    for line, value in objects:
        row = _fields(name, line, value)
        columns.update(dict.fromkeys(row))
        rows.append((line, row))
    if not rows or not columns:
        raise DataError(f"{name} has {count(len(rows), 'row')} and no fields.", fix=_ROWS_FIX)
    records = ((line, [row.get(column, "") for column in columns]) for line, row in rows)
    return build_table(name, format, encoding, list(columns), records)


def _fields(name: str, line: int, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise DataError(f"{name}, line {line}: a row is {_kind(value)}, not an object.", fix=_ROWS_FIX)
    return {key: _as_text(name, line, key, content) for key, content in value.items()}


def _as_text(name: str, line: int, key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if _is_conversation(value):
        return json.dumps(value, ensure_ascii=False)
    raise DataError(
        f"{name}, line {line}: the field '{shorten(key)}' is {_kind(value)}, not a text.", fix="Write its parts as fields of the row."
    )


def _is_conversation(value: Any) -> bool:
    """Whether a list holds messages as ShareGPT (from, value) or chat services (role, content) write them; it stays one field, as JSON."""
    pairs = ({"from", "value"}, {"role", "content"})
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and any(p <= m.keys() for p in pairs) for m in value)


def _kind(value: Any) -> str:
    kinds = {list: "a list", dict: "an object", str: "a text or number", bool: "true or false"}
    return kinds.get(type(value), "null")
