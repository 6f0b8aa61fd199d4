"""Colours and fonts: quiet paper, one ink, one accent; light and dark. Fonts are the system's own, Chinese ones included."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, sizes

STYLE = Path(__file__).resolve().parent / "style.css"
SANS = (
    "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "PingFang SC", "Hiragino Sans GB",
    "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "sans-serif",
)
MONO = ("ui-monospace", "SFMono-Regular", "Cascadia Code", "Menlo", "Consolas", "DejaVu Sans Mono", "Noto Sans Mono CJK SC", "monospace")

ACCENT = colors.Color(
    name="harbour", c50="#eef6f6", c100="#d6e9ea", c200="#aed3d6", c300="#7fb7bc", c400="#4f979e", c500="#2c7a82",
    c600="#20646c", c700="#1b5158", c800="#184248", c900="#15373c", c950="#0b2226",
)

# 4.5 to 1 on every light paper of the page, which the hue's own 500 misses on a table's head (WCAG 2, 1.4.3).
SUBDUED = "#6a645d"
# The page, and text and links on it.
PAPER = {
    "body_background_fill": "#faf9f7",
    "body_background_fill_dark": "#171615",
    "body_text_color_subdued": SUBDUED,
    "body_text_color_subdued_dark": "*neutral_400",
    "link_text_color_dark": "*primary_300",
    "link_text_color_visited_dark": "*primary_300",
    "link_text_color_hover_dark": "*primary_200",
    "link_text_color_active_dark": "*primary_200",
    "background_fill_primary": "#ffffff",
    "background_fill_primary_dark": "#1f1e1c",
    "background_fill_secondary": "#f5f4f1",
    "background_fill_secondary_dark": "#191817",
    "border_color_primary": "#e2e0da",
    "border_color_primary_dark": "#393733",
}
# What stands on the page.
BLOCKS = {
    "block_background_fill": "#ffffff",
    "block_background_fill_dark": "#1f1e1c",
    "block_border_color": "#e7e5e0",
    "block_border_color_dark": "#33312e",
    "block_shadow": "none",
    "block_shadow_dark": "none",
    "block_label_background_fill": "transparent",
    "block_label_background_fill_dark": "transparent",
    "block_label_border_width": "0px",
    "block_label_text_color": SUBDUED,
    "block_label_text_color_dark": "*neutral_400",
    "block_title_text_color": "*neutral_700",
    "block_title_text_color_dark": "*neutral_300",
    "block_title_text_weight": "550",
    "block_info_text_color": SUBDUED,
    "block_info_text_color_dark": "*neutral_400",
}
# What is written in, pressed and moved.
CONTROLS = {
    "input_background_fill": "#fdfdfc",
    "input_background_fill_dark": "#191817",
    "input_border_color": "#dedbd4",
    "input_border_color_dark": "#3d3a36",
    "button_primary_background_fill": "*primary_500",
    "button_primary_background_fill_hover": "*primary_600",
    "button_primary_background_fill_dark": "*primary_500",
    "button_primary_background_fill_hover_dark": "*primary_600",
    "button_primary_text_color": "#ffffff",
    "button_secondary_background_fill": "#ffffff",
    "button_secondary_background_fill_hover": "#f2f0ec",
    "button_secondary_background_fill_dark": "#2a2826",
    "button_secondary_background_fill_hover_dark": "#35322f",
    "button_secondary_border_color": "#d9d6cf",
    "button_secondary_border_color_dark": "#45423d",
    "button_border_width": "1px",
    "button_large_padding": "9px 18px",
    "button_large_text_size": "15px",
    "button_large_text_weight": "550",
    "checkbox_label_background_fill_selected": "*primary_50",
    "checkbox_label_background_fill_selected_dark": "*primary_900",
    "checkbox_label_border_color_selected": "*primary_400",
    "checkbox_label_text_color_selected": "*neutral_900",
    "checkbox_label_text_color_selected_dark": "*neutral_50",
    "slider_color": "*primary_500",
}


def _stack(names: tuple[str, ...]) -> list[str]:
    """Plain strings are the system's fonts to gradio; a keyword such as system-ui must stay unquoted."""
    return [f"'{name}'" if " " in name else name for name in names]


def theme() -> gr.themes.Base:
    """The workbench's theme."""
    return gr.themes.Base(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
        neutral_hue=colors.stone,
        radius_size=sizes.radius_md,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        font=_stack(SANS),
        font_mono=_stack(MONO),
    ).set(**PAPER, **BLOCKS, **CONTROLS)
