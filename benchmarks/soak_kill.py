"""A job that is killed with -9 at random instants, hundreds of times, and resumed each time.

The job is a process of its own with a plan and a journal on the disk; the server is another, and
its oracle counts. One create in thirty loses its answer, and is committed at once, late or never.
A tenth of the kills comes in the start of the process, wherever it is; the others some
milliseconds after the server has had so many more creates. In the end the job runs to its end,
and then once more with what is absent sent again, its waiting time put into the past.

With several processes, they carry out the same job on one shared journal at the same time, and
are frozen and woken as well. The server accepts every create: it has no check of names.

`python benchmarks/soak_kill.py [accounts] [kills] [seed] [processes]` exits 1 on a violation.
"""

import asyncio
import contextlib
import json
import multiprocessing
import multiprocessing.process
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import attrs
from soak_crew import Crew
from soak_server import CONTEXT, KEY, LATE_SECONDS, ask, name_of, serving

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.sqlite.reader import JournalFile
from invoicexpress_async.provisioning import Plan, RunSettings, SqliteJournal, provision

_AGAIN_SECONDS = 900.0
_SHARE_IN_THE_START = 0.1
_LONGEST_RUN_SECONDS = 60.0
# A kill leaves up to so many rows between intent and send, of a few that it is given each time.
_CONCURRENCY = 10
_IN_DOUBT = "state IN ('intent', 'unknown', 'absent')"


@attrs.define
class Tally:
    """What the whole soak came to."""

    kills: int = 0
    kills_in_the_start: int = 0
    kills_while_frozen: int = 0
    freezes: int = 0
    creates: int = 0
    lost_answers: int = 0
    absent_at_the_end: int = 0
    duplicates: int = 0
    posted_twice: int = 0
    lost: int = 0
    false_done: int = 0
    not_done_at_last: int = 0
    intents_open: list[int] = attrs.field(factory=list[int])
    resume_seconds: list[float] = attrs.field(factory=list[float])

    @property
    def violations(self) -> int:
        """What must be 0."""
        wrong = self.duplicates + self.posted_twice + self.lost
        return wrong + self.false_done + self.not_done_at_last


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
        """Kill one process at a time, so many times."""
        for left in range(kills, 0, -1):
            self.kill_once(creates=self.share_of(left))

    def kill_in_company(self, kills: int) -> None:
        """Kill and freeze some of several processes, and let them end."""
        crew = Crew(size=self.processes, start=self.start, creates=self.creates, dice=self.dice)
        for left in range(kills, 0, -1):
            self.tally.intents_open += [self.count(_IN_DOUBT)]
            crew.kill_one(creates=self.share_of(left))
        crew.finish(_LONGEST_RUN_SECONDS * 4)
        self.tally.kills, self.tally.freezes = crew.kills, crew.freezes
        self.tally.kills_while_frozen = crew.kills_while_frozen

    def share_of(self, left: int) -> int:
        """Return how many creates to wait for when so many kills are left."""
        # What a kill leaves in doubt is not sent again, and is no create to wait for.
        return self.count("state = 'planned'", else_=self.accounts) // (left + 1)

    def kill_once(self, *, creates: int) -> None:
        """Start the job, and kill it after about so many more creates."""
        self.tally.intents_open += [self.count(_IN_DOUBT)]
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
        """Let both lists that sending again asks for, and the time between, have been."""
        moment = json.dumps([time.time() - 3 * _AGAIN_SECONDS, 0, ""])
        text = f"UPDATE rows SET intended_at = ?, absent_since = ? WHERE {_IN_DOUBT}"  # noqa: S608  # a constant
        self.query(text, moment, moment)

    def creates(self) -> int:
        return cast("int", ask(self.server, "creates"))

    def count(self, condition: str, *, else_: int = 0) -> int:
        if not (self.folder / "job.db").exists():
            return else_
        try:
            rows = self.query(f"SELECT account, state FROM rows WHERE {condition}")  # noqa: S608  # a constant
        except sqlite3.OperationalError:
            return else_  # killed before it had made its tables
        return len(rows)

    def query(self, text: str, *values: str) -> list[tuple[str, str]]:
        # What a kill has interrupted in the file is ended first, as `status` does.
        with contextlib.suppress(JournalError), JournalFile(self.folder / "job.db"):
            pass
        connection = sqlite3.connect(self.folder / "job.db")
        rows = connection.execute(text, values).fetchall()
        connection.commit()
        connection.close()
        return rows

    def judge(self, states: dict[str, str]) -> None:
        """Hold what the journal says against what the server knows."""
        rows = cast("list[int]", ask(self.server, "rows"))
        posts = cast("list[int]", ask(self.server, "posts"))
        self.tally.creates = sum(posts)
        self.tally.posted_twice = sum(one > 1 for one in posts)
        for number, count in enumerate(rows):
            state = states[name_of(number)]
            self.tally.duplicates += count > 1
            self.tally.lost += count > 0 and state != "done"
            self.tally.false_done += count == 0 and state == "done"
        self.tally.absent_at_the_end = Counter(states.values())["absent"]

    def judge_the_last_run(self, states: dict[str, str]) -> None:
        rows = cast("list[int]", ask(self.server, "rows"))
        self.tally.duplicates += sum(count > 1 for count in rows)
        done = sum(state == "done" for state in states.values())
        self.tally.not_done_at_last = len(rows) - min(done, sum(count == 1 for count in rows))


def soak(accounts: int, kills: int, seed: int, processes: int) -> Tally:
    """Kill and resume, then judge."""
    with tempfile.TemporaryDirectory() as name, serving(accounts, seed) as server:
        folder = Path(name)
        lines = "".join(f"{name_of(number)};{KEY};2027\n" for number in range(accounts))
        (folder / "plan.csv").write_text(f"account;api_key;serie\n{lines}")
        base_url, dice = cast("str", server.recv()), random.Random(seed)
        run = _Soak(folder, server, base_url, dice, accounts, processes)
        run.kill_alone(kills) if processes == 1 else run.kill_in_company(kills)
        run.tally.lost_answers = cast("int", ask(server, "heal"))
        run.judge(run.finish())
        run.age()
        run.judge_the_last_run(run.finish(RunSettings(resend_absent_after=_AGAIN_SECONDS)))
        return run.tally


def _spread(values: list[float] | list[int], unit: str) -> str:
    if not values:
        return "not measured"
    ordered = sorted(values)
    p95 = ordered[int(len(ordered) * 0.95)]
    return f"{statistics.median(ordered):.2f} median, {p95:.2f} p95, {ordered[-1]:.2f} most{unit}"


def main(accounts: int, kills: int, seed: int, processes: int) -> int:
    """Print what it came to."""
    started = time.perf_counter()
    tally = soak(accounts, kills, seed, processes)
    seconds = time.perf_counter() - started
    print(f"{accounts} accounts, seed {seed}, processes: {processes}; {seconds:.0f} s")
    for field in attrs.fields(Tally):
        value = getattr(tally, field.name)
        if isinstance(value, int):
            print(f"  {field.name:20} {value}")
    print(f"  intents open at start  {_spread(tally.intents_open, '')}")
    print(f"  start to first request {_spread(tally.resume_seconds, ' s')}")
    print(f"violations: {tally.violations}")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    CONTEXT.set_forkserver_preload(
        ["invoicexpress_async.provisioning", "invoicexpress_async.sandbox"]
    )
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + [5_000, 300, 1, 1][len(given) :])))
