"""A board's learning curves as a picture for documents: plain SVG, no network; readable on light and dark paper. The same as PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from workbench.ui.charts import LearningCurve, shot_places

WIDTH, HEIGHT = 980, 430
LEFT, RIGHT, TOP, BOTTOM = 60, 370, 20, 50
DASHES = {"solid": "", "dash": "7 4", "dot": "2 4", "dashdot": "7 3 2 3"}
LEAST_GAP = 15
INK, GRID = "#7d7d7d", "#b8b8b8"
# Quoted once for an attribute; a renderer without a system-ui takes one that draws Latin and Chinese alike.
FONTS = "system-ui, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
PAPER, PIXELS_PER_UNIT = "#ffffff", 2.0


def curves_svg(lines: Sequence[LearningCurve], shots: Sequence[str], everything: float, *, x: str, chance: float, all_name: str) -> str:
    """Accuracy over examples per class; bands are one standard deviation over seeds, names stand at the height where lines end."""
    places = shot_places(shots, everything)
    low = min([chance, *(v - s for line in lines for v, s in zip(line.values, line.spreads, strict=True))])
    high = max([chance, *(v + s for line in lines for v, s in zip(line.values, line.spreads, strict=True))])
    bottom, top = int(low * 20) / 20, min(1.0, (int(high * 20) + 1) / 20)
    first, last = min(places.values()), max(places.values())

    def across(key: str) -> float:
        return LEFT + (places[key] - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return TOP + (top - value) / ((top - bottom) or 1) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="{FONTS}" font-size="12" fill="{INK}">'
    ]
    for step in range(round((top - bottom) * 20) + 1):
        value = bottom + step / 20
        parts.append(f'<path d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}" stroke="{GRID}" stroke-opacity="0.4"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{value:.0%}</text>')
    for key in shots:
        name = all_name if key == "all" else key
        parts.append(f'<text x="{across(key):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(name)}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x)}</text>')
    parts.append(f'<path d="M{LEFT} {down(chance):.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-dasharray="2 4"/>')
    for line in lines:
        parts += _line(line, across, down)
    for line in lines:
        if line.shots[-1] != shots[-1]:  # such as zero-shot: a level that the others reach sooner or later
            level = f"M{across(line.shots[-1]):.1f} {down(line.values[-1]):.1f}H{WIDTH - RIGHT}"
            parts.append(f'<path d="{level}" stroke="{line.color}" stroke-dasharray="1 5"/>')
    parts += _names(lines, down)
    return "\n".join([*parts, "</svg>"]) + "\n"


def png_of(svg: str) -> bytes:
    """A picture as PNG on white paper, at twice its size, drawn by resvg from the machine's own fonts: no browser, no network."""
    from resvg_py import svg_to_bytes

    return bytes(svg_to_bytes(svg_string=svg, background=PAPER, zoom=PIXELS_PER_UNIT))


def _line(line: LearningCurve, across: Callable[[str], float], down: Callable[[float], float]) -> list[str]:
    points = [(across(key), value, spread) for key, value, spread in zip(line.shots, line.values, line.spreads, strict=True)]
    upper = [f"{x:.1f},{down(value + spread):.1f}" for x, value, spread in points]
    lower = [f"{x:.1f},{down(value - spread):.1f}" for x, value, spread in reversed(points)]
    middle = [f"{x:.1f},{down(value):.1f}" for x, value, _ in points]
    dash = f' stroke-dasharray="{DASHES[line.dash]}"' if DASHES.get(line.dash) else ""
    band = f'<polygon points="{" ".join([*upper, *lower])}" fill="{line.color}" fill-opacity="0.13"/>' if len(points) > 1 else ""
    dots = "".join(f'<circle cx="{point.split(",")[0]}" cy="{point.split(",")[1]}" r="3.2" fill="{line.color}"/>' for point in middle)
    return [band, f'<polyline points="{" ".join(middle)}" fill="none" stroke="{line.color}" stroke-width="2.2"{dash}/>', dots]


def _names(lines: Sequence[LearningCurve], down: Callable[[float], float]) -> list[str]:
    """Names at the height where their lines end, moved apart where they would touch."""
    heights = sorted((down(line.values[-1]), number) for number, line in enumerate(lines))
    parts: list[str] = []
    before = float(TOP)
    for height, number in heights:
        before = max(height + 4, before + LEAST_GAP)
        line = lines[number]
        name = f"{escape(line.name)} {line.values[-1]:.1%}"
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{before:.1f}" fill="{line.color}">{name}</text>')
    return parts
