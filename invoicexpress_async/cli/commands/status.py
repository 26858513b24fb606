"""`invoicexpress status`: shows how far a job is, from its journal."""

import datetime as dt
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.cures import cure_of_recorded_row
from invoicexpress_async.cli.options import JournalPlace, ReportOptions, journal_at, parse_place
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.report_file import write_report
from invoicexpress_async.cli.shell import DONE
from invoicexpress_async.cli.views.companies import COMPANIES, standing_view
from invoicexpress_async.cli.views.holds import unseen
from invoicexpress_async.cli.views.row_view import RowView, kept_view
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
from invoicexpress_async.jobs.stored import is_stored
from invoicexpress_async.onboarding import read_standings
from invoicexpress_async.provisioning import JournalStatus, read_status
from invoicexpress_async.provisioning.journal_status import JournalReader

_SHOWN_APART: Final = frozenset({"path", "counts", "failures", "last_command", "slices"})


def status(
    journal: Annotated[
        JournalPlace,
        Parameter(converter=parse_place, help="The file or the URL that --journal named."),
    ],
    /,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", help="JSON on stdout, errors as JSON.")
    ] = False,
    reporting: ReportOptions = ReportOptions(),
) -> int:
    """Show how far a job is and what to do next, while it runs or not. Nothing is sent."""
    is_there = journal.is_file() if isinstance(journal, Path) else is_stored(journal)
    if not is_there:
        name = journal if isinstance(journal, Path) else journal_at(journal).label
        raise ConfigurationError(
            f"The journal {name} is not there: check its name. The first run makes it."
        )
    found, standings = read_status(journal), read_standings(journal)
    is_held, kept = bool(found.holder), journal if isinstance(journal, Path) else None
    if standings:
        companies = (standing_view(*one, is_held=is_held) for one in standings.items())
        write_report(reporting, COMPANIES.layout, companies, accounts=kept)
    else:
        layout = functools.partial(ROWS.layout, is_handout=True)
        write_report(reporting, layout, _kept_rows(journal, is_held=is_held), accounts=kept)
    if as_json:
        write_json(_object(found) | {"companies": company_objects(standings)})
        return DONE
    if found.rows or not standings:
        show_status(found, reporting.language)
    if standings:
        show_companies(standings, found, reporting.language)
        sys.stdout.flush()
    return DONE


def _kept_rows(journal: JournalPlace, *, is_held: bool) -> Iterator[RowView]:
    """Yield every row of the plan, each with its ids and codes."""
    with JournalReader(journal) as reader:
        for account, serie, kept in reader.rows():
            yield kept_view(account, serie, kept, is_held=is_held)


def _object(status: JournalStatus) -> dict[str, object]:
    """Return a status as a JSON object."""
    fields = attrs.asdict(
        status,
        filter=lambda attribute, _: attribute.name not in _SHOWN_APART,
        value_serializer=lambda _, __, one: one.isoformat() if isinstance(one, dt.date) else one,
    )
    failures = [
        attrs.asdict(one) | {"cure": word(cure_of_recorded_row(one.error, one.state), "en")}
        for one in status.failures
    ]
    return {
        "type": "status",
        "journal": str(status.path),
        "rows": status.rows,
        **fields,
        "counts": dict(status.counts),
        "failures": failures,
        "slices": [
            {
                "slice": one.number,
                "rows": one.rows,
                "holder": one.holder,
                "since": one.since and one.since.isoformat(),
                "due": one.due and one.due.isoformat(),
                "unseen_since": (gone := unseen(one)) and gone.since.isoformat(),
                "free_at": gone and gone.free_at.isoformat(),
            }
            for one in status.slices
        ],
        "next": [word(text, "en", **values) for text, values in next_of(status)],
        "command": command_of(status),
    }
