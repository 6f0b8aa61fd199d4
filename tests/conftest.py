"""Shared by every room: one thread per test process and no look-ups on a model hub."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_addoption(parser):
    """How long the long tests are; the defaults are what every push runs."""
    parser.addoption("--mutations", type=int, default=500, help="damaged files that are tried (long round: 10000)")
