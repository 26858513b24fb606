"""The programs of the simulated processes: a job, and a web service, on one journal."""

import asyncio
import functools
import random
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from invoicexpress_async import SessionManager
from invoicexpress_async.call.realm import Process
from invoicexpress_async.provisioning import (
    Plan,
    PlanRow,
    ProvisioningReport,
    RunSettings,
    provision,
)
from simulation.disk import Disk, SimulatedJournal
from simulation.loop import SimulatedLoop
from simulation.network import Resolver
from simulation.oracle import Oracle
from simulation.server import KEY
from simulation.sources import SimulatedClock
from simulation.trace import Trace

_WRONG_KEY: Final = "canary-key-that-is-wrong"
_DEADLINES: Final = (3.0, 30.0, 180.0, 400.0)


@attrs.frozen(kw_only=True)
class Programs:
    """The programs of one history. They use the real package, and the oracle sees their results.

    Attributes:
        wanted: The accounts and their series.
        is_default: Whether the first serie is to be the default.
        concurrency: The concurrency of a job.
        is_contended: Whether each job has a wish of its own, and some a wrong key.
    """

    loop: SimulatedLoop
    disk: Disk
    oracle: Oracle
    trace: Trace
    chance: random.Random
    wanted: list[tuple[str, str]]
    is_default: bool
    concurrency: int
    is_contended: bool

    async def job(self, name: str, resend_absent_after: float | None, *, is_last: bool) -> None:
        """Ensure every wanted serie."""
        self.trace.note("begins")
        settings = RunSettings(resend_absent_after=resend_absent_after)
        key, is_default = KEY, self.is_default
        if self.is_contended:
            settings = attrs.evolve(settings, accept_changes=True, retry_refused=is_last)
            if not is_last:
                key = self.chance.choice((KEY, KEY, _WRONG_KEY))
                is_default = self.chance.random() < 0.5
            self.trace.note(f"wants default={is_default}, {'right' if key == KEY else 'wrong'} key")
        try:
            async with self._journal() as journal, self._manager() as manager:
                report = await provision(
                    manager,
                    _plan(tuple(self.wanted), key, is_default=is_default),
                    journal=journal,
                    concurrency=self.concurrency,
                    settings=settings,
                )
        except Exception as error:  # noqa: BLE001  # the oracle checks every error
            self._see(name, f"ends: {type(error).__name__}", partial(self.oracle.on_error, error))
        else:
            self._see(name, _brief(report), partial(self.oracle.on_report, report))

    async def service(self, name: str) -> None:
        """Serve some requests at once, and settle the intents that an earlier process left."""
        self.trace.note("begins")
        try:
            async with (
                self._journal() as journal,
                self._manager(journal) as manager,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._resume(name, manager))
                for _ in range(self.chance.randint(1, 5)):
                    group.create_task(self._request(name, manager))
        except Exception as error:  # noqa: BLE001  # as above
            self._see(name, f"ends: {type(error).__name__}", partial(self.oracle.on_error, error))
        else:
            self._see(name, "ends", lambda: None)

    async def _request(self, name: str, manager: SessionManager) -> None:
        await asyncio.sleep(self.chance.choice((0.0, 0.05, 200.0)) * self.chance.random())
        account, serie = self.chance.choice(self.wanted)
        seconds, is_shared = self.chance.choice(_DEADLINES), self.chance.random() < 0.5
        sequences = manager.account(account, KEY).sequences
        call = sequences.ensure(serie, timeout_seconds=seconds, shared=is_shared)
        try:
            if self.chance.random() < 0.2:  # like a client that disconnects
                call = asyncio.wait_for(call, seconds * self.chance.random())
            await call
        except TimeoutError as error:
            if type(error) is not TimeoutError:  # an error of the package may be a subclass
                self._see_error(name, f"{account} {serie}", error)
        except Exception as error:  # noqa: BLE001  # as above
            self._see_error(name, f"{account} {serie}", error)
        else:
            done = partial(self.oracle.on_done, account, serie)
            self._see(name, f"{account} {serie} is there", done)

    async def _resume(self, name: str, manager: SessionManager) -> None:
        if self.chance.random() < 0.5:
            return
        try:
            for intent in await manager.read_unresolved():
                account = manager.account(intent["account"], KEY)
                sequence = await account.sequences.resume(intent, timeout_seconds=60.0)
                done = partial(self.oracle.on_done, intent["account"], sequence.serie)
                self._see(name, f"{intent['account']} {sequence.serie} was resumed", done)
        except Exception as error:  # noqa: BLE001  # as above
            self._see_error(name, "resume", error)

    def _see_error(self, name: str, what: str, error: Exception) -> None:
        text = f"{what}: {type(error).__name__}"
        self._see(name, text, partial(self.oracle.on_error, error))

    def _see(self, name: str, text: str, judge: Callable[[], None]) -> None:
        if self.loop.process.is_alive:
            self.trace.note(text, process=name)
            judge()

    def _journal(self) -> SimulatedJournal:
        return SimulatedJournal(self.disk)

    def _manager(self, journal: SimulatedJournal | None = None) -> SessionManager:
        return SessionManager(
            clock=SimulatedClock(self.loop),
            resolver=Resolver(),
            journal=journal,
            process=Process(),
        )


def _brief(report: ProvisioningReport) -> str:
    states = " ".join(f"{one.row.account}/{one.row.serie}={one.state}" for one in report.outcomes)
    return f"ends: {states}; {type(report.problem).__name__ if report.problem else 'no problem'}"


@functools.cache
def _plan(wanted: tuple[tuple[str, str], ...], key: str, *, is_default: bool) -> Plan:
    first = wanted[0][1]
    return Plan(
        rows=[
            PlanRow(
                account=account,
                api_key=key,
                serie=serie,
                is_default=is_default and serie == first,
            )
            for account, serie in wanted
        ]
    )
