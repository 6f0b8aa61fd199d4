"""Prompt: the lab. Write a template and label words and see at once what the model reads and answers; compare many; keep the best.

editor.py     templates, label words, longest prompt: what the recipe holds, as controls
live.py       the preview of a few rows and the score on the validation rows, both following the typing
cards.py      many templates side by side, ranked; use one, see where it differs, take all that agree as an ensemble
sources.py    where cards come from beside one's own hand: the library, and other tools' templates
tab.py        the layout, and which handler follows which event
"""

from workbench.ui.tabs.prompt.tab import build

__all__ = ["build"]
