"""Bytes to text: which encoding, decided from evidence, or refused.

In this order: a byte-order mark; UTF-16 without one, by its line ends and delimiters; strict UTF-8; UTF-8 with a few damaged bytes,
which is refused with the line; GB18030 when it decodes and the characters are the ones Chinese is written with; Latin-1 or
Windows-1252 when accented letters stand among plain ones. Anything else is refused with a guess, because a wrong guess reads as
text too, and nobody sees it.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from workbench.errors import DataError, EncodingError

AUTO = "auto"
OFFERED = (
    "utf-8", "gb18030", "big5", "utf-16", "latin-1", "cp1252", "shift_jis", "euc_jp", "euc_kr", "cp1251",
)  # fmt: skip
"""Encodings that a person is likely to need, the likeliest first; `decode` takes every other that Python knows too."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The characters that make up about half of running Chinese text, traditional forms included.
_COMMON = frozenset(
    "的一是了我不在人有这他们个上来大到说就时要出会可你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如"
    "都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点"
    "很太差书买店房间服务质量电影喜欢值东西真快满意非常也给让觉送货正负评价這個們來說時會對過後發還進開長機沒電買書店質價歡"
)
_SAMPLE_BYTES = 1_000_000
_RUN = re.compile(rb"[A-Za-z\x8a\x8c\x8e\x9a\x9c\x9e\x9f\xa2\xa4-\xa6\xa8\xaa\xac\xad\xaf\xb1-\xba\xbc-\xbe\xc0-\xff]{3,}")
_HIGH = re.compile(rb"[\x80-\xff]+")
_NO_FILE_ENCODINGS = ("idna", "punycode", "undefined", "mbcs", "oem")
_UNKNOWN_FIX = "Choose its encoding{guess} on the Data tab or as data.encoding, or save the file as UTF-8."
# What files that are called so hold in practice, by Windows' and browsers' reading of the name: these decode all of the plain encoding and
# the characters that it lacks, among them a few of everyday Chinese.
_WIDER = {"big5": "big5hkscs", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}


def decode(data: bytes, *, name: str, encoding: str = AUTO) -> tuple[str, str]:
    """The text of `data` and the encoding that was used; a byte-order mark is not part of the text.

    Raises:
        EncodingError: the declared encoding does not fit, or none can be told with certainty.
        DataError: this is no text.
    """
    chosen = chosen_encoding(data, name=name, encoding=encoding)
    try:
        text = data.decode(chosen)
    except (UnicodeError, ValueError) as error:
        start = getattr(error, "start", 0)
        raise EncodingError(
            f"{name}, line {_line(data, start)}: the bytes are not {chosen}.", fix="Choose another encoding, or save the file as UTF-8."
        ) from None
    text = text.removeprefix("\ufeff")
    position = text.find("\x00")
    if position >= 0:
        line = 1 + len(re.findall("\r\n|\r|\n", text[:position]))
        raise DataError(f"{name}, line {line}: there is a NUL byte, so this is not plain text.", fix="Save the file as plain UTF-8 text.")
    return text, chosen


def chosen_encoding(data: bytes, *, name: str, encoding: str = AUTO) -> str:
    """The codec for `data`: the declared one, or with `auto` the one that is found in it.

    Raises:
        EncodingError: there is no such encoding, or none can be told with certainty.
    """
    if encoding == AUTO:
        return detect(data, name=name)
    known = _known(encoding, name)
    # A mark that agrees with the choice is no part of the text.
    marked = next((marked for mark, marked in _MARKS if data.startswith(mark)), "")
    return marked if marked and known.startswith(marked.removesuffix("-sig")) else known


def speaks_for_itself(data: bytes) -> bool:
    """Whether the bytes leave no doubt about their encoding: a byte-order mark, or UTF-8 from the first to the last. A NUL or an escape
    may belong to encodings that also look like it."""
    return any(data.startswith(mark) for mark, _ in _MARKS) or (b"\x00" not in data and b"\x1b" not in data and _is_utf8(data))


def common_name(codec: str) -> str:
    """The name by which people know a codec, as it is offered."""
    return next((name for name in OFFERED if _WIDER.get(name) == codec), codec)


def is_judged(encoding: str) -> bool:
    """Whether an encoding that was found rests on how likely the characters are, and so may be another after all."""
    return encoding in ("gb18030", "latin-1", "cp1252")


def detect(data: bytes, *, name: str) -> str:
    """The name of the encoding of `data` by the rules at the top.

    Raises:
        EncodingError: no encoding fits with certainty.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return marked
    if b"\x00" in data and (wide := _utf16(data)):
        return wide
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        damaged_at = error.start
    if _mostly_utf8(data):
        raise EncodingError(
            f"{name}, line {_line(data, damaged_at)}: byte 0x{data[damaged_at]:02X} does not belong to UTF-8, although the rest does.",
            fix="Correct the damaged character on that line and save the file as UTF-8.",
        )
    if _looks_chinese(data):
        return "gb18030"
    if not _looks_western(data):
        raise EncodingError(f"{name}: the encoding cannot be told with certainty.", fix=_UNKNOWN_FIX.format(guess=_guess(data)))
    return "latin-1" if not re.search(rb"[\x80-\x9f]", data) else "cp1252"


def _known(encoding: str, name: str) -> str:
    try:
        found = codecs.lookup(encoding)
    except (LookupError, ValueError):
        found = None
    # Codecs such as base64 or zlib are no text encodings, and the escape codecs would read backslashes in texts as commands.
    if found is None or not getattr(found, "_is_text_encoding", False) or "escape" in found.name or found.name in _NO_FILE_ENCODINGS:
        fix = "Choose utf-8, gb18030, big5, utf-16, latin-1, cp1252 or shift_jis."
        raise EncodingError(f"{name}: there is no text encoding {encoding!r}.", fix=fix)
    return {"iso8859-1": "latin-1", **_WIDER}.get(found.name, found.name)


def _utf16(data: bytes) -> str | None:
    """UTF-16 without a mark: the byte order in which delimiters and line ends appear, if the NUL bytes are no strays in UTF-8."""
    if len(data) % 2:
        return None
    if data.count(0) < 0.1 * len(data) and _is_utf8(data.replace(b"\x00", b"")):
        return None
    found: dict[str, int] = {}
    for candidate in ("utf-16-le", "utf-16-be"):
        try:
            text = data.decode(candidate)
        except UnicodeDecodeError:
            continue
        # In the other byte order these would be U+0A00, U+2C00 and the like, which no text holds; counting NUL bytes alone is
        # misled by U+4E00, the most frequent Chinese numeral.
        structure = len(re.findall("[\r\n,;\t]", text))
        sample = text[:10_000]
        unassigned = sum(unicodedata.category(c) in ("Cn", "Co") for c in sample)
        if structure and "\x00" not in text and unassigned <= 0.02 * len(sample):
            found[candidate] = structure
    return max(found, key=lambda candidate: found[candidate], default=None)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _mostly_utf8(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    whole = sum(len(run) for run in re.findall("[^\x00-\x7f]+", text)) - damaged
    return whole >= 2 * damaged


def _looks_chinese(data: bytes) -> bool:
    """GB18030 decodes, its bytes stand in runs, and the characters are frequent ones."""
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return False
    runs = _HIGH.findall(data[:_SAMPLE_BYTES])
    in_runs = sum(len(run) for run in runs if len(run) > 1)
    if in_runs < 0.7 * sum(map(len, runs)):
        return False
    ideographs = [c for c in text[:_SAMPLE_BYTES] if "\u3400" <= c <= "\u9fff"]
    if not ideographs:
        return False
    common = sum(c in _COMMON for c in ideographs)
    usual = sum(c in _COMMON or _first_level(c) for c in ideographs)
    return usual >= 0.4 * len(ideographs) and (common >= 0.08 * len(ideographs) or (len(ideographs) < 20 and common > 0))


def _first_level(character: str) -> bool:
    """GB2312 level 1, the 3,755 most used characters; pairs of accented Latin letters and Cyrillic fall behind it."""
    pair = character.encode("gb18030")
    return 0xB0 <= pair[0] <= 0xD7 and pair[1] >= 0xA1


def _looks_western(data: bytes) -> bool:
    """Decodes as Windows-1252, without control characters, and its words are plain letters with an accent here and there."""
    if re.search(rb"[\x81\x8d\x8f\x90\x9d]|[\x01-\x08\x0e-\x1a]", data):
        return False
    words = [word for word in _RUN.findall(data[:_SAMPLE_BYTES]) if not word.isascii()]
    foreign = sum(1 for word in words if sum(byte >= 0x80 for byte in word) > 0.7 * len(word))
    return foreign == 0 or foreign < 0.1 * len(words)


def _guess(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:65_536]).best()
    return f" (it may be {common_name(best.encoding)})" if best is not None else ""


def _line(data: bytes, position: int) -> int:
    return 1 + len(re.findall(b"\r\n|\r|\n", data[:position]))
