"""Where a prompt meets a model: `classifier.py` (examples -> class log-probabilities), `preview.py` (what the page shows of a prompt),
`predictor.py` (how a trained run answers).
"""
