"""What `provision --dry-run` shows: the rows, and what the journal has settled of them."""

import contextlib
from collections import Counter
from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import Final

import attrs

from invoicexpress_async.cli.exit_codes import DONE, FAILED
from invoicexpress_async.cli.job_options import JobOptions
from invoicexpress_async.cli.output import cell, data_console, new_table, write_json
from invoicexpress_async.cli.text import say
from invoicexpress_async.provisioning import Plan, PlanRow, RowState
from invoicexpress_async.provisioning.journal_status import JournalReader

_MOST_ROWS_SHOWN: Final = 20
_SETTLED: Final = (RowState.DONE, RowState.REFUSED)
_IN_DOUBT: Final = ("intent", RowState.UNKNOWN, RowState.ABSENT)


@attrs.define(eq=False)
class _Compared:
    """What the journal says of the rows of a plan."""

    rows_in_journal: int = 0
    states: Counter[str] = attrs.field(factory=Counter[str])
    changed: int = 0

    def note(self, row: PlanRow, found: tuple[str, bool] | None) -> str | None:
        if found is None:
            return None
        state, is_default = found
        self.states[state] += 1
        self.changed += is_default is not row.is_default
        return state

    def differences(self, rows: int) -> int:
        if not self.rows_in_journal:
            return 0  # it is begun with this plan
        known = self.states.total()
        return (rows - known) + (self.rows_in_journal - known) + self.changed


def show_plan(plan: Plan, job: JobOptions, *, as_json: bool) -> int:
    """Show the rows, and return the exit code: 1 if the journal would refuse the plan."""
    compared = _Compared()
    with _reader(job.journal) as reader:
        if reader is not None:
            compared.rows_in_journal = reader.row_count()
        if as_json:
            _write(plan, reader, compared)
        else:
            _show(plan, reader, compared)
    differences = compared.differences(len(plan.rows))
    would_refuse = bool(differences) and not job.accept_changes
    if as_json:
        write_json(
            {
                "type": "summary",
                "rows": len(plan.rows),
                "journal": dict(compared.states),
                "differences": differences,
                "would_refuse": would_refuse,
            }
        )
    elif job.journal is not None:
        _tell(job, compared, rows=len(plan.rows), differences=differences)
    return FAILED if would_refuse else DONE


@contextlib.contextmanager
def _reader(path: Path | None) -> Generator[JournalReader | None]:
    if path is None or not path.exists():
        yield None
        return
    with JournalReader(path) as reader:
        yield reader


def _state(row: PlanRow, reader: JournalReader | None, compared: _Compared) -> str | None:
    return None if reader is None else compared.note(row, reader.row(row.account, row.serie))


def _write(plan: Plan, reader: JournalReader | None, compared: _Compared) -> None:
    for row in plan.rows:
        write_json(
            {
                "type": "plan",
                "line": row.line,
                "account": row.account,
                "serie": row.serie,
                "is_default": row.is_default,
                "journal": _state(row, reader, compared),
            }
        )


def _show(plan: Plan, reader: JournalReader | None, compared: _Compared) -> None:
    names = ("line", "account", "serie", "default") + (("journal",) if reader else ())
    table, rows = new_table(*names, numbers=("line",)), iter(plan.rows)
    for row in islice(rows, _MOST_ROWS_SHOWN):
        cells = [row.line, row.account, row.serie, "yes" if row.is_default else None]
        if reader is not None:
            cells.append(_state(row, reader, compared))
        table.add_row(*map(cell, cells))
    console = data_console()
    console.print(table)
    for row in rows if reader else ():
        _state(row, reader, compared)
    if len(plan.rows) > _MOST_ROWS_SHOWN:
        console.print(f"… {len(plan.rows) - _MOST_ROWS_SHOWN} more: --json shows all", style="dim")


def _tell(job: JobOptions, compared: _Compared, *, rows: int, differences: int) -> None:
    if not compared.rows_in_journal:
        say(f"The journal {job.journal} has nothing yet: all {rows} rows are new.")
        return
    settled = [*_SETTLED] if not job.retry_refused else [RowState.DONE]
    counts = [f"{compared.states[state]} {state}" for state in settled]
    doubt = sum(compared.states[state] for state in _IN_DOUBT)
    left = rows - sum(compared.states[state] for state in settled) - doubt
    say(
        f"The journal {job.journal} has settled {' and '.join(counts)}; {doubt} in doubt would be "
        f"read for first; {left} would be ensured."
    )
    if differences and not job.accept_changes:
        say(
            f"It is of another plan: {differences} rows differ. Without --accept-changes the run "
            "would be refused."
        )
