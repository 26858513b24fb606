"""The time of importing the package and its dependencies, and of `invoicexpress --help`.

Each is a separate process, in turns, with compiled files as an installed package has them. The
package imports its names when they are first used, so it is also measured with all that a first
call needs. `python benchmarks/bench_start.py [rounds]`
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_COMMAND = str(Path(sys.executable).with_name("invoicexpress"))
_PYTHON = [sys.executable, "-c"]
_CONTESTANTS = {
    "import, to a first call": [*_PYTHON, "from invoicexpress_async import SessionManager"],
    "import alone": [*_PYTHON, "import invoicexpress_async"],
    "import aiohttp, cattrs": [*_PYTHON, "import aiohttp, cattrs"],
    "invoicexpress --help": [_COMMAND, "--help"],
    "python -c pass": [*_PYTHON, "pass"],
}


def measure(rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each."""
    figures: dict[str, list[float]] = {name: [] for name in _CONTESTANTS}
    with tempfile.TemporaryDirectory() as compiled:
        environment = os.environ | {
            "PYTHONPYCACHEPREFIX": compiled,
            "PYTHONDONTWRITEBYTECODE": "",  # if it is set, Python compiles at every start
        }
        for turn in range(rounds + 1):
            for name, command in _CONTESTANTS.items():
                started = time.perf_counter()
                subprocess.run(  # noqa: S603  # ours
                    command, stdout=subprocess.DEVNULL, check=True, env=environment
                )
                if turn:  # the first turn compiles
                    figures[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(one) for name, one in figures.items()}


def main(rounds: int) -> None:
    """Print a table."""
    figures = measure(rounds)
    print(f"{'':26}{'ms':>8}{'over aiohttp, cattrs':>24}")
    for name, milliseconds in figures.items():
        ratio = milliseconds / figures["import aiohttp, cattrs"]
        print(f"{name:26}{milliseconds:8.0f}{ratio:24.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
