"""What is kept of an audit while it goes on, and its tables."""

import heapq
import itertools
from collections.abc import Iterator
from typing import Final

import attrs
from rich.text import Text

from invoicexpress_async import DocumentType
from invoicexpress_async.cli.output import (
    cell,
    data_console,
    documents_of,
    initials,
    names_of,
    new_table,
    registration_cell,
)
from invoicexpress_async.cli.summary import Kind
from invoicexpress_async.cli.views.audit_lines import ODD, WRONG, AuditLine, lines_of
from invoicexpress_async.cli.views.rows import ACCOUNT_WIDTH
from invoicexpress_async.provisioning import AccountAudit

_MOST_LINES: Final = 20
_MOST_PROBLEMS: Final = 100
_MOST_TYPES_NAMED: Final = 4
_SERIE_WIDTH: Final = 16
_STYLES: Final = {WRONG: "red", ODD: "yellow"}


@attrs.define(eq=False)
class AuditTally:
    """The accounts that were looked at.

    Attributes:
        total: How many there are.
        seen: How many were looked at.
        fine: How many of these are fine.
        lines: How many lines they make.
        kinds: What is wrong, by what it is and its cure.
    """

    total: int
    seen: int = 0
    fine: int = 0
    lines: int = 0
    kinds: dict[tuple[str, str], Kind] = attrs.field(factory=dict[tuple[str, str], Kind])
    _first: list[tuple[int, int, int, AuditLine]] = attrs.field(
        factory=list[tuple[int, int, int, AuditLine]]
    )
    _order: Iterator[int] = attrs.field(factory=itertools.count)

    @property
    def is_fine(self) -> bool:
        """Whether all were looked at and are fine."""
        return self.fine == self.total

    def note(self, seen: AccountAudit) -> None:
        """Take one account; its lines are kept only if they are among the first."""
        self.seen += 1
        self.fine += seen.is_fine
        for line in lines_of(seen):
            self.lines += 1
            if line.problem is not None:
                key = line.problem, line.cure or ""
                kind = self.kinds.setdefault(key, Kind(0, line.line, line.account))
                kind.rows += 1
                if line.line < kind.line:
                    kind.line, kind.account = line.line, line.account
            self._keep(line)

    def first(self) -> list[AuditLine]:
        """Return the first lines: what is wrong, then in the order of the file."""
        ranked = [line for *_, line in sorted(self._first, key=lambda one: one[:3], reverse=True)]
        wrong = sum(line.rank in _STYLES for line in ranked)
        return ranked[: max(wrong, _MOST_LINES)]

    def _keep(self, line: AuditLine) -> None:
        # The one to go first is the least of the heap.
        entry = (-line.rank, -line.line, -next(self._order), line)
        if len(self._first) < _MOST_PROBLEMS:
            heapq.heappush(self._first, entry)
        else:
            heapq.heappushpop(self._first, entry)


def show_audit(tally: AuditTally, *, seconds: float) -> None:
    """Show the lines, what is wrong by kind, and the counts."""
    console, shown = data_console(), tally.first()
    if shown:
        _show_lines(shown)
        if left := tally.lines - len(shown):
            console.print(f"… {left} more: --json and --report tell of all", style="dim")
        console.print()
    if tally.kinds:
        table = new_table("problem", "series", "such as", "what to do", numbers=("series",))
        for (problem, cure), kind in sorted(tally.kinds.items(), key=lambda one: one[1].line):
            table.add_row(cell(problem), cell(kind.rows), cell(kind.account), cell(cure))
        console.print(table)
    left = tally.total - tally.seen
    text = Text(f"{tally.fine} fine", "green")
    text.append(f"  {tally.seen - tally.fine} not fine", "red" if tally.fine < tally.seen else "")
    text.append(f"  {left} not looked at" if left else "", "bold red")
    console.print(text.append(f"  of {tally.total} accounts in {seconds:.1f} s"))


def _show_lines(lines: list[AuditLine]) -> None:
    numbers = ("last FT",)
    names = ("account", "serie", "default", *numbers, "FT code", "state", "no code for")
    table = new_table(*names, numbers=numbers)
    for column, width in zip(table.columns, (ACCOUNT_WIDTH, _SERIE_WIDTH), strict=False):
        column.max_width, column.overflow, column.no_wrap = width, "ellipsis", True
    for line in lines:
        table.add_row(*_cells(line))
    console = data_console()
    console.print(table)
    named = {
        name
        for line in lines
        for name in _lacking(line)
        if len(_lacking(line)) <= _MOST_TYPES_NAMED
    }
    if named:
        console.print(names_of(sorted(named)), style="dim")


def _cells(line: AuditLine) -> Iterator[Text]:
    sequence = line.sequence
    invoice = documents_of(sequence).get(DocumentType.INVOICE)
    yield cell(line.account)
    yield cell(sequence and sequence.serie)
    yield cell("yes" if sequence and sequence.is_default else None)
    yield cell(invoice and invoice.number)
    yield cell(invoice and invoice.validation_code)
    if line.problem is None and sequence is not None:
        yield registration_cell(sequence.registration)
    else:
        yield Text(line.problem or "", _STYLES.get(line.rank, ""))
    yield cell(_types(_lacking(line)))


def _lacking(line: AuditLine) -> list[str]:
    return list(map(str, line.sequence.unregistered)) if line.sequence else []


def _types(names: list[str]) -> str | None:
    if len(names) > _MOST_TYPES_NAMED:
        return f"{len(names)} types"
    return " ".join(map(initials, names)) or None
