"""Prompt-based tuning of language models: choose a model, look at the data, write a template, choose how to tune, watch, try, take away.

Each of those steps edits one recipe; a recipe that has been trained is a run. The page and the command line are two doors to the
same service, and a room imports from its own floor or from below, never from above (tests/test_architecture.py):

    ┌──────────────────────────────────────────────────────────────────────────────────────────────┐
    │  app.py   ui/  the page, one file per tab       cli.py  python -m workbench       two doors  │
    ├──────────────────────────────────────────────────────────────────────────────────────────────┤
    │  runs/    RunService: queue, start, pause, resume, stop; run folders, index, export          │
    ├──────────────────────────────────────────────────────────────────────────────────────────────┤
    │  training/   steps, evaluations, checkpoints, event log       paradigms/  four ways compared │
    ├──────────────────────────────────────────────────────────────────────────────────────────────┤
    │  methods/    what trains: full, head, bias, soft prompts, prefixes, adapters, LoRA           │
    │  serving/    what answers: classifier and predictor, the same before and after training      │
    ├──────────────────────────────────────────────────────────────────────────────────────────────┤
    │  prompts/    template → pieces → encoding; verbalizer   │   models/  families, loading, card │
    ├──────────────────────────────────────────────────────────────────────────────────────────────┤
    │  data/       any file → Table (text, line numbers) → Dataset → splits, k shots, profile      │
    ├──────────────────────────────────────────────────────────────────────────────────────────────┤
    │  recipe.py   the one description of an experiment       errors.py  a sentence and its fix    │
    └──────────────────────────────────────────────────────────────────────────────────────────────┘

What flows, in a training step and in an answer alike:

    file ─ data/ → InputExample ─ Template → pieces ─ encode → input_ids [T], mask_positions [M]
         ─ model → label-word logits [B, M, W], at the masks alone ─ Verbalizer → class log-probabilities [B, C]
         ─ training/ → events.jsonl → the page's charts    or    ─ serving/ → Prediction(label, probabilities, label words)

A new tuning method, verbalizer, model family or file format is one new file in its room that registers itself.

From Python: `from workbench import Recipe, train` (workbench/runs/python.py).
"""

from __future__ import annotations

import importlib
from typing import Any

# By name, so that `import workbench` stays as cheap as it was, and the room of runs above is not imported from here.
_DOORS = {"Recipe": "recipe", "train": "runs.python"}


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return getattr(importlib.import_module(f"{__name__}.{_DOORS[name]}"), name)
    raise AttributeError(f"module 'workbench' has no attribute '{name}'")
