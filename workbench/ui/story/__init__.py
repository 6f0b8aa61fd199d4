"""The guided story: five steps from an untouched page to a trained model and a sentence of one's own, for people who are no engineers.

scenes.py     what is to be seen at each step, asked of the service on the preset of the page's language
pictures.py   each step's picture of what happens inside, drawn from those values
guide.py      the steps over the page: their sentence, the one button, what a reload finds again

The keys, and the focus, are `story.js`. The steps train and answer by the same service as the tabs, so their run stands in the tabs too.
"""

from workbench.ui.story.guide import layout, wire
from workbench.ui.story.scenes import preset

__all__ = ["layout", "preset", "wire"]
