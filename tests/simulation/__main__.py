"""`python -m simulation SEED...` (in `tests/`) replays histories and prints what happened."""

import sys

from simulation.history import run_history

if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(run_history(int(argument)).report())  # noqa: T201  # it is what this is for
