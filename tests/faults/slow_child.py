"""A child that reads a few rows a second when it evaluates, as a large model on a slow machine does."""

import time

import torch

from workbench.runs.child import main
from workbench.serving import batches
from workbench.serving.classifier import PromptClassifier

real = PromptClassifier.template_log_probabilities


def read(self, batch, readings=None):
    if not torch.is_grad_enabled():
        time.sleep(0.6)
    return real(self, batch, readings)


if __name__ == "__main__":
    batches.READ_TOKENS = 1
    PromptClassifier.template_log_probabilities = read
    main()
