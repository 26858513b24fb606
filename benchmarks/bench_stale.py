"""Creates over connections that the server closes when idle, without announcing it.

For each idle time of the server and each latency, one account calls `list`, waits and creates, 51
times with gaps from 0 to 12 seconds, three creates at a time. The clock is fake, the sockets are
real. `lost` are creates that reached a connection that was already closed; a create with an
unknown outcome is never sent again. `python benchmarks/bench_stale.py`
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from closing_server import ClosingServer
from fakes import FakeClock

from invoicexpress_async import OutcomeUnknownError, SessionManager

_KEY: Final = "benchmark-key-0123456789"
_GAPS: Final = (0.0, 0.0, 0.002, 0.004, 0.1, 0.5, 0.9, 0.95, 1.5, 1.9, 3.0, 4.9, 7.0, 9.9, 12.0,
                0.3, 0.0)  # fmt: skip
_AT_ONCE: Final = 3


async def _run(idle_seconds: float, latency_seconds: float) -> str:
    clock, unknown, tried = FakeClock(), 0, 0
    async with (
        ClosingServer(idle_seconds, latency_seconds, clock) as server,
        SessionManager(base_url=server.base_url, clock=clock) as manager,
    ):
        sequences = manager.account("acme", _KEY).sequences

        async def create(serie: str) -> None:
            nonlocal unknown, tried
            tried += 1
            try:
                await sequences.create(serie)
            except OutcomeUnknownError:
                unknown += 1

        for number, gap in enumerate(_GAPS):
            await sequences.list()
            clock.advance(gap)
            await asyncio.gather(*(create(f"S{number}-{one}") for one in range(_AT_ONCE)))
    posts, most = server.posts.total(), max(server.posts.values())
    return (
        f"{idle_seconds:8g}{latency_seconds * 1e3:9.0f}{tried:8}{tried - unknown:10}{unknown:9}"
        f"{posts + server.lost:8}{most:14}{server.connections:13}"
    )


async def main() -> None:
    """Print a row for each server."""
    print(f"{'idle s':>8}{'ms':>9}{'tried':>8}{'through':>10}{'unknown':>9}{'POSTs':>8}"
          f"{'most a serie':>14}{'connections':>13}")  # fmt: skip
    for idle in (0.0, 0.005, 1.0, 2.0, 5.0, 10.0):
        for latency in (0.0, 0.001, 0.02, 0.1):
            print(await _run(idle, latency))


if __name__ == "__main__":
    asyncio.run(main())
