"""A provisioning job in its own process, which can be killed, signalled or given a wrong time.

The processes come from a fork server that has already imported the package: dozens of them start
in the time that a new interpreter takes.
"""

import asyncio
import json
import multiprocessing
import multiprocessing.process
import os
import resource
import signal
import sqlite3
import ssl
import time
from collections.abc import Coroutine
from ctypes import c_double
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs
from hosts import enter

from invoicexpress_async import (
    ConfigurationError,
    InvoiceXpressError,
    RetryPolicy,
    SessionManager,
    Timeouts,
)
from invoicexpress_async.provisioning import (
    JournalError,
    Plan,
    PostgresJournal,
    ProvisioningReport,
    RunSettings,
    RunStop,
    SliceReport,
    SqliteJournal,
    provision,
    run_worker,
)
from invoicexpress_async.provisioning.job import sync_plan
from invoicexpress_async.provisioning.rows_table import RowJournal

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

KEY = "canary-key-7f3a9c"
SERIE = "2027"


@attrs.frozen(kw_only=True)
class Job:
    """The work of the process, which writes its result into a file beside the journal."""

    base_url: str
    folder: Path
    concurrency: int = 20
    read_after_seconds: tuple[float, ...] = (0.05, 0.15)
    total_seconds: float = 20.0
    attempt_seconds: float = 10.0
    drain_seconds: float = 1.0
    settings: RunSettings = attrs.field(factory=RunSettings)
    name: str = "job"
    journal_name: str = "job.db"
    is_shared: bool = False
    url: str | None = None
    """The URL of a database for the journal; None for a file."""
    lease_seconds: float | None = None
    """If set, the process is a worker with this lease, which does all slices with open rows."""
    hold_seconds: float = 60.0
    """How long a run holds slices of a database without renewing them."""
    is_service: bool = False
    """If set, the process ensures the serie of all accounts at once by single calls."""
    namespace: str | None = None
    """The namespace of the host that it runs on."""
    authority: Path | None = None
    """The file of the certificate authority that it trusts."""

    @property
    def plan(self) -> Path:
        return self.folder / "plan.csv"

    @property
    def journal(self) -> Path:
        return self.folder / self.journal_name

    @property
    def reported(self) -> Path:
        return self.folder / (
            "reported.json" if self.name == "job" else f"reported-{self.name}.json"
        )

    def write_plan(self, names: list[str]) -> None:
        rows = "".join(f"{name};{KEY};{SERIE}\n" for name in names)
        self.plan.write_text(f"account;api_key;serie\n{rows}")


@attrs.frozen(kw_only=True)
class Reported:
    """The result that the process wrote when it ended by itself."""

    states: dict[str, str]
    problem: str | None
    not_started: int
    seconds: float


@attrs.frozen
class Running:
    process: multiprocessing.process.BaseProcess
    job: Job

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    async def ended(self, seconds: float = 120.0) -> int:
        """Return the exit code: the negative signal number, if a signal ended it."""
        await asyncio.to_thread(self.process.join, seconds)
        assert self.process.exitcode is not None, "it does not end"
        return self.process.exitcode

    def reported(self) -> Reported:
        return Reported(**json.loads(self.job.reported.read_text()))


def start(job: Job, *, wall_offset: "Synchronized[float] | None" = None) -> Running:
    job.reported.unlink(missing_ok=True)
    process = _context().Process(target=_run, args=(job, wall_offset), daemon=True)
    process.start()
    return Running(process, job)


def shared_offset() -> "Synchronized[float]":
    """Return a shared number of seconds to add to the wall clock of a started process."""
    return cast("Synchronized[float]", _context().Value(c_double, 0.0))


def ask(path: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    """Run a query on the journal's file, even while a process holds it."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)
    try:
        rows = connection.execute(query, values).fetchall()
        connection.commit()
    finally:
        connection.close()
    return rows


def age(path: Path, seconds: float) -> None:
    """Move the times in the journal this many seconds back, as on an earlier boot."""
    moment = json.dumps([time.time() - seconds, 0, ""])
    ask(path, "UPDATE rows SET intended_at = ? WHERE intended_at IS NOT NULL", moment)
    ask(path, "UPDATE rows SET absent_since = ? WHERE absent_since IS NOT NULL", moment)


def start_opening(journal: Path, reported: Path, *, user: int | None) -> Running:
    """Only open a journal, as a user who is restricted by file modes."""
    process = _context().Process(target=_open, args=(journal, reported, user), daemon=True)
    process.start()
    return Running(process, Job(base_url="", folder=reported.parent))


def _open(journal: Path, reported: Path, user: int | None) -> None:
    with reported.open("w") as file:
        if user is not None:
            os.setuid(user)
        try:
            asyncio.run(_open_and_close(journal))
        except JournalError as error:
            file.write(str(error))


async def _open_and_close(journal: Path) -> None:
    async with SqliteJournal(journal):
        pass


def start_measuring(file: Path, journal: Path, reported: Path) -> Running:
    """Measure the memory of checking a plan, reading it, and entering it into a journal."""
    process = _context().Process(target=_measure, args=(file, journal, reported), daemon=True)
    process.start()
    return Running(process, Job(base_url="", folder=reported.parent))


def _measure(file: Path, journal: Path, reported: Path) -> None:
    before = _peak_mib()
    rows, problem = 0, ""
    try:
        plan = Plan.from_csv(file)
        rows = sum(1 for _ in plan.rows)
        asyncio.run(_enter(plan, journal))
    except ConfigurationError as error:
        problem = str(error)
    figures = {"rows": rows, "problem": problem, "mib": _peak_mib() - before}
    reported.write_text(json.dumps(figures))


async def _enter(plan: Plan, journal: Path) -> None:
    async with SqliteJournal(journal) as opened:
        await sync_plan(RowJournal(opened), plan, RunSettings(), stop=RunStop())


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["invoicexpress_async.provisioning"])
    return context


def _run(job: Job, wall_offset: "Synchronized[float] | None") -> None:
    if wall_offset is not None:
        true_time, offset = time.time, wall_offset.get_obj()
        time.time = lambda: true_time() + offset.value
    if job.namespace is not None:
        enter(job.namespace)
    reported = asyncio.run(_coroutine_of(job))
    job.reported.write_text(json.dumps(attrs.asdict(reported)))


def _coroutine_of(job: Job) -> Coroutine[None, None, Reported]:
    if job.is_service:
        return _serve(job)
    return _provision(job) if job.lease_seconds is None else _work(job)


def journal_of(job: Job) -> SqliteJournal | PostgresJournal:
    if job.url is None:
        return SqliteJournal(job.journal, shared=job.is_shared)
    lease = job.lease_seconds or job.hold_seconds
    return PostgresJournal(job.url, slices=8, lease_seconds=lease, window_seconds=0.01)


def _manager_of(job: Job, journal: SqliteJournal | PostgresJournal | None = None) -> SessionManager:
    return SessionManager(
        base_url=job.base_url,
        journal=journal,
        retry=RetryPolicy(attempts=2, read_after_seconds=job.read_after_seconds),
        timeouts=Timeouts(total_seconds=job.total_seconds, attempt_seconds=job.attempt_seconds),
        ssl_context=ssl.create_default_context(cafile=job.authority) if job.authority else None,
        app_name=job.name,
    )


async def _provision(job: Job) -> Reported:
    stop, loop = RunStop(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stop.request(drain_seconds=job.drain_seconds))
    async with _manager_of(job) as manager:
        try:
            async with journal_of(job) as journal:
                report = await provision(
                    manager,
                    Plan.from_csv(job.plan),
                    journal=journal,
                    concurrency=job.concurrency,
                    settings=job.settings,
                    stop=stop,
                )
        except InvoiceXpressError as error:
            return Reported(states={}, problem=str(error), not_started=0, seconds=0.0)
    return _reported(report)


async def _work(job: Job) -> Reported:
    """Work on slices until no row is due, and report the first problem."""
    problems: list[str] = []

    def note(report: SliceReport) -> None:
        if report.problem is not None:
            problems.append(str(report.problem))

    async with _manager_of(job) as manager, journal_of(job) as journal:
        assert isinstance(journal, PostgresJournal)
        await run_worker(
            manager,
            journal,
            _key_of,
            concurrency=job.concurrency,
            settings=job.settings,
            until_done=True,
            sweep_seconds=0.05,
            on_slice=note,
        )
    problem = problems[0] if problems else None
    return Reported(states={}, problem=problem, not_started=0, seconds=0.0)


async def _serve(job: Job) -> Reported:
    """Report the id that was found or created for each account."""
    names = [row.account for row in Plan.from_csv(job.plan).rows]
    async with journal_of(job) as journal, _manager_of(job, journal) as manager:
        calls = [manager.account(name, KEY).sequences.ensure(SERIE) for name in names]
        ids = [str(one.sequence.id) for one in await asyncio.gather(*calls)]
    return Reported(
        states=dict(zip(names, ids, strict=True)), problem=None, not_started=0, seconds=0
    )


async def _key_of(_: str) -> str:
    return KEY


def _reported(report: ProvisioningReport) -> Reported:
    return Reported(
        states={one.row.account: one.state for one in report.outcomes},
        problem=None if report.problem is None else str(report.problem),
        not_started=report.not_started,
        seconds=report.seconds,
    )
