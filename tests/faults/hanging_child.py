"""A child whose third step never comes back, as a driver or a data loader that hangs does."""

import sys
import time
from pathlib import Path

from workbench.runs.child import main
from workbench.training.stepper import Stepper

real = Stepper.step


def step(self, number, total):
    if number == 2:
        (Path(sys.argv[1]) / "hangs").touch()
        time.sleep(3600)
    return real(self, number, total)


if __name__ == "__main__":
    Stepper.step = step
    main()
