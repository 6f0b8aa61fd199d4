"""Template and fields to token ids: every mask asked for is always there, and only text that may be cut is cut.

The template's own tokens are counted first; what is left of `max_length` is shared among the fields, the longest giving way first.
Template text is tokenized once and kept; the fields of many rows go through the tokenizer in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import TemplateError
from workbench.prompts.soft import FRONT, SoftSlots, SoftToken, refuse_soft
from workbench.prompts.template import Cut, Piece, Template
from workbench.prompts.tokenization import plain_tokenizer


@dataclass(frozen=True)
class Span:
    """Tokens start..end (end excluded) of an encoding and where they come from.

    Args:
        role: text, template, mask, special or soft.
        field: the field's name when the role is text.
    """

    start: int
    end: int
    role: str
    field: str | None = None


@dataclass(frozen=True)
class Removed:
    """Tokens of a field that did not fit, and the place in the prompt where they would stand."""

    at: int
    field: str
    ids: list[int]


@dataclass
class Encoding:
    """One prompt as a model reads it.

    Args:
        mask_positions: where a label word's tokens are read; for a causal model the tokens just before them. Empty when a template for
            a masked model has no [MASK].
        removed_tokens: tokens of the fields that did not fit.
        removed: those tokens themselves, where asked for.
    """

    input_ids: list[int]
    mask_positions: list[int]
    label: int | None = None
    spans: list[Span] = field(default_factory=list)
    removed_tokens: int = 0
    removed: list[Removed] = field(default_factory=list)


@dataclass
class _Part:
    """Tokens of one piece on their way into a prompt."""

    role: str
    ids: list[int]
    field: str | None = None
    cut: Cut = "fixed"


class PromptEncoder:
    """Encodes rows with one template and one tokenizer; made once per prompt, cheap to call.

    Args:
        max_length: tokens per prompt, special tokens included.
        causal: the model continues the prompt, so nothing may stand behind the mask.
        soft: the run's soft tokens, or None when the method has none; with them, a template without [SOFT] gets some in front.

    Raises:
        TemplateError: text behind the mask of a causal model, a tokenizer without a mask, soft tokens without a method for them.
    """

    def __init__(self, template: Template, tokenizer: Any, *, max_length: int, causal: bool, soft: SoftSlots | None = None) -> None:
        self.template = soft.prepare(template) if soft else template
        self.max_length = max_length
        self.causal = causal
        self.soft = soft
        self._plain = plain_tokenizer(tokenizer)
        self._static: dict[str, list[int]] = {}
        self._mask_id: int | None = tokenizer.mask_token_id
        self._separator_id: int | None = tokenizer.sep_token_id
        starts = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0)
        self._start_id = next(i for i in starts if i is not None)
        if not causal and self._mask_id is None and any(piece.kind == "mask" for piece in template.pieces):
            raise TemplateError(
                "This model's tokenizer has no mask token.", fix="Choose a masked model such as BERT, or load this one as causal."
            )
        if causal:
            self._check_causal()
        self.soft_tokens = self._soft_tokens()

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role that a token of this prompt can have in the coloured preview."""
        return ("special", "template", "mask", "soft", *(f"text:{name}" for name in self.template.fields))

    def encode(
        self, fields: dict[str, str], *, masks: int = 1, label: int | None = None, continuation: Sequence[int] = ()
    ) -> Encoding:
        """One row; see `encode_many`."""
        return self.encode_many([fields], masks=masks, labels=[label], continuation=continuation)[0]

    def encode_many(
        self,
        rows: Sequence[dict[str, str]],
        *,
        masks: int = 1,
        labels: Sequence[int | None] | None = None,
        continuation: Sequence[int] = (),
        keep_removed: bool = False,
    ) -> list[Encoding]:
        """Prompts of many rows, the fields tokenized together.

        Args:
            masks: mask tokens that [MASK] becomes. A causal prompt has none: it ends before the mask and leaves masks - 1 free.
            continuation: causal only: the first tokens of a label word, appended so that its later tokens can be read.
            keep_removed: also say which tokens did not fit, to show them.

        Raises:
            TemplateError: when what may not be cut is longer than max_length.
        """
        laid_out, tokens = self._tokenized(rows)
        given = labels if labels is not None else [None] * len(rows)
        reserved = max(masks - 1, len(continuation)) if self.causal else 0
        encodings = []
        for row, label in zip(laid_out, given, strict=True):
            parts = [self._part(piece, text, tokens, masks) for piece, text in row]
            whole = [part.ids for part in parts]
            removed = self._cut(parts, reserved)
            encodings.append(self._assemble(parts, label, removed, list(continuation)))
            if keep_removed and removed:
                encodings[-1].removed = self._removed(parts, whole)
        return encodings

    def lengths(self, rows: Sequence[dict[str, str]]) -> list[tuple[int, int]]:
        """Tokens of each row's prompt where all that may be cut is gone, and where nothing is; special tokens included, and one mask.

        Raises:
            TemplateError: a row lacks a field that the template asks for.
        """
        laid_out, tokens = self._tokenized(rows)
        found = []
        for row in laid_out:
            parts = [self._part(piece, text, tokens, 1) for piece, text in row]
            least = self._around + sum(len(part.ids) for part in parts if part.cut == "fixed")
            found.append((least, self._around + sum(len(part.ids) for part in parts)))
        return found

    @property
    def _around(self) -> int:
        """Special tokens that the tokenizer puts around a prompt."""
        return len(self._plain.prefix) + (0 if self.causal else len(self._plain.suffix))

    def _lay_out(self, pieces: list[Piece]) -> list[tuple[Piece, str]]:
        """Pieces with the text to tokenize: a blank goes with the word behind it, and none stands around other tokens. At the start and
        behind a separator there is one where the template has one; behind a new line, which separates for a causal model, there is none."""
        laid_out: list[tuple[Piece, str]] = []
        blank, opening, first = "", True, True
        added = self._plain.blanks == "added"
        spaced = added or self.template.source.startswith(" ")
        for piece, behind in zip(pieces, [*pieces[1:], None], strict=True):
            if piece.kind == "mask" and self.causal:
                break
            if piece.kind != "text":
                laid_out.append((piece, ""))
                # A mask or soft token stands for a word, so the blank behind it belongs to the next one.
                # Soft tokens in front leave the text behind them what it was: the opening of the prompt, unless a blank is asked for.
                blank, opening = "", piece.kind == "special" or (piece.kind == "soft" and opening)
                first = piece.kind == "special" or piece.position == FRONT
                if piece.kind == "special":
                    own = self._separator_id is not None
                    spaced = added or (own and behind is not None and behind.field is None and behind.text.startswith(" "))
                else:
                    spaced = added or (spaced and piece.position == FRONT)
                continue
            text = blank + piece.text
            if opening and first:
                text = text.lstrip(" ")
            core = text.rstrip(" ")
            blank = text[len(core) :]
            if core:
                laid_out.append((piece, " " + core if opening and spaced else core))
                opening = False
        return laid_out

    def _tokenized(self, rows: Sequence[dict[str, str]]) -> tuple[list[list[tuple[Piece, str]]], dict[str, list[int]]]:
        """The rows laid out, and the tokens of every text that a field brings; those of the template are kept."""
        laid_out = [self._lay_out(self.template.fill(row)) for row in rows]
        wanted = {text for row in laid_out for piece, text in row if piece.kind == "text" and piece.field is None}
        missing = sorted(wanted - self._static.keys())
        self._static.update(zip(missing, self._plain.encode_batch(missing), strict=True))
        texts = list(dict.fromkeys(text for row in laid_out for piece, text in row if piece.field is not None))
        return laid_out, dict(zip(texts, self._plain.encode_batch(texts), strict=True))

    def _part(self, piece: Piece, text: str, tokens: dict[str, list[int]], masks: int) -> _Part:
        if piece.kind == "mask":
            return _Part("mask", [self._mask_id or 0] * masks)
        if piece.kind == "special":
            return _Part("special", self._separator())
        if piece.kind == "soft":
            soft = self.soft_tokens[piece.position]
            start = (self.soft.start if self.soft else 0) + soft.offset
            return _Part("soft", list(range(start, start + soft.count)))
        if piece.field is None:
            return _Part("template", self._static[text])
        return _Part("text", tokens[text], piece.field, piece.cut)

    def _separator(self) -> list[int]:
        if self._separator_id is not None:
            return [self._separator_id]
        if "\n" not in self._static:
            self._static["\n"] = self._plain.encode("\n")
        return self._static["\n"]

    def _cut(self, parts: list[_Part], reserved: int) -> int:
        """Shortens the parts in place until everything fits; the number of tokens removed."""
        shortenable = [part for part in parts if part.cut != "fixed"]
        fixed = self._around + reserved + sum(len(part.ids) for part in parts if part.cut == "fixed")
        if fixed > self.max_length:
            long_field = max((p for p in parts if p.role == "text" and p.cut == "fixed"), key=lambda p: len(p.ids), default=None)
            which = f"The template with its fixed field {{{long_field.field}}}" if long_field and long_field.ids else "The template alone"
            raise TemplateError(
                f"{which} takes {fixed} tokens, and max_length is {self.max_length}.",
                fix="Shorten the template, let more of it be cut, or raise max_length.",
            )
        lengths = [len(part.ids) for part in shortenable]
        kept = balanced_lengths(lengths, self.max_length - fixed)
        for part, count in zip(shortenable, kept, strict=True):
            part.ids = _keep(part.ids, count, part.cut)
        return sum(lengths) - sum(kept)

    def _removed(self, parts: list[_Part], whole: list[list[int]]) -> list[Removed]:
        """What cutting took from each part; `whole` are the parts' tokens before."""
        found = []
        start = len(self._plain.prefix)
        for part, ids in zip(parts, whole, strict=True):
            count = len(part.ids)
            if count < len(ids):
                kept_first = {"head": 0, "middle": (count + 1) // 2}.get(part.cut, count)
                found.append(Removed(start + kept_first, part.field or "", ids[kept_first : kept_first + len(ids) - count]))
            start += count
        return found

    def _assemble(self, parts: list[_Part], label: int | None, removed: int, continuation: list[int]) -> Encoding:
        ids: list[int] = []
        spans: list[Span] = []
        masks: list[int] = []

        def add(role: str, more: list[int], name: str | None = None) -> None:
            if more:
                spans.append(Span(len(ids), len(ids) + len(more), role, name))
                ids.extend(more)

        add("special", self._plain.prefix)
        for part in parts:
            if part.role == "mask":
                masks = list(range(len(ids), len(ids) + len(part.ids)))
            add(part.role, part.ids, part.field)
        if self.causal:
            if not ids:
                add("special", [self._start_id])
            masks = [len(ids) - 1 + i for i in range(len(continuation) + 1)]
            add("mask", continuation)
        else:
            add("special", self._plain.suffix)
        return Encoding(ids, masks, label, spans, removed)

    def _check_causal(self) -> None:
        index = next((i for i, piece in enumerate(self.template.pieces) if piece.kind == "mask"), len(self.template.pieces))
        for piece in self.template.pieces[index + 1 :]:
            if piece.kind != "text" or piece.field is not None or piece.text.strip():
                raise TemplateError(
                    "Something stands behind [MASK], but a causal model only reads what comes before.",
                    fix=f"End the template with [MASK], for instance: {self._ending_with_mask(index)}",
                    position=piece.position,
                )

    def _ending_with_mask(self, mask_index: int) -> str:
        """The template's source with what stands behind the mask removed, or moved to the front when it holds fields."""
        source, position = self.template.source, self.template.pieces[mask_index].position
        end = source.index("]", position) + 1
        before, token, behind = source[:position], source[position:end], source[end:]
        has_field = any(piece.field is not None for piece in self.template.pieces[mask_index + 1 :])
        return f"{behind.strip()} {before.strip()} {token}".replace("  ", " ") if has_field else before + token

    def _soft_tokens(self) -> dict[int, SoftToken]:
        """Soft tokens by the position of their piece."""
        if self.soft is not None:
            return self.soft.tokens(self.template)
        refuse_soft(self.template)
        return {}


def balanced_lengths(lengths: Sequence[int], budget: int) -> list[int]:
    """How many tokens each text keeps: the longest give way first, until the sum is within `budget`."""
    if sum(lengths) <= budget:
        return list(lengths)
    kept = [0] * len(lengths)
    left = budget
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for place, index in enumerate(order):
        kept[index] = min(lengths[index], left // (len(order) - place))
        left -= kept[index]
    return kept


def _keep(ids: list[int], count: int, cut: Cut) -> list[int]:
    if len(ids) <= count:
        return ids
    if cut == "head":
        return ids[len(ids) - count :]
    if cut == "middle":
        head = (count + 1) // 2
        return ids[:head] + ids[len(ids) - (count - head) :]
    return ids[:count]
