"""Simulated histories of several senders on one journal, for any number of seeds.

A history has one seed. It takes some milliseconds, and hours of virtual time. The figures are the
seeds a second and the violations; `python -m simulation SEED` in `tests/` replays a seed with a
violation.

`python benchmarks/soak_simulation.py SEEDS [FIRST] [PROCESSES]` exits 1 on a violation.
`python benchmarks/soak_simulation.py breaks [SEEDS]` breaks each promise on purpose, and prints
how many of these seeds catch it, and how many it takes.
"""

import multiprocessing
import os
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from simulation.breaks import BREAKS, CONTENDED_BREAKS, RARE_BREAKS, broken
from simulation.history import CONTENDED, run_history

if TYPE_CHECKING:
    from simulation.history import History

_OF_A_PIECE = 1_000


def _brief(seed: int, promise: str | None = None) -> tuple[int, int, Counter[str], tuple[str, ...]]:
    with broken(promise):
        history: History = run_history(seed)
    return seed, history.sends, history.troubles, history.violations


def soak(seeds: int, first: int, processes: int) -> int:
    """Run the seeds; return how many of them have a violation."""
    started, done, sends, bad = time.perf_counter(), 0, 0, 0
    troubles: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for seed, sent, seen, violations in pool.imap_unordered(
            _brief, range(first, first + seeds), chunksize=10
        ):
            done, sends, bad = done + 1, sends + sent, bad + bool(violations)
            troubles += seen
            if violations:
                print(f"seed {seed}: {'; '.join(violations)}", flush=True)
            if done % _OF_A_PIECE == 0 or done == seeds:
                rate = done / (time.perf_counter() - started)
                print(f"{done:,} seeds  {rate:.1f}/s  {sends:,} sends  {bad} bad", flush=True)
    print(*(f"  {name}  {count:,}" for name, count in sorted(troubles.items())), sep="\n")
    print(f"seeds {first} to {first + seeds - 1}: {bad} violations", flush=True)
    return bad


def show_breaks(seeds: int, processes: int) -> int:
    """Break each promise; return how many breaks no seed has caught."""
    missed = 0
    print(f"caught by of {seeds}  first  broken on purpose")
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for start, breaks in ((0, BREAKS), (CONTENDED, CONTENDED_BREAKS | RARE_BREAKS)):
            for name in breaks:
                run = partial(_brief, promise=name)
                histories = pool.imap(run, range(start, start + seeds), chunksize=5)
                caught = [seed - start + 1 for seed, _, _, violations in histories if violations]
                missed += not caught
                first = caught[0] if caught else "-"
                print(f"{len(caught):{len(str(seeds)) + 13}}  {first:>5}  {name}", flush=True)
    return missed


if __name__ == "__main__":
    cores = os.cpu_count() or 1
    if sys.argv[1:2] == ["breaks"]:
        sys.exit(1 if show_breaks(int((*sys.argv, "400")[2]), cores) else 0)
    arguments = [int(one) for one in sys.argv[1:]]
    defaults = [2_000, 0, cores]
    sys.exit(1 if soak(*arguments, *defaults[len(arguments) :]) else 0)
