"""Prompts made by machine. Pure searches over a seed, training rows and a model; what runs them as a job is `workbench.runs.search`.

    vocabulary.py    the words that a search may use, and how they are written into a template
    trigger.py       gradient-guided trigger tokens (AutoPrompt, Shin et al. 2020)
    fills.py         templates from the loaded model's own fills or continuations
    t5.py            templates from a T5 (LM-BFF, Gao et al. 2021)
    label_words.py   label words: per-class ranking, every combination, or greedily several per label

None of them ever sees a validation row: candidates come from training rows, validation rows only rank them at the end.
"""
