"""OpenPrompt's mixed templates (Ding et al. 2022): `{"placeholder": "text_a"} It was {"mask"}.`, one template per line.

    {"placeholder": "text_a"}   {text_a}              "shortenable": False   {text_a|fixed}
    {"meta": "word"}            {word|fixed}          "shortenable": True    {word}
    {"mask"}                    [MASK]                "post_processing"      a filter, from the list below
    {"soft"}                    [SOFT]                {"soft": "it was"}     [SOFT: it was]
    {"soft", "duplicate": 3}    [SOFT*3]              "same": True           one soft token three times
    {"soft": "a", "soft_id": 1} [SOFT#id1: a]         {"soft_id": 1}         [SOFT#id1]
    {"special": "<sep>"}        [SEP]                 {"text": "it"}         it

A soft_id is as many tokens wherever it stands as its first use made, whatever a later use asks for.

`truncate_method` stands in OpenPrompt's configuration: `tail` cuts the end, `head` the beginning, as its documentation says. Which field
gives up how much is the encoder's to say: the longest first. OpenPrompt empties the last one first (tail), the first one first (head), or
takes from each in proportion to its length (balanced, which is `tail` here); with one field there is no difference.

A blank between two parts is kept; several are one.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

from workbench.errors import TemplateError, nearest
from workbench.prompts.formats import register_notation
from workbench.prompts.formats.notation import Imported, Notation
from workbench.prompts.template import MAX_SOFT_TOKENS, Piece, Template, literal, parse_template

KEYS = ("placeholder", "meta", "mask", "soft", "soft_id", "duplicate", "same", "special", "text", "shortenable", "post_processing")
# Lambdas as people write them, by their body with the argument called x.
FILTERS_OF = {
    "x": (),
    "x.rstrip(string.punctuation)": ("strip_punct",),
    "x.strip('.')": ("strip_dots",),
    "x[:-1]": ("drop_last",),
    "x[:1].lower() + x[1:]": ("lower_first",),
    "x[0].lower() + x[1:]": ("lower_first",),
    "x[:1].upper() + x[1:]": ("upper_first",),
    "x[0].upper() + x[1:]": ("upper_first",),
    "x.lower()": ("lower",),
    "x[:1].lower() + x[1:-1]": ("drop_last", "lower_first"),
}
BODIES = {
    ("strip_punct",): "x.rstrip(string.punctuation)", ("strip_dots",): "x.strip('.')", ("drop_last",): "x[:-1]",
    ("lower_first",): "x[:1].lower() + x[1:]", ("upper_first",): "x[:1].upper() + x[1:]", ("lower",): "x.lower()",
    ("drop_last", "lower_first"): "x[:1].lower() + x[1:-1]",
}  # fmt: skip
SEPARATORS = ("<sep>", "[SEP]", "</s>", "<eos>")
OPENINGS = ("<cls>", "<bos>", "[CLS]", "<s>")
TRUNCATIONS = {"tail": "", "head": "|head"}
NAMED = {**TRUNCATIONS, "balanced": TRUNCATIONS["tail"]}


@dataclass(frozen=True)
class _Part:
    """One part of a line: a text, or what stood between braces; `blank` says whether a blank stood in front."""

    blank: str
    text: str
    options: dict[str, Any] | None
    position: int


@register_notation("openprompt")
class MixedTemplate(Notation):
    """OpenPrompt's mixed templates: text with parts in braces such as {"placeholder": "text_a"}."""

    title = "OpenPrompt"
    turn = 1

    def recognizes(self, text: str) -> bool:
        return re.search(r"""\{\s*['"](mask|placeholder|meta|soft|soft_id)['"]""", text) is not None

    def read(self, text: str, truncation: str = "tail") -> Imported:
        if truncation not in NAMED:
            raise TemplateError(f"There is no truncation '{truncation}'.", fix=nearest(truncation, NAMED))
        notes: list[str] = []
        templates = [_template(line.strip(), truncation, notes) for line in text.splitlines() if line.strip()]
        for source in templates:
            if sum(piece.shortenable for piece in parse_template(source).pieces) > 1:
                notes.append(
                    "Of several fields the longest is cut first here; "
                    "OpenPrompt empties one after the other, or cuts all in proportion."
                )
        return Imported("openprompt", tuple(templates), notes=tuple(dict.fromkeys(notes)))

    def write(self, template: Template) -> str:
        numbers: dict[str, int] = {}
        return "".join(_written(piece, numbers) for piece in template.pieces)


def _template(line: str, truncation: str, notes: list[str]) -> str:
    parts = _parts(line)
    source = ""
    soft: dict[int, str] = {}
    for part in parts:
        blank = part.blank if source else ""
        if part.options is None:
            source += blank + literal(part.text)
        else:
            source += blank + _token(part, truncation, soft, notes)
    return source.strip()


def _parts(line: str) -> list[_Part]:
    parts = []
    position = 0
    while position < len(line):
        blank = ""
        while position < len(line) and line[position] == " ":
            blank, position = " ", position + 1
        if position == len(line):
            break
        end = _end(line, position)
        if line[position] == "{":
            parts.append(_Part(blank, "", _options(line[position:end], position), position))
        else:
            parts.append(_Part(blank, line[position:end].rstrip(" "), None, position))
            end = position + len(parts[-1].text)
        position = end
    return parts


def _end(line: str, start: int) -> int:
    """The index behind a text or behind a pair of braces; braces may be nested."""
    if line[start] != "{":
        brace = line.find("{", start)
        return len(line) if brace < 0 else brace
    depth = 0
    for index in range(start, len(line)):
        depth += {"{": 1, "}": -1}.get(line[index], 0)
        if depth == 0:
            return index + 1
    raise TemplateError(f"The '{{' at character {start + 1} is not closed.", fix="Add '}'.", position=start)


def _options(text: str, position: int) -> dict[str, Any]:
    """`{"soft": "it", "soft_id": 1}` or `{"mask"}` as a dict; a lambda becomes its text, and nothing is evaluated."""
    wrong = TemplateError(
        f"Character {position + 1}: {text[:60]} is not a part of an OpenPrompt template.",
        fix='Write it like {"placeholder": "text_a"}.',
        position=position,
    )
    try:
        tree: Any = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise wrong from None
    if isinstance(tree, ast.Set):
        pairs = [(node, ast.Constant(None)) for node in tree.elts]
    elif isinstance(tree, ast.Dict):
        pairs = list(zip(tree.keys, tree.values, strict=True))
    else:
        raise wrong
    options: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, ast.Constant) or not isinstance(value, ast.Constant | ast.Lambda):
            raise wrong
        if key.value not in KEYS:
            raise TemplateError(
                f"Unknown key '{key.value}' at character {position + 1}.", fix=nearest(str(key.value), KEYS), position=position
            )
        options[str(key.value)] = value.value if isinstance(value, ast.Constant) else ast.unparse(value)
    return options


def _token(part: _Part, truncation: str, soft: dict[int, str], notes: list[str]) -> str:
    """A part in our notation; `soft` holds what the soft_ids so far stand for."""
    options = part.options or {}
    if "placeholder" in options or "meta" in options:
        return _field(part, truncation)
    if "mask" in options:
        return "[MASK]"
    if "soft" in options or "soft_id" in options:
        return _soft(part, soft, notes)
    if "special" in options:
        return _special(part, notes)
    if "text" in options:
        if options.get("shortenable"):
            notes.append("Text of a template is never cut here, so its 'shortenable' was left out.")
        return literal(str(options["text"]))
    raise TemplateError(
        f"The part at character {part.position + 1} is neither placeholder, meta, mask, soft, special nor text.",
        fix="Add one of them.",
        position=part.position,
    )


def _field(part: _Part, truncation: str) -> str:
    options = part.options or {}
    kind = "placeholder" if "placeholder" in options else "meta"
    name = str(options[kind])
    if set(name) & set("{}[]|"):
        raise TemplateError(
            f"The name '{name}' at character {part.position + 1} holds a bracket.", fix="Rename the column.", position=part.position
        )
    cut = NAMED[truncation] if options.get("shortenable", kind == "placeholder") else "|fixed"
    return "{" + name + cut + "".join(f"|{found}" for found in _filters(part)) + "}"


def _filters(part: _Part) -> tuple[str, ...]:
    """A post_processing function as filters: a lambda of the fixed list, or the same in quotes."""
    text = (part.options or {}).get("post_processing")
    if text is None:
        return ()
    try:
        tree = ast.parse(str(text).strip(), mode="eval").body
        body = _body(tree)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        body = None
    if body not in FILTERS_OF:
        raise TemplateError(
            f"The post_processing at character {part.position + 1}, {str(text)[:60]}, is not one that is known here.",
            fix=f"Known: {', '.join(f'lambda x: {known}' for known in FILTERS_OF)}.",
            position=part.position,
        )
    return FILTERS_OF[body]


def _body(tree: ast.expr) -> str | None:
    """The body of a one-argument lambda with its argument renamed to x."""
    if not isinstance(tree, ast.Lambda) or len(tree.args.args) != 1:
        return None
    argument = tree.args.args[0].arg
    for node in ast.walk(tree.body):
        if isinstance(node, ast.Name) and node.id == argument:
            node.id = "x"
    return ast.unparse(tree.body)


def _soft(part: _Part, soft: dict[int, str], notes: list[str]) -> str:
    options = part.options or {}
    number = options.get("soft_id")
    if number is not None and (not isinstance(number, int) or number <= 0):
        raise TemplateError(
            f"soft_id {number!r} at character {part.position + 1} is not a whole number above 0.",
            fix="Count from 1.",
            position=part.position,
        )
    if number in soft:
        return soft[number]
    made = _new_soft(part, f"#id{number}" if number is not None else "", notes)
    if number is not None:
        soft[number] = f"[SOFT#id{number}]" * made.count("]")
    return made


def _new_soft(part: _Part, name: str, notes: list[str]) -> str:
    options = part.options or {}
    words, count = options.get("soft"), options.get("duplicate") or 1
    if not isinstance(count, int) or not 1 <= count <= MAX_SOFT_TOKENS:
        raise TemplateError(
            f"duplicate {str(count)[:40]} at character {part.position + 1} is not a number of soft tokens.",
            fix=f"Give a whole number from 1 to {MAX_SOFT_TOKENS}.",
            position=part.position,
        )
    if words:
        if count != 1:
            notes.append("A soft token with words has as many tokens as its words; its 'duplicate' was left out, as OpenPrompt does.")
        return f"[SOFT{name}: {words}]"
    if options.get("same") and count > 1:
        name = name or f"#at{part.position}"
        return f"[SOFT{name}]" * count
    return f"[SOFT{name}{f'*{count}' if count != 1 else ''}]"


def _special(part: _Part, notes: list[str]) -> str:
    token = str((part.options or {}).get("special"))
    if token in SEPARATORS:
        if token == "<eos>":
            notes.append("<eos> became [SEP], the model's separator.")
        return "[SEP]"
    if token in OPENINGS:
        notes.append(f"{token} was left out: every prompt begins with what the model's tokenizer puts there.")
        return ""
    raise TemplateError(
        f"The special token {token} at character {part.position + 1} is not known here.",
        fix=f"Known: {', '.join((*SEPARATORS, *OPENINGS))}.",
        position=part.position,
    )


def _written(piece: Piece, numbers: dict[str, int]) -> str:
    if piece.kind == "mask":
        return '{"mask"}'
    if piece.kind == "special":
        return '{"special": "<sep>"}'
    if piece.kind == "soft":
        return _written_soft(piece, numbers)
    if piece.field is None:
        if set(piece.text) & set("{}"):
            raise TemplateError("OpenPrompt cannot write a brace inside a text.", fix="Remove the braces.", position=piece.position)
        return piece.text
    if piece.cut == "middle":
        raise TemplateError("OpenPrompt cannot cut the middle of a field.", fix="Use tail or head.", position=piece.position)
    kind, usual = ("placeholder", True) if piece.field in ("text_a", "text_b") else ("meta", False)
    written = f'"{kind}": {_quoted(piece.field)}'
    if piece.shortenable is not usual:
        written += f', "shortenable": {piece.shortenable}'
    if piece.filters:
        if piece.filters not in BODIES:
            raise TemplateError(
                f"OpenPrompt has no function for {'|'.join(piece.filters)}.", fix="Use one filter at a time.", position=piece.position
            )
        written += f', "post_processing": lambda x: {BODIES[piece.filters]}'
    return "{" + written + "}"


def _written_soft(piece: Piece, numbers: dict[str, int]) -> str:
    parts = [f'"soft": {_quoted(piece.soft_words)}' if piece.soft_words else '"soft": None']
    if piece.soft_count != 1:
        parts.append(f'"duplicate": {piece.soft_count}')
    if piece.soft_name is None:
        return "{" + ", ".join(parts) + "}"
    if piece.soft_name in numbers:
        return f'{{"soft_id": {numbers[piece.soft_name]}}}'
    numbers[piece.soft_name] = len(numbers) + 1
    return "{" + ", ".join([*parts, f'"soft_id": {numbers[piece.soft_name]}']) + "}"


def _quoted(text: str) -> str:
    """`text` as Python writes it between double quotes."""
    return json.dumps(text, ensure_ascii=False)
