"""`invoicexpress worker`: works on the rows of a journal that several machines share."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.connection import base_url_of, open_manager
from invoicexpress_async.cli.failures import message_of, show_error
from invoicexpress_async.cli.options import (
    DATABASE_URL,
    ConnectionOptions,
    JournalPlace,
    SettingsOptions,
    check_concurrency,
    parse_place,
)
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.shell import DONE, FAILED, UNKNOWN, echo, printable
from invoicexpress_async.cli.signals import Interruption, run_to_its_end
from invoicexpress_async.config import check_seconds
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.keys import AccountKeys
from invoicexpress_async.provisioning import (
    JournalError,
    JournalStatus,
    KeyUnavailableError,
    PostgresJournal,
    RowState,
    RunSettings,
    SliceReport,
    load_keys,
    read_status,
    run_worker,
)

_NO_OPTIONS: Final = ConnectionOptions()
_UNKNOWN: Final = frozenset({"intent", RowState.UNKNOWN, RowState.ABSENT})
_GOOD: Final = frozenset({RowState.DONE, RowState.PREPARED})


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class WorkerOptions(SettingsOptions):
    """The settings of a worker."""

    retry_refused: Annotated[
        bool, Parameter(help="Try again, once, what is refused when it starts, of all plans.")
    ] = False


_NO_RUN_OPTIONS: Final = WorkerOptions()


def worker(  # noqa: PLR0913  # the options of a command
    *,
    journal: Annotated[
        JournalPlace,
        Parameter(
            converter=parse_place,
            help=f"The {DATABASE_URL} of the journal, without a password: that is in the file "
            "that PGPASSFILE names, or in a service file.",
        ),
    ],
    keys: Annotated[
        str,
        Parameter(
            help="Where the keys are: env:NAME or file:PATH with {account} in it, file:PATH of a "
            "file of accounts as `provision` takes it, or module:callable, an async one that is "
            "given the account's name."
        ),
    ],
    concurrency: Annotated[int, Parameter(help="Accounts in flight at a time.")] = 50,
    drain: Annotated[
        float, Parameter(help="Seconds that what is in flight has to end after SIGTERM or Ctrl-C.")
    ] = 8.0,
    until_done: Annotated[
        bool, Parameter(help="End when nothing is to be done now, instead of waiting for more.")
    ] = False,
    run: WorkerOptions = _NO_RUN_OPTIONS,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Do the rows of a journal in PostgreSQL, beside other workers, until SIGTERM or Ctrl-C.

    Plans come from `provision`, `rollover` or `onboard` with the same --journal. Start as many on
    as many machines as you like: each account is one worker's at a time. A row whose key this
    worker does not have stays open for one that has it. The exit code of --until-done is that of
    the whole journal, of all its rows: 1 when rows are refused or open, 3 when the outcome of
    some is unknown.
    """
    if isinstance(journal, Path):
        raise ConfigurationError(f"A worker needs a journal in PostgreSQL: a {DATABASE_URL}.")
    check_concurrency(concurrency)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # module:callable, as `python -m` finds it
    work = _Work(
        place=journal,
        journal=PostgresJournal(journal),
        keys=load_keys(keys),
        concurrency=concurrency,
        settings=run.settings(),
        until_done=until_done,
        interruption=Interruption(drain_seconds=check_seconds("--drain", drain)),
        options=options,
    )
    return run_to_its_end(work.run())


@attrs.define(kw_only=True, eq=False)
class _Work:
    place: str
    journal: PostgresJournal
    keys: AccountKeys
    concurrency: int
    settings: RunSettings
    until_done: bool
    interruption: Interruption
    options: ConnectionOptions

    async def run(self) -> int:
        async with open_manager(self.options) as manager, self.journal as journal:
            with self.interruption.catching():
                if not self.options.as_json:
                    echo(f"Working on {journal.label}, at {base_url_of(self.options).template}.")
                await run_worker(
                    manager,
                    journal,
                    self.keys,
                    concurrency=self.concurrency,
                    settings=self.settings,
                    until_done=self.until_done,
                    stop=self.interruption.stop,
                    on_slice=self._show,
                    on_problem=self._show_problem,
                )
        if not self.until_done or self.interruption.has_come:
            return DONE  # a service manager treats anything else as a failure
        return self._end(await asyncio.to_thread(read_status, self.place))

    def _end(self, status: JournalStatus) -> int:
        """Show how far the whole journal is, and return the exit code for it."""
        if self.options.as_json:
            write_json({"type": "summary", "rows": status.rows, "counts": dict(status.counts)})
        else:
            counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
            end = "" if _GOOD.issuperset(status.counts) else " See `invoicexpress status`."
            echo(printable(f"The journal has {status.rows} rows: {counts or 'none'}.{end}"))
        if not _UNKNOWN.isdisjoint(status.counts):
            return UNKNOWN
        return DONE if _GOOD.issuperset(status.counts) else FAILED

    def _show(self, report: SliceReport) -> None:
        if self.options.as_json:
            write_json(_object(report))
            return
        counts = ", ".join(f"{count} {state}" for state, count in report.counts.items() if count)
        problem = f" {message_of(report.problem)}" if report.problem else ""
        left = f", {report.left} left" if report.left else ""
        keys = f" {_of_keys(report.no_key)}" if report.no_key else ""
        echo(printable(f"slice {report.number}: {counts or 'nothing'}{left}.{problem}{keys}"))

    def _show_problem(self, error: JournalError) -> None:
        show_error(error, as_json=self.options.as_json)


def _of_keys(errors: Sequence[KeyUnavailableError]) -> str:
    first, more = errors[0], len(errors) - 1
    others = f" {more} more rows lack a key." if more else ""
    return f"{message_of(first)}{others} What has no key here stays open for other workers."


def _object(report: SliceReport) -> dict[str, object]:
    return {
        "type": "slice",
        "slice": report.number,
        "counts": {state: count for state, count in report.counts.items() if count},
        "left": report.left,
        "due_seconds": report.due_seconds,
        "is_fenced": report.is_fenced,
        "problem": report.problem and message_of(report.problem),
        "no_key": [{"account": one.account, "cause": message_of(one)} for one in report.no_key],
    }
