"""Companies onboarded by one process; workers on a shared journal create their first series.

One process holds the partner: it creates the accounts, delivers their keys and sends the AT
credentials, with its journal in PostgreSQL. Other processes that are started meanwhile for the same
partner, as on other machines, are refused. The first series are rows of that journal; workers do
them, with the delivered keys. One in ten responses to their creates is lost. At the end every
secret is searched for in all tables of the database and in the server's log.

`python benchmarks/soak_onboarding_machines.py [companies] [workers] [seed]` prints the counts and
exits 1 on a violation. It needs the binaries of PostgreSQL.
"""

import asyncio
import contextlib
import csv
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from soak_onboarding import AT_PASSWORD, KEY, USER_PASSWORD, Tally, ends_of, job, judge, nif, start
from soak_server import CONTEXT
from soak_tally import report

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))
from postgres_server import PostgresServer, find_binaries

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.onboarding import CsvSink
from invoicexpress_async.provisioning import (
    JournalError,
    PostgresJournal,
    RowState,
    RunStop,
    SliceReport,
    run_worker,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount, make_fault

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

_RIVALS = 3
_SHARE_LOST = 0.1
_REFUSED = 17
_LONGEST_START_SECONDS = 60.0


async def _work(base_url: str, keys: Path, url: str) -> int:
    """Work on rows until SIGTERM, and return how many were done."""
    stop, done = RunStop(), 0
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.request)

    def note(report: SliceReport) -> None:
        nonlocal done
        done += report.counts[RowState.DONE]

    quick = RetryPolicy(read_after_seconds=(0.05, 0.2, 1.0))
    async with (
        PostgresJournal(url) as journal,
        SessionManager(base_url=base_url, retry=quick) as manager,
    ):
        key_of = CsvSink(keys).key_of
        await run_worker(manager, journal, key_of, stop=stop, sweep_seconds=0.2, on_slice=note)
    return done


def _run_worker(base_url: str, keys: Path, url: str, done: "SimpleQueue[int]") -> None:
    done.put(asyncio.run(_work(base_url, keys, url)))


def _run_rival(base_url: str, folder: Path, count: int, url: str) -> None:
    try:
        with contextlib.redirect_stdout(None):
            asyncio.run(job(base_url, folder, count, url))
    except JournalError as error:
        if "is in use for partner partner" in str(error):
            sys.exit(_REFUSED)
        raise


@attrs.define
class SharedTally(Tally):
    """The counts of a soak with workers."""

    rivals_not_refused: int = 0
    keys_delivered_twice: int = 0
    keys_delivered_elsewhere: int = 0
    credentials_sent_twice: int = 0
    series_posted_twice: int = 0
    secrets_in_the_database: int = 0
    not_done: int = 0
    done_by_worker: list[int] = attrs.field(factory=list[int])

    @property
    def violations(self) -> int:
        """The number of violations, which must be 0."""
        keys = self.keys_lost + self.keys_delivered_twice + self.keys_delivered_elsewhere
        sent_twice = self.credentials_sent_twice + self.series_posted_twice
        others = self.rivals_not_refused + self.secrets_in_the_database + self.not_done
        return super().violations + keys + sent_twice + others


@asynccontextmanager
async def _workers(count: int, tally: SharedTally, *arguments: object) -> AsyncIterator[None]:
    done: SimpleQueue[int] = CONTEXT.SimpleQueue()
    running = [
        CONTEXT.Process(target=_run_worker, args=(*arguments, done), daemon=True)
        for _ in range(count)
    ]
    for one in running:
        one.start()
    try:
        yield
    finally:
        for one in running:
            one.terminate()
        for one in running:
            await asyncio.to_thread(one.join)
        tally.done_by_worker = [done.get() for one in running if one.exitcode == 0]


async def soak(count: int, workers: int, seed: int, folder: Path) -> SharedTally:
    """Onboard `count` companies, and check the result."""
    binaries = find_binaries()
    assert binaries is not None, "PostgreSQL is not on this machine: apt-get install postgresql"
    tally = SharedTally(companies=count)
    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    server = FaultServer(
        accounts=[partner], seed=seed, requests_per_minute=None, is_name_check_atomic=False
    )
    with PostgresServer.started(binaries) as database:
        async with server:
            lost = make_fault("reset_peer", commits=True)
            server.faults.randomly({lost: 1.0}, share=_SHARE_LOST, operations=("create",))
            onboarding = await start(server.base_url, folder, count, database.url)
            while not server.oracle.accounts.posts():  # noqa: ASYNC110 - the server has no event
                await asyncio.sleep(0.01)
            rivals = [Path(tempfile.mkdtemp(prefix="rival-", dir=folder)) for _ in range(_RIVALS)]
            refused = [_is_refused(server, count, one, database.url) for one in rivals]
            tally.rivals_not_refused = (await asyncio.gather(*refused)).count(False)
            # The onboarding cannot have ended before, since its first series wait for the workers.
            to = (server.base_url, folder / "keys.csv", database.url)
            async with _workers(workers, tally, *to):
                out, _ = await onboarding.communicate()
            tally.faults = sum(server.oracle.faults.values())
            judge(server, ends_of(out), folder, tally)
            _judge_what_is_shared(server, folder, tally)
            dump = database.dump(database.url)
        keys = {one.api_key for one in server.accounts.values()}
        assert nif(0) in dump, "it has the companies"
        secrets = {*keys, USER_PASSWORD, AT_PASSWORD}
        tally.secrets_in_the_database = sum(one in dump for one in secrets)
    return tally


async def _is_refused(server: FaultServer, count: int, folder: Path, url: str) -> bool:
    """Start another onboarding for the same partner, and return whether it was refused."""
    arguments = (server.base_url, folder, count, url)
    rival = CONTEXT.Process(target=_run_rival, args=arguments, daemon=True)
    rival.start()
    await asyncio.to_thread(rival.join, _LONGEST_START_SECONDS)
    rival.kill()
    return rival.exitcode == _REFUSED


def _judge_what_is_shared(server: FaultServer, folder: Path, tally: SharedTally) -> None:
    with (folder / "keys.csv").open(newline="") as file:
        times = Counter(row["account"] for row in csv.DictReader(file))
    tally.keys_delivered_twice = sum(one > 1 for one in times.values())
    tally.keys_delivered_elsewhere = sum(1 for _ in folder.glob("rival-*/keys.csv"))
    made = [one.name for one in server.accounts.values() if one.fiscal_id]
    at = server.oracle.accounts.at_communications
    tally.credentials_sent_twice = sum(at(name) > 1 for name in made)
    tally.series_posted_twice = sum(server.oracle.posts(name, "2027") > 1 for name in made)
    tally.not_done = tally.companies - min(tally.done, sum(tally.done_by_worker))


def main(count: int, workers: int, seed: int) -> int:
    """Run the soak and print the counts."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(soak(count, workers, seed, Path(folder)))
    seconds = time.perf_counter() - started
    ends = "; ".join(f"{number} {end}" for end, number in tally.ends.most_common())
    return report(
        f"seed {seed}; {seconds:.0f} s", tally, ends=ends, done_by_worker=tally.done_by_worker
    )


if __name__ == "__main__":
    CONTEXT.set_forkserver_preload(["soak_onboarding"])
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + [1000, 2, 1][len(given) :])))
