"""`invoicexpress audit`: the sequences of the accounts of a file, and what is wrong with them."""

import sys
import time
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.connection import base_url_of, open_manager, warn_of_file
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.look import show_looking
from invoicexpress_async.cli.options import (
    ConnectionOptions,
    ReportOptions,
    SelectionOptions,
    check_concurrency,
)
from invoicexpress_async.cli.progress import Step, open_progress
from invoicexpress_async.cli.report_file import OutputOptions, OutputSinks, open_sinks
from invoicexpress_async.cli.shell import DONE, FAILED, INTERRUPTED, silence_broken
from invoicexpress_async.cli.signals import Interruption, run_to_its_end
from invoicexpress_async.cli.views.audit import (
    AuditSummary,
    account_object,
    audit_layout,
    show_audit,
)
from invoicexpress_async.cli.words import Language, word
from invoicexpress_async.config import Secret
from invoicexpress_async.provisioning import AccountAudit, AccountList, WantedSerie, iter_audit

_INTERRUPTED: Final = (
    "Interrupted: {left} of {total} accounts not looked at. Run the same command again."
)
_NOT_WRITTEN: Final = "{name} cannot be written, {why}"
_NO_OPTIONS: Final = ConnectionOptions()
_NO_REPORT: Final = ReportOptions()
_NO_SELECTION: Final = SelectionOptions()


def audit(  # noqa: PLR0913  # the options of a command, each with a default
    accounts: Annotated[Path, Parameter(help="A CSV or .xlsx with a header: account, api_key.")],
    /,
    *,
    year: Annotated[
        int | None,
        Parameter(help="Who lacks the serie of this year, registered and as the default?"),
    ] = None,
    serie: Annotated[
        str | None, Parameter(help="Who lacks this very serie? Instead of --year.")
    ] = None,
    concurrency: Annotated[int, Parameter(help="Accounts read at a time.")] = 50,
    reporting: ReportOptions = _NO_REPORT,
    selection: SelectionOptions = _NO_SELECTION,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Look at all sequences of all accounts of a file, and show what is wrong first. Only reads.

    An account is fine when it has one default serie and every document type of it has its code.
    With --year or --serie it must be that one. The exit code is 0 when all accounts are fine,
    else 1.
    """
    check_concurrency(concurrency)
    wanted = None if (year, serie) == (None, None) else WantedSerie(serie=serie, year=year)
    listed = AccountList.from_csv(accounts)
    has_keys = any(isinstance(row.api_key, Secret) for row in listed.rows)
    warn_of_file(accounts, listed.notes, has_keys=has_keys)
    chosen = selection.choose(row.account for row in listed.rows)
    count = len(listed.rows) if chosen is None else len(chosen)
    show_looking(count, base_url_of(options), reporting.language)
    if chosen is not None:
        listed = AccountList(rows=[row for row in listed.rows if row.account in chosen])
    interruption = Interruption()
    output = OutputOptions(
        as_json=options.as_json, report=reporting.report, accounts=accounts, style=reporting.style
    )
    work = _Audit(
        accounts=listed,
        wanted=wanted,
        options=options,
        concurrency=concurrency,
        language=reporting.language,
        sinks=open_sinks(output, audit_layout, account_object, interruption.stop.request),
        interruption=interruption,
        summary=AuditSummary(total=len(listed.rows)),
    )
    return run_to_its_end(work.run())


@attrs.frozen(kw_only=True)
class _Audit:
    accounts: AccountList
    wanted: WantedSerie | None
    options: ConnectionOptions
    concurrency: int
    language: Language
    sinks: OutputSinks[AccountAudit]
    interruption: Interruption
    summary: AuditSummary

    async def run(self) -> int:
        started = time.monotonic()
        with ExitStack() as stack:
            stack.callback(self.sinks.close)
            stack.enter_context(self.interruption.catching())
            await self._read()
        seconds = time.monotonic() - started
        if self.options.as_json:
            self.sinks.write(_summary(self.summary, seconds))
        else:
            self.sinks.render(lambda: self._show(seconds))
        code = self._end()
        silence_broken(self.sinks.stdout_problem)
        return code

    async def _read(self) -> None:
        stop, summary = self.interruption.stop, self.summary
        with open_progress(summary.total, self.language, as_json=self.options.as_json) as progress:
            async with open_manager(self.options) as manager:
                stream = iter_audit(
                    manager,
                    self.accounts,
                    wanted=self.wanted,
                    concurrency=self.concurrency,
                    stop=stop,
                )
                async with aclosing(stream):
                    async for one in stream:
                        summary.add(one)
                        self.sinks.add(one)
                        text = summary.count_text(self.language)
                        progress.update(Step(ended=summary.accounts, text=text))

    def _show(self, seconds: float) -> None:
        show_audit(self.summary, self.language, seconds=seconds)
        sys.stdout.flush()

    def _end(self) -> int:
        summary, sinks = self.summary, self.sinks
        if self.interruption.has_come:
            values = {"left": summary.not_seen, "total": summary.total}
            text = word(_INTERRUPTED, self.language, **values)
            print_failure(text, as_json=self.options.as_json)
            return INTERRUPTED
        problem = sinks.problem
        if problem is not None and not isinstance(problem, BrokenPipeError):
            name = word(sinks.problem_name, self.language)
            text = word(_NOT_WRITTEN, self.language, name=name, why=problem.strerror)
            print_failure(text, as_json=self.options.as_json)
            return FAILED
        return DONE if summary.is_fine or isinstance(problem, BrokenPipeError) else FAILED


def _summary(summary: AuditSummary, seconds: float) -> dict[str, object]:
    return {
        "type": "summary",
        "accounts": summary.total,
        "fine": summary.fine,
        "not_fine": summary.not_fine,
        "not_run": summary.not_seen,
        "problems": {word(one.state, "en"): group.count for one, group in summary.groups.items()},
        "seconds": round(seconds, 3),
        "is_fine": summary.is_fine,
    }
