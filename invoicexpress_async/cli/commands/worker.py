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
from invoicexpress_async.jobs.journal import UNRESOLVED
from invoicexpress_async.provisioning import (
    JournalError,
    JournalStatus,
    KeyUnavailableError,
    PostgresJournal,
    RowState,
    SliceReport,
    load_keys,
    read_status,
    run_worker,
)

_GOOD: Final = frozenset({RowState.DONE, RowState.PREPARED})


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class WorkerOptions(SettingsOptions):
    """The settings of a worker."""

    retry_refused: Annotated[
        bool, Parameter(help="Try again, once, what is refused when it starts, of all plans.")
    ] = False


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
    run: WorkerOptions = WorkerOptions(),
    options: ConnectionOptions = ConnectionOptions(),
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
    opened, source, settings = PostgresJournal(journal), load_keys(keys), run.settings()
    interruption = Interruption(drain_seconds=check_seconds("--drain", drain))
    as_json = options.as_json

    def show_problem(error: JournalError) -> None:
        show_error(error, as_json=as_json)

    async def work() -> int:
        async with open_manager(options) as manager, opened:
            with interruption.catching():
                if not as_json:
                    echo(f"Working on {opened.label}, at {base_url_of(options).template}.")
                await run_worker(
                    manager,
                    opened,
                    source,
                    concurrency=concurrency,
                    settings=settings,
                    until_done=until_done,
                    stop=interruption.stop,
                    on_slice=lambda report: _show(report, as_json=as_json),
                    on_problem=show_problem,
                )
        if not until_done or interruption.has_come:
            return DONE  # a service manager treats anything else as a failure
        return _end(await asyncio.to_thread(read_status, journal), as_json=as_json)

    return run_to_its_end(work())


def _end(status: JournalStatus, *, as_json: bool) -> int:
    """Show how far the whole journal is, and return the exit code for it."""
    if as_json:
        write_json({"type": "summary", "rows": status.rows, "counts": dict(status.counts)})
    else:
        counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
        end = "" if _GOOD.issuperset(status.counts) else " See `invoicexpress status`."
        echo(printable(f"The journal has {status.rows} rows: {counts or 'none'}.{end}"))
    if not UNRESOLVED.isdisjoint(status.counts):
        return UNKNOWN
    return DONE if _GOOD.issuperset(status.counts) else FAILED


def _show(report: SliceReport, *, as_json: bool) -> None:
    counts = {state: count for state, count in report.counts.items() if count}
    problem = report.problem and message_of(report.problem)
    if as_json:
        no_key = [{"account": one.account, "cause": message_of(one)} for one in report.no_key]
        write_json(
            {
                "type": "slice",
                "slice": report.number,
                "counts": counts,
                "left": report.left,
                "due_seconds": report.due_seconds,
                "is_fenced": report.is_fenced,
                "problem": problem,
                "no_key": no_key,
            }
        )
        return
    done = ", ".join(f"{count} {state}" for state, count in counts.items()) or "nothing"
    why = f" {problem}" if problem else ""
    left = f", {report.left} left" if report.left else ""
    keys = f" {_of_keys(report.no_key)}" if report.no_key else ""
    echo(printable(f"slice {report.number}: {done}{left}.{why}{keys}"))


def _of_keys(errors: Sequence[KeyUnavailableError]) -> str:
    first, more = errors[0], len(errors) - 1
    others = f" {more} more rows lack a key." if more else ""
    return f"{message_of(first)}{others} What has no key here stays open for other workers."
