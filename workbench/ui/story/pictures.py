"""Each step's picture of what happens inside the model, drawn from the values that the step has just seen. Widths are in units of the
picture's own 760; colours are the page's, so dark paper comes by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from workbench.serving.predictor import Prediction
from workbench.serving.preview import PreviewToken
from workbench.ui.markup import amount, percent
from workbench.ui.story.scenes import Blank, Reading, answer_of
from workbench.ui.svg import INK, LINE, PAPER, QUIET, Paint, Sheet, lines_of, text_width
from workbench.ui.tabs.train import TrainView
from workbench.ui.tabs.try_it import TryView
from workbench.ui.text import Words

WIDTH = 760
KIND = "pw-story-picture"
SIZE, SMALL = 15, 13
TOKEN_HEIGHT = 30
TEXT = Paint("var(--pw-text)", "var(--pw-text-ink)")
TEMPLATE = Paint("var(--pw-template)", "var(--pw-template-ink)")
MASK = Paint("var(--pw-mask)", "var(--pw-mask-ink)")
SOFT = Paint("var(--pw-soft)", "var(--pw-soft-ink)")
PLAIN = Paint(PAPER, INK, LINE)
WINNER = Paint("var(--primary-500)", "#fff")
TRACK, BAR, BEST, LOOK = "var(--pw-track)", "var(--primary-300)", "var(--primary-500)", "var(--pw-look)"
MOST_LAYERS = 12


def blank_picture(shown: Blank, t: Words) -> str:
    """The sentence goes through the model's layers, and words for the blank come out."""
    sheet = Sheet()
    tokens = _spoken(shown.row.tokens)
    widths = [_box_width(_name(token, t)) for token in tokens]
    x = (WIDTH - sum(widths) - 6 * (len(widths) - 1)) / 2
    top, left, right = 84.0, 190.0, 570.0
    for token, width in zip(tokens, widths, strict=True):
        middle = x + width / 2
        _token(sheet, x, 4, _name(token, t), width, _paint(token))
        reached = min(max(middle, left + 20), right - 20)
        sheet.path(f"M{middle:.1f} 36 C{middle:.1f} 60 {reached:.1f} 58 {reached:.1f} {top}", stroke=QUIET)
        x += width + 6
    bottom = _model(sheet, left, top, right - left, shown.card.layers)
    said = t("story.model", name=shown.card.name.split(":")[-1], layers=shown.card.layers, parameters=amount(shown.card.parameters))
    sheet.text(said, WIDTH / 2, bottom + 18, size=SMALL, fill=QUIET)
    _pointer(sheet, WIDTH / 2, bottom + 26, WIDTH / 2, bottom + 50)
    words = shown.row.top[0].tokens
    y = _bars(sheet, [(word, share, _share(share)) for word, share in words], 250, 560, bottom + 58, best=words[0][0])
    return sheet.svg(t("story.seen_1", words=_said(words)), WIDTH, y, KIND)


def prompt_picture(shown: Reading, t: Words) -> str:
    """A review and a template become the tokens that the model reads; bars below them say where the blank looks."""
    sheet = Sheet()
    left, right = 150.0, float(WIDTH)
    text = next(iter(shown.row.example.fields.values()))
    y = _caption(sheet, t("story.review"), 8)
    for line in lines_of(text, SIZE, right - left - 20):
        _token(sheet, left, y, line, _box_width(line), TEXT)
        y += TOKEN_HEIGHT + 4
    y = _caption(sheet, t("story.template"), y + 14)
    x = left
    for piece in re.split(r"(\{[^{}]*\}|\[MASK\])", shown.template):
        written = t("prompt.role_mask") if piece == "[MASK]" else t("story.here") if piece.startswith("{") else piece.strip()
        if written:
            paint = MASK if piece == "[MASK]" else TEXT if piece.startswith("{") else TEMPLATE
            _token(sheet, x, y, written, _box_width(written), paint)
            x += _box_width(written) + 6
    _pointer(sheet, left + 40, y + TOKEN_HEIGHT + 6, left + 40, y + TOKEN_HEIGHT + 30)
    y = _caption(sheet, t("story.read"), y + TOKEN_HEIGHT + 40)
    tokens = _spoken(shown.row.tokens)
    most = max((token.attention or 0.0 for token in tokens), default=0.0)
    x = left
    for token in tokens:
        width = _box_width(_name(token, t))
        if x + width > right:
            x, y = left, y + TOKEN_HEIGHT + 24
        _token(sheet, x, y, _name(token, t), width, _paint(token))
        height = 16 * (token.attention or 0.0) / (most or 1)
        sheet.rect(x + 3, y + TOKEN_HEIGHT + 3, width - 6, max(height, 0.8), LOOK, round_=1)
        x += width + 5
    y += TOKEN_HEIGHT + 42
    sheet.rect(left, y - 9, 24, 9, LOOK, round_=1)
    sheet.text(t("prompt.role_attention"), left + 32, y, size=SMALL, anchor="start", fill=QUIET)
    return sheet.svg(t("story.seen_2", review=text, template=shown.template), WIDTH, y + 10, KIND)


def words_picture(shown: Reading, t: Words) -> str:
    """From the blank to the label words, and from those to the labels."""
    sheet = Sheet()
    groups = [(label, sorted(words.items(), key=lambda pair: -pair[1])) for label, words in shown.row.label_words.items()]
    most = max(share for _, words in groups for _, share in words)
    answer, width = answer_of(shown.row.class_probabilities), _box_width(t("prompt.role_mask"))
    text = next(iter(shown.row.example.fields.values()))
    top = y = _verdict(sheet, re.sub(r"\{[^{}]*\}", lambda _: text, shown.template).replace("[MASK]", "\u2026"), 0, weight=400) + 18
    middle = top + sum(28 * len(words) + 30 for _, words in groups) / 2 - 15
    for label, words in groups:
        centre = y + 14 * len(words)
        for word, share in words:
            curve = f"C{width + 40:.1f} {middle:.1f} {width + 30:.1f} {y + 14:.1f} 150 {y + 14:.1f}"
            sheet.path(f"M{width:.1f} {middle:.1f} {curve}", stroke=LINE)
            sheet.text(word, 250, y + 19, size=SIZE, anchor="end")
            end = _bar(sheet, 260, y + 8, 150, share / most, BEST if label == answer else BAR)
            sheet.text(_share(share), end + 8, y + 19, size=SMALL, anchor="start", fill=QUIET)
            sheet.path(f"M480 {y + 14:.1f} C515 {y + 14:.1f} 505 {centre:.1f} 540 {centre:.1f}", stroke=LINE, width=1 + 4 * share / most)
            y += 28
        paint = WINNER if label == answer else PLAIN
        sheet.rect(540, centre - 30, 212, 60, paint.fill, paint.stroke, round_=10)
        sheet.text(label, 556, centre + 6, size=18, weight=650, anchor="start", fill=paint.ink)
        sheet.text(percent(shown.row.class_probabilities[label]), 738, centre + 6, size=18, anchor="end", fill=paint.ink)
        y += 30
    _token(sheet, 0, middle - TOKEN_HEIGHT / 2, t("prompt.role_mask"), width, MASK)
    y = _verdict(sheet, t("story.right" if answer == shown.label else "story.wrong", label=shown.label), y)
    return sheet.svg(t("story.seen_3", shares=_said(shown.row.class_probabilities.items())), WIDTH, y, KIND)


def training_picture(shown: TrainView | None, rows: int, t: Words) -> str:
    """The round of training (read, compare, move a little), the loss so far, and how often the model is right on rows it never sees."""
    sheet = Sheet()
    steps, losses = shown.train if shown else ((), ())
    plan = shown.plan if shown else {}
    _box(sheet, 0, 8, 200, 92, [t("story.rows", rows=rows)], PLAIN)
    moved = ""
    if plan.get("trainable_parameters"):
        moved = t("story.moves", trained=amount(plan["trainable_parameters"]), total=amount(plan["total_parameters"]))
    _tuned_model(sheet, 280, 8, 200, moved)
    loss = f"{losses[-1]:.2f}" if len(losses) else "\u2026"
    _box(sheet, 560, 8, 200, 92, [t("story.how_wrong"), loss], PLAIN)
    _pointer(sheet, 204, 54, 276, 54)
    _pointer(sheet, 484, 54, 556, 54)
    sheet.path("M660 104 C660 146 380 146 380 108", stroke=SOFT.ink, width=2)
    sheet.path("M375 115 L380 107 L385 115", stroke=SOFT.ink, width=2)
    sheet.text(t("story.back_again"), 520, 156, size=SMALL, fill=SOFT.ink)
    total = shown.total_steps if shown else 0
    y = _loss(sheet, steps, losses, total, 178, t)
    accuracies = [event["accuracy"] for event in shown.evaluations] if shown else []
    if shown and accuracies:
        # A finished run keeps the weights of its best evaluation.
        now = max(accuracies) if shown.status == "finished" else accuracies[-1]
        seen = t("story.unseen", rows=plan.get("validation_rows", ""), before=percent(accuracies[0]), now=percent(now))
        y = _verdict(sheet, seen, y + 4)
    step = steps[-1] if len(steps) else 0
    return sheet.svg(t("story.seen_4", step=step, total=total, loss=loss), WIDTH, y, KIND)


def answers_picture(shown: TryView, t: Words) -> str:
    """The same sentence before and after, side by side."""
    sheet = Sheet()
    sides = [(t("story.before"), shown.beside.prediction), (t("story.after"), shown.tuned.prediction)]
    most = max((share for _, side in sides for share in side.label_words.values()), default=1.0)
    # In one order on both sides, or nobody sees which of them grew.
    words = sorted(shown.beside.prediction.label_words, key=lambda word: -shown.beside.prediction.label_words[word])
    bottom = max(
        _answer(sheet, place * 390.0, title, side, words, most, t=t) for place, (title, side) in enumerate(sides)
    )
    _pointer(sheet, 373, bottom / 2, 388, bottom / 2)
    said = "; ".join(f"{title}: {_said(side.probabilities.items())}" for title, side in sides)
    return sheet.svg(said, WIDTH, bottom + 2, KIND)


def _answer(sheet: Sheet, x: float, title: str, side: Prediction, words: Sequence[str], most: float, *, t: Words) -> float:
    """One model's answer as a card at `x`; returns where it ends."""
    height = 92 + 28 * len(side.probabilities) + 34 + 24 * len(words)
    sheet.rect(x + 1, 1, 368, height, PAPER, BEST if x else LINE, round_=10)
    sheet.text(title, x + 18, 28, size=SMALL, anchor="start", fill=QUIET)
    sheet.text(side.label, x + 18, 60, size=24, weight=650, anchor="start")
    shares = [(label, share, percent(share)) for label, share in side.probabilities.items()]
    y = _bars(sheet, shares, x + 110, x + 280, 74, best=side.label, whole=True)
    sheet.text(t("try.words"), x + 18, y + 22, size=SMALL, anchor="start", fill=QUIET)
    y += 32
    for word in words:
        share = side.label_words[word]
        sheet.text(word, x + 110, y + 15, size=SMALL, anchor="end")
        end = _bar(sheet, x + 120, y + 6, 150, share / most, "var(--pw-mask)")
        sheet.text(_share(share), end + 8, y + 15, size=SMALL, anchor="start", fill=QUIET)
        y += 24
    return height


def _loss(sheet: Sheet, steps: Sequence[int], losses: Sequence[float], total: int, top: float, t: Words) -> float:
    """The loss over the steps, drawn as wide as the whole run will be."""
    left, right, bottom = 44.0, 748.0, top + 148
    sheet.text(t("story.loss"), left, top + 6, size=SMALL, anchor="start", fill=QUIET)
    high = math.ceil(max([*losses, 0.7]) * 2) / 2
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top - 22)
        sheet.line(left, y, right, y, stroke=LINE)
        sheet.text(f"{share * high:g}", left - 8, y + 4, size=12, anchor="end", fill=QUIET)
    if total:
        said = t("train.step_of", step=steps[-1] if len(steps) else 0, total=total)
        sheet.text(said, right, bottom + 18, size=12, anchor="end", fill=QUIET)

    def place(step: float, loss: float) -> tuple[float, float]:
        return left + (right - left) * (step - 1) / max(total - 1, 1), bottom - loss / high * (bottom - top - 22)

    if not len(steps):
        sheet.text(t("story.starting"), (left + right) / 2, (top + bottom) / 2 - 8, size=SIZE, fill=QUIET)
    points = [place(step, loss) for step, loss in zip(steps, losses, strict=True)]
    if points:
        sheet.path("M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points), stroke=BEST, width=2.5)
        x, y = points[-1]
        sheet.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{BEST}"/>')
    return bottom + 24


def _model(sheet: Sheet, x: float, y: float, width: float, layers: int) -> float:
    """A model as its layers, one on the other; returns where they end."""
    for number in range(min(layers, MOST_LAYERS)):
        sheet.rect(x, y + number * 11, width, 7, BAR, round_=3)
    return y + min(layers, MOST_LAYERS) * 11 - 4


def _tuned_model(sheet: Sheet, x: float, y: float, width: float, moved: str) -> None:
    """A model that stays as it is, with the small parts beside its layers that training moves."""
    sheet.rect(x, y, width, 92, PAPER, LINE, round_=10)
    for number in range(4):
        sheet.rect(x + 24, y + 10 + number * 13, 118, 8, TRACK)
        sheet.rect(x + 148, y + 10 + number * 13, 26, 8, SOFT.ink)
    for number, line in enumerate(lines_of(moved, 12, width - 12)[:2]):
        sheet.text(line, x + width / 2, y + 73 + number * 14, size=12, fill=SOFT.ink)


def _box(sheet: Sheet, x: float, y: float, width: float, height: float, texts: Sequence[str], paint: Paint) -> None:
    """A box with lines in its middle: the first small, a second large."""
    sheet.rect(x, y, width, height, paint.fill, paint.stroke, round_=10)
    middle = x + width / 2
    first = lines_of(texts[0], SIZE if len(texts) == 1 else SMALL, width - 16)
    start = y + height / 2 - 9 * (len(first) - 1) + 5 - (18 if len(texts) > 1 else 0)
    for number, line in enumerate(first):
        sheet.text(line, middle, start + 18 * number, size=SIZE if len(texts) == 1 else SMALL, fill=paint.ink)
    if len(texts) > 1:
        sheet.text(texts[1], middle, y + height - 18, size=26, weight=650, fill=paint.ink)


def _bars(
    sheet: Sheet, shares: Iterable[tuple[str, float, str]], left: float, right: float, y: float, *, best: str, whole: bool = False
) -> float:
    """Names, bars and figures in lines; bars are as long as their share of the largest, or of 1 when `whole`. Returns where they end."""
    listed = list(shares)
    most = 1.0 if whole else max(share for _, share, _ in listed)
    for name, share, said in listed:
        colour = BEST if name == best else BAR
        sheet.text(name, left, y + 19, size=SIZE, weight=650 if name == best else 400, anchor="end")
        end = _bar(sheet, left + 10, y + 8, right - left - 10, share / most, colour)
        sheet.text(said, (right if whole else end) + 8, y + 19, size=SMALL, anchor="start", fill=QUIET)
        y += 28
    return y


def _bar(sheet: Sheet, x: float, y: float, width: float, share: float, colour: str) -> float:
    sheet.rect(x, y, width, 12, TRACK, round_=6)
    sheet.rect(x, y, max(width * share, 4), 12, colour, round_=6)
    return x + width


def _verdict(sheet: Sheet, text: str, y: float, *, weight: int = 550) -> float:
    """A sentence across the picture; returns where it ends."""
    for line in lines_of(text, SIZE, WIDTH - 20):
        sheet.text(line, WIDTH / 2, y + 20, size=SIZE, weight=weight)
        y += 22
    return y + 10


def _caption(sheet: Sheet, text: str, y: float) -> float:
    """What a line of the picture is, in the margin on the left; returns the line's height again."""
    lines = lines_of(text, SMALL, 132)
    for number, line in enumerate(lines):
        sheet.text(line, 134, y + 20 + 16 * number - 8 * (len(lines) - 1), size=SMALL, anchor="end", fill=QUIET)
    return y


def _token(sheet: Sheet, x: float, y: float, text: str, width: float, paint: Paint) -> None:
    sheet.rect(x, y, width, TOKEN_HEIGHT, paint.fill, paint.stroke, round_=6)
    sheet.text(text, x + width / 2, y + 20, size=SIZE, fill=paint.ink, weight=650 if paint is MASK else 400)


def _pointer(sheet: Sheet, x1: float, y1: float, x2: float, y2: float) -> None:
    sheet.line(x1, y1, x2, y2, stroke=QUIET, width=1.5)
    if x1 == x2:
        sheet.path(f"M{x2 - 5:.1f} {y2 - 7:.1f} L{x2:.1f} {y2:.1f} L{x2 + 5:.1f} {y2 - 7:.1f}", stroke=QUIET, width=1.5)
    else:
        sheet.path(f"M{x2 - 7:.1f} {y2 - 5:.1f} L{x2:.1f} {y2:.1f} L{x2 - 7:.1f} {y2 + 5:.1f}", stroke=QUIET, width=1.5)


def _spoken(tokens: Sequence[PreviewToken]) -> list[PreviewToken]:
    """The tokens that stand for something in the text; marks of the model's own say nothing to a person."""
    return [token for token in tokens if token.role != "special" and not token.cut]


def _paint(token: PreviewToken) -> Paint:
    return {"mask": MASK, "template": TEMPLATE, "soft": SOFT}.get(token.role, TEXT)


def _name(token: PreviewToken, t: Words) -> str:
    return t("prompt.role_mask") if token.role == "mask" else token.text.strip()


def _box_width(text: str) -> float:
    return text_width(text, SIZE) + 16


def _share(probability: float) -> str:
    """A share as people write it; what is next to nothing is said to be so."""
    return percent(probability) if probability >= 0.001 else "<0.1%"


def _said(shares: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {_share(share)}" for name, share in shares)
