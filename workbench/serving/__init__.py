"""Where a prompt meets a model.

    classifier.py   examples -> class log-probabilities
    reading.py      what a model says about a batch: what a verbalizer asks, and what templates share
    tuned.py        a classifier and the method on its model: all that a run trains, saves and brings back
    predictor.py    how a trained run answers
    preview.py      what the page shows of a prompt
"""

SMALLEST_PROBABILITY = 1e-30
"""What a probability counts as at least where its logarithm is taken."""
