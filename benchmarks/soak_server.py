"""The server of a soak: its own process, which loses responses and has an oracle that counts."""

import asyncio
import multiprocessing
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from invoicexpress_async.sandbox import FaultServer, SandboxAccount, make_fault

Listen: TypeAlias = Callable[[], dict[str, Any]]
KEY = "soak-key-0123456789"
LATE_SECONDS = 0.3
# A fork server that has already imported the package, so that a process starts in milliseconds.
CONTEXT = multiprocessing.get_context("forkserver")


def name_of(number: int) -> str:
    """Return the name of an account."""
    return f"account-{number}"


async def _serve(accounts: int, seed: int, pipe: Connection, options: dict[str, Any]) -> None:
    names = [SandboxAccount(name=name_of(number), api_key=KEY) for number in range(accounts)]
    async with FaultServer(
        accounts=names, seed=seed, is_name_check_atomic=False, **options
    ) as server:
        lost = [make_fault("reset_peer", commits=commits) for commits in (True, False)]
        late = make_fault("reset_peer", commits="late", late_seconds=LATE_SECONDS)
        slow = [make_fault("latency", seconds=seconds) for seconds in (0.001, 0.005, 0.02)]
        weights = dict.fromkeys((*lost, late), 1.0) | dict.fromkeys(slow, 29.0)
        server.faults.randomly(weights, share=1.0, operations=("create",))
        pipe.send(server.base_url)
        while (question := await asyncio.to_thread(pipe.recv)) is not None:
            pipe.send(_answer(server, question))


def _answer(server: FaultServer, question: str | float) -> object:
    names = server.accounts
    match question:
        case "creates":
            return server.count("POST", "/sequences.json")
        case "rows":
            return [len(server.sequences(name)) for name in names]
        case "posts":
            return [server.oracle.posts(name) for name in names]
        case "heal":
            lost = server.oracle.faults.get("reset_peer", 0)
            server.faults.clear()
            return lost
        case since:
            records = server.requests
            place = bisect_left(records, float(since), key=lambda record: record.received_at)
            return records[place].received_at if place < len(records) else None


def _run_server(accounts: int, seed: int, pipe: Connection, listen: Listen) -> None:
    asyncio.run(_serve(accounts, seed, pipe, listen()))


@contextmanager
def serving(accounts: int, seed: int, listen: Listen = dict[str, Any]) -> Iterator[Connection]:
    """Run the server, and yield a connection for questions; the first answer is its address.

    Its process first calls `listen`, which returns the settings for listening.
    """
    here, there = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_run_server, args=(accounts, seed, there, listen), daemon=True)
    process.start()
    try:
        yield here
    finally:
        here.send(None)
        process.join(10)
        process.kill()


def ask(server: Connection, question: str | float) -> object:
    """Return the answer to "creates", "rows", "posts", "heal", or the first request since then."""
    server.send(question)
    return server.recv()
