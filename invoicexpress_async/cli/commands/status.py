"""`invoicexpress status`: how far a job is, from its journal."""

import datetime as dt
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.text import Text

from invoicexpress_async.cli.cures import cure_of_recorded_row, cure_of_standing, cure_of_unknown
from invoicexpress_async.cli.journal_place import JournalPlace, parse_place
from invoicexpress_async.cli.options import ReportOptions
from invoicexpress_async.cli.output import ACCOUNT_WIDTH, cell, data_console, new_table, write_json
from invoicexpress_async.cli.report_file import OutputOptions, open_report
from invoicexpress_async.cli.shell import DONE, printable
from invoicexpress_async.cli.summary import FailureGroup, Group
from invoicexpress_async.cli.views.row_view import STATE_STYLES, code_text, kept_view
from invoicexpress_async.cli.views.rows import failure_table, row_layout
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding import CompanyStanding, CompanyStep, read_standings
from invoicexpress_async.provisioning import JournalStatus, RowState, read_status
from invoicexpress_async.provisioning.journal_status import JournalReader

_NO_REPORT: Final = ReportOptions()
_MAX_ROWS: Final = 20
_SERIE_WIDTH: Final = 18
_MEANINGS: Final[dict[str, str]] = {
    RowState.DONE: "there, registered and default as requested",
    RowState.PREPARED: "there and registered; not the default before the day that was given",
    "planned": "nothing was sent",
    "intent": "sent, and not looked for yet",
    RowState.UNKNOWN: "sent, outcome not known",
    RowState.ABSENT: "sent, and a complete list does not show it",
    RowState.PARTIAL: "there, and some document types have no code",
    RowState.REFUSED: "the server said no; not tried again without --retry-refused",
    RowState.FAILED: "had no effect; tried again by the next run",
}
_UNKNOWN_STATES: Final = ("intent", RowState.UNKNOWN, RowState.ABSENT)

_GO_ON: Final = "do what the table says, then run the same onboard command again."
_Kind = tuple[CompanyStep, str, str | None]


def status(
    journal: Annotated[
        JournalPlace,
        Parameter(converter=parse_place, help="The file or the URL that --journal named."),
    ],
    /,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="JSON on stdout, errors as JSON.")
    ] = False,
    reporting: ReportOptions = _NO_REPORT,
) -> int:
    """Show how far a job is and what to do next, while it runs or not. Nothing is sent."""
    if isinstance(journal, Path) and not journal.is_file():
        raise ConfigurationError(f"The journal {journal} is not there.")
    found, standings = read_status(journal), read_standings(journal)
    if reporting.report is not None:
        _write_report(journal, reporting, reporting.report)
    if as_json:
        write_json(_object(found) | {"companies": _company_objects(standings)})
        return DONE
    if found.rows or not standings:
        _show(found)
    if standings:
        _show_companies(standings)
        sys.stdout.flush()
    return DONE


def _write_report(journal: JournalPlace, options: ReportOptions, path: Path) -> None:
    """Write every row of the plan, each with its ids and codes.

    Raises:
        ConfigurationError: the report cannot be written, or must not be.
    """
    output = OutputOptions(
        report=path, accounts=journal if isinstance(journal, Path) else None, style=options.style
    )
    report, problem = open_report(output, path, row_layout), ""
    with JournalReader(journal) as reader:
        for kept in reader.rows():
            report.add(kept_view(kept))
    try:
        report.close()
    except OSError as error:
        problem = f"The report {path} cannot be written: {error.strerror}."
    if problem:
        raise ConfigurationError(problem)


def _show(status: JournalStatus) -> None:
    console = data_console()
    year = f" of the roll-over to {status.rollover_year}" if status.rollover_year else ""
    held = f"Held now {status.holder}." if status.holder else "No run holds it now."
    # A path is never broken into lines.
    console.print(Text(printable(f"Journal{year}: {status.path}")), soft_wrap=True)
    if status.default_not_before is not None:
        console.print(f"Nothing becomes the default before {status.default_not_before} in Lisbon.")
    console.print(
        Text(printable(f"{status.rows} row{'' if status.rows == 1 else 's'}. {held}")), ""
    )
    states = new_table("state", "rows", "meaning", numbers=("rows",))
    for state, meaning in _MEANINGS.items():
        if count := status.counts.get(state):
            states.add_row(Text(state, STATE_STYLES.get(state, "")), cell(count), cell(meaning))
    if states.row_count:
        console.print(states)
    if status.failures:
        console.print("", failure_table(_groups(status)), sep="\n")
    if status.in_doubt:
        _show_unknown(status)
    if any(one.holder for one in status.slices):
        _show_slices(status)
    for line in ("", *_pace(status), *_runs(status), "", f"Next: {' '.join(_next(status))}"):
        console.print(Text(printable(line)))
    sys.stdout.flush()


def _groups(status: JournalStatus) -> Iterator[tuple[Group, FailureGroup]]:
    for one in status.failures:
        code = code_text(one.state, one.error, one.status, one.code)
        cure = cure_of_recorded_row(one.error, one.state)
        yield (one.state, code, cure), FailureGroup(one.rows, 0, one.account)


def _show_unknown(status: JournalStatus) -> None:
    table = new_table("unknown", "serie", "state", "sent at", "not in a list since")
    table.columns[0].max_width, table.columns[1].max_width = ACCOUNT_WIDTH, _SERIE_WIDTH
    for one in status.in_doubt[:_MAX_ROWS]:
        times = (_local(one.sent_at), _local(one.absent_since))
        table.add_row(*map(cell, (one.account, one.serie, one.state, *times)))
    console = data_console()
    console.print("", table, sep="\n")
    if (left := _unknown_count(status) - _MAX_ROWS) > 0:
        console.print(f"… {left} more", style="dim")


def _show_slices(status: JournalStatus) -> None:
    """Show who holds which slices of the accounts."""
    table = new_table("slice", "rows left", "held by", "since", numbers=("slice", "rows left"))
    held = [one for one in status.slices if one.holder]
    for one in held[:_MAX_ROWS]:
        table.add_row(*map(cell, (one.number, one.rows, one.holder, _local(one.since))))
    console = data_console()
    console.print("", table, sep="\n")
    if (left := len(held) - _MAX_ROWS) > 0:
        console.print(f"… {left} more", style="dim")


def _pace(status: JournalStatus) -> Iterator[str]:
    """Yield how far it is; of a living run, how fast it goes and when it will be at its end."""
    if not status.rows:
        return
    good = sum(status.counts.get(one, 0) for one in (RowState.DONE, RowState.PREPARED))
    text = f"{100 * good // status.rows} % done or prepared"
    if status.holder and status.runs and status.ended_in_last_run:
        seconds = (dt.datetime.now(tz=dt.UTC) - status.runs[0].started_at).total_seconds()
        rate = status.ended_in_last_run / max(seconds, 1.0)
        left = sum(status.counts.get(one, 0) for one in ("planned", "intent"))
        end = dt.datetime.now().astimezone() + dt.timedelta(seconds=left / rate)
        text += f", {rate:.1f} rows a second: {left} left, until about {end:%H:%M %Z}"
    yield f"{text}."


def _runs(status: JournalStatus) -> Iterator[str]:
    count = status.run_count
    shown = ", ".join(f"{_local(one.started_at)} (process {one.process})" for one in status.runs)
    if count:
        which = "the last" if count > 1 else "at"
        zone = f"{dt.datetime.now().astimezone():%Z}"
        yield f"{count} run{'s' if count > 1 else ''} began, {which} {shown}; times are in {zone}."


def _next(status: JournalStatus) -> Iterator[str]:
    counts, unknown = status.counts, _unknown_count(status)
    if status.holder:
        yield "a run is under way; wait for its end."
        return
    if counts.get(RowState.DONE, 0) == status.rows:
        yield (
            "nothing, all that was planned is done."
            if status.rows
            else "nothing is planned in it yet; run the command, and see what it leaves out."
        )
        return
    again = sum(counts.get(one, 0) for one in ("planned", RowState.FAILED, RowState.PARTIAL))
    if unknown:
        state = RowState.ABSENT if counts.get(RowState.ABSENT) else RowState.UNKNOWN
        yield cure_of_unknown(state, has_journal=True)
    elif again:
        yield "run the same command again; it goes on where the last run ended."
    if refused := counts.get(RowState.REFUSED):
        yield f"{refused} refused: cure the causes, then run it with --retry-refused."
    if prepared := counts.get(RowState.PREPARED):
        day = status.default_not_before
        when = "on the day of --not-before" if day is None else f"on {day} in Lisbon"
        yield f"{prepared} prepared: run the same command again {when}, or later."


def _unknown_count(status: JournalStatus) -> int:
    return sum(status.counts.get(state, 0) for state in _UNKNOWN_STATES)


def _local(moment: dt.datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


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
            "cure": cure_of_recorded_row(one.error, one.state),
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
        "slices": [
            {
                "slice": one.number,
                "rows": one.rows,
                "holder": one.holder,
                "since": one.since and one.since.isoformat(),
                "due": one.due and one.due.isoformat(),
            }
            for one in status.slices
        ],
        "default_not_before": status.default_not_before and status.default_not_before.isoformat(),
        "next": list(_next(status)),
    }


def _company_objects(standings: Mapping[str, CompanyStanding]) -> list[dict[str, object]]:
    """Return the companies as plain data, counted by where they stand."""
    counts = Counter[_Kind]()
    first: dict[_Kind, str] = {}
    for fiscal_id, one in standings.items():
        kind = one.step, one.state, one.error
        counts[kind] += 1
        first.setdefault(kind, fiscal_id)
    return [
        {
            "step": kind[0],
            "state": kind[1],
            "error": kind[2],
            "cure": cure_of_standing(*kind),
            "companies": count,
            "such_as": first[kind],
        }
        for kind, count in counts.most_common()
    ]


def _show_companies(standings: Mapping[str, CompanyStanding]) -> None:
    """Show them, and what to do next."""
    columns = ("step", "state", "companies", "such as", "error", "what to do")
    table = new_table(*columns, numbers=("companies",))
    for one in _company_objects(standings):
        names = ("step", "state", "companies", "such_as", "error", "cure")
        table.add_row(*(cell(one[name]) for name in names))
    console = data_console()
    console.print(
        f"{len(standings)} compan{'y' if len(standings) == 1 else 'ies'}.", "", table, sep="\n"
    )
    left = sum(one.step is not CompanyStep.END for one in standings.values())
    end = "nothing, all can invoice." if not left else _GO_ON
    console.print("", f"Next: {end}", sep="\n")
