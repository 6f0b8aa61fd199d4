"""Four ways to solve one classification task, on the same rows: one file each, registered by a decorator.

    paradigm.py       what a paradigm is: a task in, a model that answers out
    classical.py      1. TF-IDF with naive Bayes, logistic regression or a linear SVM
    from_scratch.py   2. TextCNN and BiLSTM with their own vocabulary (networks.py, vocabulary.py)
    fine_tuning.py    3. pre-trained model + classification head, full or frozen
    prompting.py      4. pre-trained model + prompt: zero-shot, hard prompt, PET, any tuning method
    split.py          test rows that no paradigm can reach, and what is left per seed
    cells.py          which paradigm, method, number of examples and seed; one cell from training to its figures
    cost.py           what training a cell costs: seconds at work, processor time, memory, energy
    statistics.py     bootstrap intervals, McNemar's test, spread over seeds
    board.py          the cells of a board brought together: curves, table, disagreements, significance
    why.py            which pieces of a sentence spoke for the answer

A new paradigm is a new file with `@register`; the board, the page and the command line pick it up.
"""

from __future__ import annotations

import importlib
import pkgutil

from workbench.paradigms.paradigm import Answerer, Figures, Paradigm, Task, find_paradigm, paradigm_names, register

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = ["Answerer", "Figures", "Paradigm", "Task", "find_paradigm", "paradigm_names", "register"]
