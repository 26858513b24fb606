"""`invoicexpress status`: how far a job is, from its journal."""

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.cures import cure_of_recorded_row
from invoicexpress_async.cli.options import ReportOptions
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.report_file import OutputOptions, open_report
from invoicexpress_async.cli.shell import DONE
from invoicexpress_async.cli.views.row_view import kept_view
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.cli.views.status import (
    command_of,
    company_objects,
    next_of,
    show_companies,
    show_status,
)
from invoicexpress_async.cli.words import word
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding import read_standings
from invoicexpress_async.provisioning import JournalStatus, read_status
from invoicexpress_async.provisioning.journal_status import JournalReader

_NO_REPORT: Final = ReportOptions()


def status(
    journal: Annotated[Path, Parameter(help="The file that --journal named.")],
    /,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="JSON on stdout, errors as JSON.")
    ] = False,
    reporting: ReportOptions = _NO_REPORT,
) -> int:
    """Show how far a job is and what to do next, while it runs or not. Nothing is sent."""
    if not journal.is_file():
        raise ConfigurationError(f"The journal {journal} is not there.")
    found, standings = read_status(journal), read_standings(journal)
    if reporting.report is not None:
        _write_report(journal, reporting, reporting.report)
    if as_json:
        write_json(_object(found) | {"companies": company_objects(standings)})
        return DONE
    if found.rows or not standings:
        show_status(found, reporting.language)
    if standings:
        show_companies(standings, found, reporting.language)
        sys.stdout.flush()
    return DONE


def _write_report(journal: Path, options: ReportOptions, path: Path) -> None:
    """Write every row of the plan, each with its ids and codes.

    Raises:
        ConfigurationError: the report cannot be written, or must not be.
    """
    output = OutputOptions(report=path, accounts=journal, style=options.style)
    layout = functools.partial(ROWS.layout, is_handout=True)
    report, problem = open_report(output, path, layout), ""
    with JournalReader(journal) as reader:
        for kept in reader.rows():
            report.add(kept_view(kept))
    try:
        report.close()
    except OSError as error:
        problem = f"The report {path} cannot be written: {error.strerror}."
    if problem:
        raise ConfigurationError(problem)


def _unknown_objects(status: JournalStatus) -> Iterator[dict[str, object]]:
    for one in status.in_doubt:
        yield {
            "account": one.account,
            "serie": one.serie,
            "state": one.state,
            "sent_at": one.sent_at and one.sent_at.isoformat(),
            "absent_since": one.absent_since and one.absent_since.isoformat(),
            "sends": one.sends,
        }


def _failure_objects(status: JournalStatus) -> Iterator[dict[str, object]]:
    for one in status.failures:
        yield {
            "state": one.state,
            "error": one.error,
            "status": one.status,
            "code": one.code,
            "rows": one.rows,
            "account": one.account,
            "cure": word(cure_of_recorded_row(one.error, one.state), "en"),
        }


def _object(status: JournalStatus) -> dict[str, object]:
    return {
        "type": "status",
        "journal": str(status.path),
        "rows": status.rows,
        "counts": dict(status.counts),
        "created": status.created,
        "removed": status.removed,
        "in_doubt": list(_unknown_objects(status)),
        "failures": list(_failure_objects(status)),
        "holder": status.holder,
        "runs": [
            {"started_at": one.started_at.isoformat(), "process": one.process}
            for one in status.runs
        ],
        "run_count": status.run_count,
        "rollover_year": status.rollover_year,
        "default_not_before": status.default_not_before and status.default_not_before.isoformat(),
        "next": [word(text, "en", **values) for text, values in next_of(status)],
        "command": command_of(status),
    }
