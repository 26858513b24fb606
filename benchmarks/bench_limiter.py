"""Sustained throughput under each kind of server-side limiter, as a share of the allowed rate.

The server's minute is scaled to seconds; the requests are real, over loopback. Our limiter is
compared with aiolimiter and pyrate-limiter at the same limit, and with no pacing.
`python benchmarks/bench_limiter.py [minutes] [seconds per minute]`
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import aiolimiter
import pyrate_limiter

from invoicexpress_async import InvoiceXpressError, RateLimit, RetryPolicy, SessionManager
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

_KEY = "benchmark-key-0123456789"
_LIMIT = 780
_CALLERS = 40

Acquire = Callable[[], Awaitable[object]]
Window = Literal["fixed", "sliding", "token_bucket"]


async def _nothing() -> None:
    """Do nothing: the manager's limiter paces, or nothing does."""


def _paces(seconds: float) -> dict[str, tuple[RateLimit | None, Acquire]]:
    leaky = aiolimiter.AsyncLimiter(_LIMIT, seconds)
    window = pyrate_limiter.Limiter(pyrate_limiter.Rate(_LIMIT, int(seconds * 1000)), buffer_ms=0)
    return {
        "ours": (RateLimit(_LIMIT, per_seconds=seconds), _nothing),
        "aiolimiter": (None, leaky.acquire),
        "pyrate-limiter": (None, lambda: window.try_acquire_async("acme")),
        "not paced": (None, _nothing),
    }


async def _run(
    window: Window, pace: tuple[RateLimit | None, Acquire], *, minutes: int, seconds: float
) -> tuple[int, int]:
    """Send calls for `minutes` scaled minutes; return how many got 200 and 429."""
    limit, acquire = pace
    sandbox = Sandbox(
        accounts=[SandboxAccount(name="acme", api_key=_KEY)],
        clock=lambda: time.monotonic() * 60 / seconds,
        window=window,
    )
    ends = time.monotonic() + minutes * seconds
    async with sandbox:
        async with SessionManager(
            base_url=sandbox.base_url, rate_limit=limit, retry=RetryPolicy(attempts=1)
        ) as session:
            account = session.account("acme", _KEY)

            async def call() -> None:
                while time.monotonic() < ends:
                    await acquire()
                    left = ends - time.monotonic()
                    if left <= 0:
                        return
                    try:
                        await account.sequences.list(timeout_seconds=left)
                    except InvoiceXpressError:
                        continue

            await asyncio.gather(*(call() for _ in range(_CALLERS)))
        statuses = [request.status for request in sandbox.requests]
    return statuses.count(200), statuses.count(429)


async def main(minutes: int, seconds: float) -> None:
    """Print a row for each server and limiter."""
    allowed = _LIMIT * minutes
    print(f"{_LIMIT} a minute, {minutes} minutes of {seconds} s; {allowed} allowed")
    print(f"{'server':14}{'limiter':16}{'answered':>9}{'share':>8}{'429s':>7}")
    windows: tuple[Window, ...] = ("fixed", "sliding", "token_bucket")
    for window in windows:
        for name, pace in _paces(seconds).items():
            answered, refused = await _run(window, pace, minutes=minutes, seconds=seconds)
            share = answered / allowed
            print(f"{window:14}{name:16}{answered:9}{share:8.1%}{refused:7}")


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:]]
    how_many = given[0] if given else 4
    how_long = given[1] if given[1:] else 2.5
    asyncio.run(main(int(how_many), how_long))
