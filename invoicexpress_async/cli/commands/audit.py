"""`invoicexpress audit`: the sequences of the accounts of a file, and what is wrong with them."""

import time
from contextlib import aclosing, closing
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.connection import base_url_of, open_manager, warn_of_file
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.options import (
    ConnectionOptions,
    ReportOptions,
    SelectionOptions,
    check_concurrency,
)
from invoicexpress_async.cli.preview import show_looking
from invoicexpress_async.cli.progress import Step, open_progress
from invoicexpress_async.cli.report_file import OutputSinks, open_report
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
    reporting: ReportOptions = ReportOptions(),
    selection: SelectionOptions = SelectionOptions(),
    options: ConnectionOptions = ConnectionOptions(),
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
    summary, interruption = AuditSummary(total=len(listed.rows)), Interruption()
    sinks = OutputSinks(
        as_json=options.as_json,
        report=open_report(reporting, audit_layout, accounts=accounts),
        as_object=account_object,
        on_problem=interruption.stop.request,
    )

    async def work() -> int:
        started, language = time.monotonic(), reporting.language
        with (
            closing(sinks),
            interruption.catching(),
            open_progress(summary.total, language, as_json=options.as_json) as progress,
        ):
            async with open_manager(options) as manager:
                stream = iter_audit(
                    manager, listed, wanted=wanted, concurrency=concurrency, stop=interruption.stop
                )
                async with aclosing(stream):
                    async for one in stream:
                        summary.add(one)
                        sinks.add(one)
                        text = summary.count_text(language)
                        progress.update(Step(ended=summary.accounts, text=text))
        seconds = time.monotonic() - started
        if options.as_json:
            sinks.write(_summary(summary, seconds))
        else:
            sinks.render(lambda: show_audit(summary, language, seconds=seconds))
        code = _end(summary, sinks, language, is_interrupted=interruption.has_come)
        silence_broken(sinks.stdout_problem)
        return code

    return run_to_its_end(work())


def _end(
    summary: AuditSummary,
    sinks: OutputSinks[AccountAudit],
    language: Language,
    *,
    is_interrupted: bool,
) -> int:
    if is_interrupted:
        values = {"left": summary.not_seen, "total": summary.total}
        print_failure(word(_INTERRUPTED, language, **values), as_json=sinks.as_json)
        return INTERRUPTED
    problem = sinks.problem
    if problem is not None and not isinstance(problem, BrokenPipeError):
        name = word(sinks.problem_name, language)
        text = word(_NOT_WRITTEN, language, name=name, why=problem.strerror)
        print_failure(text, as_json=sinks.as_json)
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
