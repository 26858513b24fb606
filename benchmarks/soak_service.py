"""A service of several worker processes, and a job at the same time, on one shared journal.

The service is `tests/examples/fastapi_service.py` under uvicorn, which replaces a killed worker.
Clients request the same series at the same time, and retry when their connection breaks. The job
has the same series in its plan; it is killed when the clients are done. The server accepts every
create: it has no check of names. At the end unresolved intents are resumed, absent ones are sent
again, and the job runs once more: every account must have one row, from one POST.

`python benchmarks/soak_service.py [requests] [accounts] [workers] [kills] [seed]` exits 1 on a
violation.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import attrs
from soak_tally import Violations, report

from invoicexpress_async import Intent, OutcomeUnknownError, RetryPolicy, SessionManager
from invoicexpress_async.provisioning import SqliteJournal
from invoicexpress_async.sandbox import FaultServer, SandboxAccount, make_fault

_KEY = "soak-key-0123456789"
_SERIE = "2027"
_EXAMPLES = Path(__file__).parents[1] / "tests" / "examples"
_TRIES = 8
_REQUESTS_A_SECOND = 400
_JOB_ENDS = {0, 1, 3, -signal.SIGKILL}
_DEADLINE = {"X-Deadline-Seconds": "6"}
_READ_AFTER_SECONDS = (0.1, 0.3)


@attrs.define
class Tally(Violations):
    """The counts of the whole soak."""

    answers: Counter[str] = attrs.field(factory=Counter[str])
    kills: int = 0
    posts: int = 0
    unresolved: int = 0
    sent_again: int = 0


@attrs.define(kw_only=True)
class _Service:
    """A running uvicorn with its workers."""

    url: str
    process: asyncio.subprocess.Process

    def workers(self) -> list[int]:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if _is_worker(child)]

    async def ready(self, session: aiohttp.ClientSession) -> None:
        while self.process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{self.url}/health") as answer:
                    if answer.ok:
                        return
            await asyncio.sleep(0.1)
        raise AssertionError("the service does not start")


def _is_worker(child: str) -> bool:
    with contextlib.suppress(OSError):  # the process has just ended
        return b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    return False


@contextlib.asynccontextmanager
async def _serving(folder: Path, base_url: str, workers: int) -> AsyncIterator[_Service]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    options = ("--workers", str(workers), "--port", port, "--log-level", "error")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "fastapi_service:app", *options),
        cwd=_EXAMPLES,
        env={
            **os.environ,
            "INVOICEXPRESS_BASE_URL": base_url,
            "COMPANIES_FILE": str(folder / "companies.json"),
            "INTENTS_FILE": str(folder / "intents.sqlite3"),
            "JOURNAL_FILE": str(folder / "job.db"),
        },
    )
    try:
        yield _Service(url=f"http://127.0.0.1:{port}", process=process)
    finally:
        process.terminate()
        await process.wait()


@attrs.define
class _Soak:
    folder: Path
    server: FaultServer
    names: list[str]
    dice: random.Random
    tally: Tally = attrs.field(factory=Tally)
    answered: int = 0
    spread_seconds: float = 0.0
    ids: dict[str, set[int]] = attrs.field(factory=dict[str, set[int]])

    def write_files(self) -> None:
        keys = dict.fromkeys(self.names, _KEY)
        (self.folder / "companies.json").write_text(json.dumps(keys))
        lines = "".join(f"{name};{_KEY};{_SERIE}\n" for name in self.names)
        (self.folder / "plan.csv").write_text(f"account;api_key;serie\n{lines}")

    async def storm(self, service: _Service, requests: int, kills: int) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await service.ready(session)
            self.spread_seconds = requests / _REQUESTS_A_SECOND
            wanted = [self.names[number % len(self.names)] for number in range(requests)]
            self.dice.shuffle(wanted)
            job = await self.start_job("--concurrency", "2")
            while not self.server.requests:  # noqa: ASYNC110  # of another process
                await asyncio.sleep(0.005)
            killing = asyncio.create_task(self.kill(service, requests, kills))
            await asyncio.gather(*(self.ask(session, service.url, name) for name in wanted))
            await killing
            if job.returncode is None:
                job.kill()  # it still reads for intents that a killed worker left
            assert await job.wait() in _JOB_ENDS

    async def ask(self, session: aiohttp.ClientSession, url: str, name: str) -> None:
        """Ensure the serie of an account, like a client that retries when it is cut off."""
        # If all came at once, one worker would accept them all.
        await asyncio.sleep(self.dice.uniform(0.0, self.spread_seconds))
        for number in range(_TRIES):
            try:
                async with session.post(
                    f"{url}/companies/{name}/sequences", json={"serie": _SERIE}, headers=_DEADLINE
                ) as answer:
                    body = await answer.json()
            except aiohttp.ClientError:
                self.tally.answers["cut off"] += 1
                await asyncio.sleep(0.1 * 2**number)
                continue
            self.tally.answers[str(answer.status)] += 1
            if answer.status in {200, 201}:
                self.ids.setdefault(name, set()).add(body["id"])
            break
        self.answered += 1

    async def kill(self, service: _Service, requests: int, kills: int) -> None:
        for number in range(kills):
            # The first kill comes while no request has a response yet.
            wanted = requests * number // (kills + 1)
            while self.answered < wanted:  # noqa: ASYNC110  # a counter of many tasks
                await asyncio.sleep(0.005)
            await asyncio.sleep(self.dice.uniform(0.0, 0.3))
            if workers := service.workers():
                os.kill(self.dice.choice(workers), signal.SIGKILL)
                self.tally.kills += 1

    async def start_job(self, *more: str) -> asyncio.subprocess.Process:
        """Start the job, while the service runs."""
        options = ("--journal", self.folder / "job.db", "--shared-journal", *more)
        arguments = ("-m", "invoicexpress_async", "provision", self.folder / "plan.csv", *options)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *map(str, arguments),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "INVOICEXPRESS_BASE_URL": self.server.base_url},
        )

    def judge(self) -> None:
        """Compare the responses of the service with the server's oracle."""
        posts = [self.server.oracle.posts(name) for name in self.names]
        self.tally.posts = sum(posts)
        self.tally.posted_twice = sum(count > 1 for count in posts)
        for name in self.names:
            there = {one.id for one in self.server.sequences(name)}
            self.tally.duplicates += len(there) > 1
            self.tally.false_done += self.ids.get(name, there) != there

    async def settle(self) -> None:
        """Resume unresolved intents, and send absent ones again, as an operator would."""
        retry = RetryPolicy(read_after_seconds=_READ_AFTER_SECONDS)
        async with (
            SqliteJournal(self.folder / "job.db", shared=True) as journal,
            SessionManager(base_url=self.server.base_url, retry=retry, journal=journal) as manager,
        ):
            intents = await manager.read_unresolved()
            self.tally.unresolved = len(intents)
            await asyncio.gather(*(self.settle_one(manager, intent) for intent in intents))

    async def settle_one(self, manager: SessionManager, intent: Intent) -> None:
        sequences = manager.account(intent["account"], _KEY).sequences
        try:
            await sequences.resume(intent)
        except OutcomeUnknownError:
            self.tally.sent_again += 1
            sequences.forget(intent)
            await sequences.ensure(_SERIE)

    async def finish(self) -> None:
        job = await self.start_job()
        code = await job.wait()
        counts = [len(self.server.sequences(name)) for name in self.names]
        self.tally.not_done_at_last = sum(count != 1 for count in counts) + (code != 0)


async def soak(requests: int, accounts: int, workers: int, kills: int, seed: int) -> Tally:
    """Load the service, kill its workers, settle the rest, and check the result."""
    names = [f"account-{number}" for number in range(accounts)]
    listed = [SandboxAccount(name=name, api_key=_KEY) for name in names]
    with tempfile.TemporaryDirectory() as name:
        async with FaultServer(accounts=listed, seed=seed, is_name_check_atomic=False) as server:
            slow = {make_fault("latency", seconds=one): 1.0 for one in (0.05, 0.2, 1.0)}
            server.faults.randomly(slow, share=1.0, operations=("create",))
            run = _Soak(Path(name), server, names, random.Random(seed))
            run.write_files()
            async with _serving(run.folder, server.base_url, workers) as service:
                await run.storm(service, requests, kills)
            run.judge()
            await run.settle()
            await run.finish()
            run.judge()
            return run.tally


def main(requests: int, accounts: int, workers: int, kills: int, seed: int) -> int:
    """Run the soak, and print the counts."""
    started = time.perf_counter()
    tally = asyncio.run(soak(requests, accounts, workers, kills, seed))
    seconds = time.perf_counter() - started
    title = (
        f"{requests} requests, {accounts} accounts, {workers} workers and a job; {seconds:.0f} s"
    )
    return report(title, tally, answers=dict(sorted(tally.answers.items())))


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + [2_000, 200, 4, 6, 1][len(given) :])))
