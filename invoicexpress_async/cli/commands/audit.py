"""`invoicexpress audit`: what the accounts of a file have, and what is wrong with it."""

import sys
import time
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.connection import open_manager
from invoicexpress_async.cli.failures import error_object, print_failure
from invoicexpress_async.cli.options import ConnectionOptions, check_concurrency
from invoicexpress_async.cli.output import sequence_object
from invoicexpress_async.cli.progress import Step, open_progress
from invoicexpress_async.cli.report_file import Outlets, ReportFile
from invoicexpress_async.cli.shell import DONE, FAILED, INTERRUPTED, silence_broken
from invoicexpress_async.cli.signals import Interruption, run_to_its_end
from invoicexpress_async.cli.views.audit import AuditTally, show_audit
from invoicexpress_async.cli.views.audit_report import audit_layout
from invoicexpress_async.provisioning import AccountAudit, AccountList, iter_audit

_NO_OPTIONS: Final = ConnectionOptions()


def audit(
    accounts: Annotated[Path, Parameter(help="A CSV with a header: account, api_key.")],
    /,
    *,
    concurrency: Annotated[int, Parameter(help="Accounts read at a time.")] = 50,
    report: Annotated[
        Path | None,
        Parameter(help="Write every serie and document type here: Markdown in .md, else CSV."),
    ] = None,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Look at all sequences of all accounts of a CSV, and show what is wrong first. Only reads.

    An account is fine when it has one default serie and every document type of it has its code.
    The exit code is 0 when all accounts are fine, else 1.
    """
    check_concurrency(concurrency)
    listed = AccountList.from_csv(accounts)
    file = ReportFile(report, audit_layout(report), accounts=accounts) if report else None
    interruption = Interruption()
    outlets = Outlets(
        as_json=options.as_json,
        report=file,
        as_object=_object,
        on_problem=interruption.stop.request,
    )
    audit = _Audit(
        accounts=listed,
        options=options,
        concurrency=concurrency,
        outlets=outlets,
        interruption=interruption,
        tally=AuditTally(len(listed.rows)),
    )
    return run_to_its_end(audit.carry_out())


@attrs.frozen(kw_only=True)
class _Audit:
    accounts: AccountList
    options: ConnectionOptions
    concurrency: int
    outlets: Outlets[AccountAudit]
    interruption: Interruption
    tally: AuditTally

    async def carry_out(self) -> int:
        started = time.monotonic()
        with ExitStack() as stack:
            stack.callback(self.outlets.close)
            stack.enter_context(self.interruption.catching())
            await self._look()
        seconds = time.monotonic() - started
        if self.options.as_json:
            self.outlets.say(_summary(self.tally, seconds))
        else:
            self.outlets.show(lambda: self._show(seconds))
        code = self._end()
        silence_broken(self.outlets.stdout_problem)
        return code

    async def _look(self) -> None:
        stop, tally = self.interruption.stop, self.tally
        with open_progress(tally.total, as_json=self.options.as_json) as progress:
            async with open_manager(self.options) as manager:
                stream = iter_audit(manager, self.accounts, concurrency=self.concurrency, stop=stop)
                async with aclosing(stream):
                    async for one in stream:
                        tally.note(one)
                        self.outlets.note(one)
                        text = f"{tally.fine} fine, {tally.seen - tally.fine} not fine"
                        progress.note(Step(ended=tally.seen, text=text))

    def _show(self, seconds: float) -> None:
        show_audit(self.tally, seconds=seconds)
        sys.stdout.flush()

    def _end(self) -> int:
        tally, outlets = self.tally, self.outlets
        if self.interruption.has_come:
            left = tally.total - tally.seen
            text = f"Interrupted: {left} of {tally.total} accounts not looked at."
            print_failure(f"{text} Run the same command again.", as_json=self.options.as_json)
            return INTERRUPTED
        problem = outlets.report_problem or outlets.stdout_problem
        if problem is not None and not isinstance(problem, BrokenPipeError):
            what = "The report" if outlets.report_problem else "stdout"
            text = f"{what} cannot be written: {problem.strerror}."
            print_failure(text, as_json=self.options.as_json)
            return FAILED
        return DONE if tally.is_fine or isinstance(problem, BrokenPipeError) else FAILED


def _object(one: AccountAudit) -> dict[str, object]:
    return {
        "type": "account",
        "line": one.row.line,
        "account": one.row.account,
        "is_fine": one.is_fine,
        "defaults": [sequence.serie for sequence in one.defaults],
        "sequences": [
            sequence_object(sequence) | {"unregistered": list(map(str, sequence.unregistered))}
            for sequence in one.sequences
        ],
        "failure": one.error and error_object(one.error),
    }


def _summary(tally: AuditTally, seconds: float) -> dict[str, object]:
    return {
        "type": "summary",
        "accounts": tally.total,
        "fine": tally.fine,
        "not_fine": tally.seen - tally.fine,
        "not_run": tally.total - tally.seen,
        "problems": {problem: kind.rows for (problem, _), kind in tally.kinds.items()},
        "seconds": round(seconds, 3),
        "is_fine": tally.is_fine,
    }
