"""The page: the only importer of gradio.

    server.py     FastAPI application with the page once per language, over one RunService
    page.py       the frame around the tabs: presets, the recipe in sight, what a fresh page shows
    frame.py      how a tab's handlers are wired: errors become sentences, edits become recipes
    session.py    what one browser session holds: a recipe as plain data, the run in view, the events already seen
    story/        the guided story: five steps over the page, for people who are no engineers
    tabs/         one file per tab: a pure view function, a build function, named handlers
    forms.py      a form from the option fields of a method
    charts.py     the only importer of plotly
    markup.py     the page's own HTML, everything a person typed escaped
    text.py       the words of a language, from text/*.yaml
    theme.py      colours and fonts, light and dark, nothing from another host

Nothing here holds truth: runs belong to the service, a session's recipe to the browser.
"""

from __future__ import annotations

import os

# gradio reads these while it is imported; without them it looks up hosts on the internet.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
