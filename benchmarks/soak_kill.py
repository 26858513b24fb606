"""A job that is killed with -9 at random instants, hundreds of times, and resumed each time.

The job is a process with a plan and a journal on the disk; the server is another process, with an
oracle that counts. One create in thirty loses its response, and is committed at once, late or
never. A tenth of the kills come at a random moment of the process's start; the others some
milliseconds after a number of further creates. Then the job runs to its end, and once more with
absent rows sent again, for which the journal's times are moved back.

Several processes run the same job on one shared journal at the same time, and are also frozen and
woken. The server accepts every create: it has no check of names.

`python benchmarks/soak_kill.py [accounts] [kills] [seed] [processes]` exits 1 on a violation.
"""

import asyncio
import contextlib
import multiprocessing
import multiprocessing.process
import random
import signal
import sqlite3
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import attrs
from soak_crew import Crew
from soak_server import CONTEXT, KEY, LATE_SECONDS, ask, name_of, serving
from soak_tally import AGAIN_SECONDS, JobTally, long_ago, report, spread

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.sqlite.reader import JournalFile
from invoicexpress_async.provisioning import Plan, RunSettings, SqliteJournal, provision

_SHARE_IN_THE_START = 0.1
_LONGEST_RUN_SECONDS = 60.0
# A kill leaves up to this many rows between intent and send, of the few that each run completes.
_CONCURRENCY = 10
_UNRESOLVED = "state IN ('intent', 'unknown', 'absent')"


@attrs.define
class Tally(JobTally):
    """The counts of the whole soak."""

    kills: int = 0
    kills_in_the_start: int = 0
    kills_while_frozen: int = 0
    freezes: int = 0
    intents_open: list[int] = attrs.field(factory=list[int])
    resume_seconds: list[float] = attrs.field(factory=list[float])


async def _provision(folder: Path, base_url: str, settings: RunSettings, is_shared: bool) -> None:  # noqa: FBT001  # of a process
    retry = RetryPolicy(read_after_seconds=(0.05, 0.2, 2 * LATE_SECONDS))
    async with (
        SessionManager(base_url=base_url, retry=retry) as manager,
        SqliteJournal(folder / "job.db", shared=is_shared) as journal,
    ):
        plan = Plan.from_csv(folder / "plan.csv")
        report = await provision(
            manager,
            plan,
            journal=journal,
            concurrency=_CONCURRENCY,
            settings=settings,
            keep_done=False,
        )
        assert report.problem is None, report.problem


def _run_job(folder: Path, base_url: str, settings: RunSettings, is_shared: bool) -> None:  # noqa: FBT001  # of a process
    asyncio.run(_provision(folder, base_url, settings, is_shared))


@attrs.define
class _Soak:
    folder: Path
    server: Connection
    base_url: str
    dice: random.Random
    accounts: int
    processes: int
    tally: Tally = attrs.field(factory=Tally)

    def start(self, settings: RunSettings | None = None) -> multiprocessing.process.BaseProcess:
        arguments = (self.folder, self.base_url, settings or RunSettings(), self.processes > 1)
        process = CONTEXT.Process(target=_run_job, args=arguments, daemon=True)
        process.start()
        return process

    def kill_alone(self, kills: int) -> None:
        """Kill a single process, `kills` times."""
        for left in range(kills, 0, -1):
            self.kill_once(creates=self.share_of(left))

    def kill_in_company(self, kills: int) -> None:
        """Kill and freeze some of several processes, and then let them end."""
        crew = Crew(size=self.processes, start=self.start, creates=self.creates, dice=self.dice)
        for left in range(kills, 0, -1):
            self.tally.intents_open += [self.count(_UNRESOLVED)]
            crew.kill_one(creates=self.share_of(left))
        crew.finish(_LONGEST_RUN_SECONDS * 4)
        self.tally.kills, self.tally.freezes = crew.kills, crew.freezes
        self.tally.kills_while_frozen = crew.kills_while_frozen

    def share_of(self, left: int) -> int:
        """Return how many creates to wait for when `left` kills are left."""
        # Rows that a kill left unresolved are not sent again, so they are no creates to wait for.
        return self.count("state = 'planned'", else_=self.accounts) // (left + 1)

    def kill_once(self, *, creates: int) -> None:
        """Start the job, and kill it after about `creates` more creates."""
        self.tally.intents_open += [self.count(_UNRESOLVED)]
        is_early = self.dice.random() < _SHARE_IN_THE_START
        before, started = self.creates(), time.monotonic()
        process = self.start()
        if is_early:
            self.tally.kills_in_the_start += 1
            time.sleep(self.dice.uniform(0.0, 0.5))
        else:
            wanted = before + self.dice.randint(1, max(1, 2 * creates - _CONCURRENCY))
            self.wait_for(process, wanted, until=started + _LONGEST_RUN_SECONDS)
            time.sleep(self.dice.uniform(0.0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}, "it failed by itself"
        self.tally.kills += process.exitcode == -signal.SIGKILL
        first = cast("float | None", ask(self.server, started))
        if first is not None:
            self.tally.resume_seconds.append(first - started)

    def wait_for(
        self, process: multiprocessing.process.BaseProcess, creates: int, *, until: float
    ) -> None:
        while self.creates() < creates and process.is_alive() and time.monotonic() < until:
            time.sleep(0.002)

    def finish(self, settings: RunSettings | None = None) -> dict[str, str]:
        process = self.start(settings)
        process.join(_LONGEST_RUN_SECONDS * 4)
        assert process.exitcode == 0, "the job does not end by itself"
        return dict(self.query("SELECT account, state FROM rows"))

    def age(self) -> None:
        """Move the times of unresolved rows far into the past."""
        moment = long_ago()
        text = f"UPDATE rows SET intended_at = ?, absent_since = ? WHERE {_UNRESOLVED}"  # noqa: S608  # a constant
        self.query(text, moment, moment)

    def creates(self) -> int:
        return cast("int", ask(self.server, "creates"))

    def count(self, condition: str, *, else_: int = 0) -> int:
        if not (self.folder / "job.db").exists():
            return else_
        try:
            rows = self.query(f"SELECT account, state FROM rows WHERE {condition}")  # noqa: S608  # a constant
        except sqlite3.OperationalError:
            return else_  # the job was killed before it had made its tables
        return len(rows)

    def query(self, text: str, *values: str) -> list[tuple[str, str]]:
        # First end a transaction that a kill interrupted in the file, as `status` does.
        with contextlib.suppress(JournalError), JournalFile(self.folder / "job.db"):
            pass
        connection = sqlite3.connect(self.folder / "job.db")
        rows = connection.execute(text, values).fetchall()
        connection.commit()
        connection.close()
        return rows


def soak(accounts: int, kills: int, seed: int, processes: int) -> Tally:
    """Kill and resume the job, then check the result."""
    with tempfile.TemporaryDirectory() as name, serving(accounts, seed) as server:
        folder = Path(name)
        lines = "".join(f"{name_of(number)};{KEY};2027\n" for number in range(accounts))
        (folder / "plan.csv").write_text(f"account;api_key;serie\n{lines}")
        base_url, dice = cast("str", server.recv()), random.Random(seed)
        run = _Soak(folder, server, base_url, dice, accounts, processes)
        run.kill_alone(kills) if processes == 1 else run.kill_in_company(kills)
        run.tally.lost_answers = cast("int", ask(server, "heal"))
        run.tally.judge(server, run.finish())
        run.age()
        again = RunSettings(resend_absent_after=AGAIN_SECONDS)
        run.tally.judge_the_last_run(server, run.finish(again))
        return run.tally


def main(accounts: int, kills: int, seed: int, processes: int) -> int:
    """Run the soak, and print the counts."""
    started = time.perf_counter()
    tally = soak(accounts, kills, seed, processes)
    seconds = time.perf_counter() - started
    return report(
        f"{accounts} accounts, seed {seed}, processes: {processes}; {seconds:.0f} s",
        tally,
        intents_open_at_start=spread(tally.intents_open),
        seconds_to_first_request=spread(tally.resume_seconds),
    )


if __name__ == "__main__":
    CONTEXT.set_forkserver_preload(
        ["invoicexpress_async.provisioning", "invoicexpress_async.sandbox"]
    )
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + [5_000, 300, 1, 1][len(given) :])))
