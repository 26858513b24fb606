"""What `invoicexpress status` shows."""

import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.text import Text

from invoicexpress_async.cli.commands.company_status import company_objects, show_companies
from invoicexpress_async.cli.exit_codes import DONE
from invoicexpress_async.cli.output import cell, data_console, new_table, write_json
from invoicexpress_async.cli.summary import Kind, code_text
from invoicexpress_async.cli.text import plain
from invoicexpress_async.cli.views.row_view import cure_of_doubt, cure_of_recorded
from invoicexpress_async.cli.views.rows import ACCOUNT_WIDTH, STATE_STYLES, kind_table
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding import read_standings
from invoicexpress_async.provisioning import JournalStatus, RowState, read_status

_MOST_ROWS: Final = 20
_SERIE_WIDTH: Final = 18
_MEANINGS: Final[dict[str, str]] = {
    RowState.DONE: "there, registered and default as asked",
    RowState.PREPARED: "there and registered; not the default before the day that was given",
    "planned": "nothing was sent",
    "intent": "sent, and nobody has looked yet",
    RowState.UNKNOWN: "sent, outcome not known",
    RowState.ABSENT: "sent, and a complete list does not show it",
    RowState.PARTIAL: "there, and some document types have no code",
    RowState.REFUSED: "the server said no; not tried again without --retry-refused",
    RowState.FAILED: "had no effect; tried again by the next run",
}
_IN_DOUBT: Final = ("intent", RowState.UNKNOWN, RowState.ABSENT)


def show(path: Path, *, as_json: bool) -> int:
    """Read the journal and show it."""
    if not path.is_file():
        raise ConfigurationError(f"The journal {path} is not there.")
    status, standings = read_status(path), read_standings(path)
    if as_json:
        write_json(_object(status) | {"companies": company_objects(standings)})
        return DONE
    if status.rows or not standings:
        _show(status)
    if standings:
        show_companies(standings)
        sys.stdout.flush()
    return DONE


def _show(status: JournalStatus) -> None:
    console = data_console()
    year = f" of the roll-over to {status.rollover_year}" if status.rollover_year else ""
    held = f"Held now {status.holder}." if status.holder else "No run holds it now."
    # Its path is as long as it is.
    console.print(Text(plain(f"Journal{year}: {status.path}")), soft_wrap=True)
    console.print(Text(plain(f"{status.rows} row{'' if status.rows == 1 else 's'}. {held}")), "")
    states = new_table("state", "rows", "meaning", numbers=("rows",))
    for state, meaning in _MEANINGS.items():
        if count := status.counts.get(state):
            states.add_row(Text(state, STATE_STYLES.get(state, "")), cell(count), cell(meaning))
    if states.row_count:
        console.print(states)
    if status.failures:
        console.print("", kind_table(_kinds(status)), sep="\n")
    if status.in_doubt:
        _show_doubt(status)
    for line in ("", *_runs(status), "", f"Next: {' '.join(_next(status))}"):
        console.print(Text(plain(line)))
    sys.stdout.flush()


def _kinds(status: JournalStatus) -> Iterator[tuple[tuple[str, str, str], Kind]]:
    for one in status.failures:
        code = code_text(one.state, one.error, one.status, one.code)
        cure = cure_of_recorded(one.error, one.state)
        yield (one.state, code, cure), Kind(one.rows, 0, one.account)


def _show_doubt(status: JournalStatus) -> None:
    table = new_table("in doubt", "serie", "state", "sent at", "not in a list since")
    table.columns[0].max_width, table.columns[1].max_width = ACCOUNT_WIDTH, _SERIE_WIDTH
    for one in status.in_doubt[:_MOST_ROWS]:
        times = (_local(one.sent_at), _local(one.absent_since))
        table.add_row(*map(cell, (one.account, one.serie, one.state, *times)))
    console = data_console()
    console.print("", table, sep="\n")
    if (left := _doubt(status) - _MOST_ROWS) > 0:
        console.print(f"… {left} more", style="dim")


def _runs(status: JournalStatus) -> Iterator[str]:
    count = status.run_count
    shown = ", ".join(f"{_local(one.started_at)} (process {one.process})" for one in status.runs)
    if count:
        which = "the last" if count > 1 else "at"
        yield f"{count} run{'s' if count > 1 else ''} began, {which} {shown}."


def _next(status: JournalStatus) -> Iterator[str]:
    counts, doubt = status.counts, _doubt(status)
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
    if doubt:
        state = RowState.ABSENT if counts.get(RowState.ABSENT) else RowState.UNKNOWN
        yield cure_of_doubt(state, has_journal=True)
    elif again:
        yield "run the same command again; it goes on where the last run ended."
    if refused := counts.get(RowState.REFUSED):
        yield f"{refused} refused: cure the causes, then run it with --retry-refused."
    if prepared := counts.get(RowState.PREPARED):
        yield f"{prepared} prepared: run it again on the day of --not-before, or later."


def _doubt(status: JournalStatus) -> int:
    return sum(status.counts.get(state, 0) for state in _IN_DOUBT)


def _local(moment: dt.datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _object(status: JournalStatus) -> dict[str, object]:
    return {
        "type": "status",
        "journal": str(status.path),
        "rows": status.rows,
        "counts": dict(status.counts),
        "created": status.created,
        "removed": status.removed,
        "in_doubt": [
            {
                "account": one.account,
                "serie": one.serie,
                "state": one.state,
                "sent_at": one.sent_at and one.sent_at.isoformat(),
                "absent_since": one.absent_since and one.absent_since.isoformat(),
                "sends": one.sends,
            }
            for one in status.in_doubt
        ],
        "failures": [
            {
                "state": one.state,
                "error": one.error,
                "status": one.status,
                "code": one.code,
                "rows": one.rows,
                "account": one.account,
                "cure": cure_of_recorded(one.error, one.state),
            }
            for one in status.failures
        ],
        "holder": status.holder,
        "runs": [
            {"started_at": one.started_at.isoformat(), "process": one.process}
            for one in status.runs
        ],
        "run_count": status.run_count,
        "rollover_year": status.rollover_year,
        "next": list(_next(status)),
    }
