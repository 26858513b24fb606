"""The views of an audit: its lines, and its problems by kind."""

from pathlib import Path
from typing import Final

import attrs
from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentType
from invoicexpress_async.cli.failures import error_object
from invoicexpress_async.cli.options import ReportOptions
from invoicexpress_async.cli.output import (
    ACCOUNT_WIDTH,
    MORE,
    data_console,
    documents_of,
    initials,
    names_of,
    new_table,
    print_more,
    sequence_object,
)
from invoicexpress_async.cli.summary import Digest
from invoicexpress_async.cli.views.audit_lines import AuditLine, audit_lines
from invoicexpress_async.cli.views.columns import (
    DOCUMENT_COLUMNS,
    Column,
    Columns,
    Place,
    line_text,
    name_key,
    table_of,
    yes_text,
)
from invoicexpress_async.cli.views.layouts import Report, ReportSpec, report_of
from invoicexpress_async.cli.views.page import ReportFacts
from invoicexpress_async.cli.words import Language, counted, decimal, lines_of, word
from invoicexpress_async.provisioning import AccountAudit

_TOTAL: Final = "of {total} accounts in {seconds} s"
_OTHER_SERIE: Final = "another serie lacks codes"  # a fine account: it is not the default
_MAX_LINES: Final = 20
_MAX_PROBLEMS: Final = 100
_MAX_TYPES_NAMED: Final = 4
_SERIE_WIDTH: Final = 16


def _invoice(line: AuditLine) -> tuple[int | None, str | None]:
    state = documents_of(line.sequence).get(DocumentType.INVOICE)
    return (None, None) if state is None else (state.number, state.validation_code)


def _numbers_and_codes(line: AuditLine) -> str:
    return "; ".join(
        f"{name} {state.number}, {state.validation_code}"
        for name, state in documents_of(line.sequence).items()
        if state.is_configured and (state.number or name == DocumentType.INVOICE)
    )


def _short_types(line: AuditLine) -> str | None:
    names = line.unregistered
    if len(names) > _MAX_TYPES_NAMED:
        return lines_of(str(len(names)), "types")
    return " ".join(map(initials, names)) or None


AUDIT_COLUMNS: Final[Columns[AuditLine]] = (
    Column("line", lambda one: one.line, places=Place.CSV | Place.MARKDOWN, text=line_text),
    Column("account", lambda one: one.account, width=ACCOUNT_WIDTH, is_cut=True),
    Column("is_fine", lambda one: one.is_fine, places=Place.CSV, is_word=True),
    Column(
        "serie", lambda one: one.sequence and one.sequence.serie, width=_SERIE_WIDTH, is_cut=True
    ),
    Column(
        "is_default",
        lambda one: one.sequence and one.sequence.is_default,
        places=Place.CSV,
        is_word=True,
    ),
    Column(
        "default",
        lambda one: one.sequence and one.sequence.is_default,
        places=Place.PEOPLE | Place.HANDOUT,
        text=yes_text,
        is_word=True,
    ),
    Column(
        "state",
        lambda one: "not fine" if not one.is_fine else _OTHER_SERIE if one.problem else "fine",
        places=Place.HANDOUT,
        is_word=True,
    ),
    Column("last numbers and codes", _numbers_and_codes, places=Place.MARKDOWN),
    Column("last FT", lambda one: _invoice(one)[0], places=Place.TABLE, is_number=True),
    Column("FT code", lambda one: _invoice(one)[1], places=Place.TABLE, is_whole=True),
    Column(
        "state",
        lambda one: one.state,
        places=Place.TABLE,
        style=lambda one: one.style,
        is_word=True,
    ),
    Column("no code for", lambda one: ", ".join(one.unregistered), places=Place.MARKDOWN),
    Column("no code for", _short_types, places=Place.TABLE, is_text=True),
    Column("problem", lambda one: one.problem, places=Place.REPORTS, is_text=True),
    Column("cure", lambda one: one.cure, places=Place.REPORTS, title="what to do", is_text=True),
)


@attrs.define(kw_only=True, eq=False)
class AuditSummary(Digest[AuditLine]):
    """The counts and first lines of the accounts that were read."""

    total: int
    max_kept: int = _MAX_PROBLEMS
    accounts: int = 0
    fine: int = 0
    fine_but_odd: int = 0
    about: str = ""

    @property
    def is_fine(self) -> bool:
        return self.fine == self.total

    @property
    def not_fine(self) -> int:
        return self.accounts - self.fine

    @property
    def not_seen(self) -> int:
        return self.total - self.accounts

    def add(self, seen: AccountAudit) -> None:
        self.accounts += 1
        self.fine += seen.is_fine
        self.about = "" if seen.wanted is None else str(seen.wanted)
        lines = list(audit_lines(seen))
        self.fine_but_odd += seen.is_fine and any(line.is_odd for line in lines)
        for line in lines:
            self.keep(line)

    def count_text(self, language: Language) -> str:
        fine = counted(self.fine, "fine", language)
        return f"{fine}, {counted(self.not_fine, 'not fine', language)}"


def account_object(seen: AccountAudit) -> dict[str, object]:
    """Return an account as a JSON object, with its sequences inside."""
    return {
        "type": "account",
        "line": seen.row.line,
        "account": seen.row.account,
        "is_fine": seen.is_fine,
        "lack": seen.lack,
        "defaults": [serie.serie for serie in seen.defaults],
        "sequences": [
            sequence_object(sequence) | {"unregistered": list(map(str, sequence.unregistered))}
            for sequence in seen.sequences
        ],
        "failure": seen.error and error_object(seen.error),
    }


def audit_layout(
    path: Path, options: ReportOptions = ReportOptions()
) -> Report[AccountAudit, AuditLine]:
    """Return the layout that the ending of the file selects.

    Except in Markdown, a serie has a row for each document type. A page has only the defaults,
    the wanted series, and what is wrong.
    """
    summary = AuditSummary(total=0, max_kept=0)
    spec = ReportSpec[AccountAudit, AuditLine](
        title="audit",
        columns=AUDIT_COLUMNS,
        lines_of=audit_lines,
        documents=DOCUMENT_COLUMNS,
        is_handout=True,
        is_on_page=lambda line: not line.is_other,
        order=lambda seen: (int(seen.is_fine), name_key(seen.row.account)),
        on_record=summary.add,
        facts=lambda language: ReportFacts(
            noun="accounts",
            about=summary.about,
            counts={
                "fine": summary.fine - summary.fine_but_odd,
                _OTHER_SERIE: summary.fine_but_odd,
                "not fine": summary.not_fine,
            },
            advice=[
                f"{word(one.state, language)} ({group.count}): {word(one.cure, language)}"
                for one, group in summary.ordered_groups()
            ],
        ),
        end=lambda language: f"\n{summary.count_text(language)}.\n",
    )
    return report_of(path, spec, options)


def show_audit(summary: AuditSummary, language: Language, *, seconds: float) -> None:
    """Show the lines, the problems by kind, and the counts."""
    console, first = data_console(), summary.first()
    # All that have a problem, which come first, or else the first few.
    lines = first[: max(sum(line.is_odd for line in first), _MAX_LINES)]
    if lines:
        console.print(audit_table(lines, language))
        short = (one.unregistered for one in lines if len(one.unregistered) <= _MAX_TYPES_NAMED)
        if types := sorted({name for names in short for name in names}):
            console.print(names_of(types, language), style="dim")
        print_more(MORE, summary.seen - len(lines), language)
        console.print()
    if summary.groups:
        rows = (
            (word(one.state, language), group.count, group.example, word(one.cure, language))
            for one, group in summary.ordered_groups()
        )
        names = ("problem", "series", "such as", "what to do")
        console.print(new_table(*names, rows=rows, numbers=("series",), language=language))
    text = Text(counted(summary.fine, "fine", language), "green")
    style = "red" if summary.not_fine else ""
    text.append(f"  {counted(summary.not_fine, 'not fine', language)}", style)
    if left := summary.not_seen:
        text.append(f"  {counted(left, 'not looked at', language)}", "bold red")
    took = decimal(seconds, language)
    text.append(f"  {word(_TOTAL, language, total=summary.total, seconds=took)}")
    console.print(text)


def audit_table(lines: list[AuditLine], language: Language = "en") -> Table:
    table = table_of(AUDIT_COLUMNS, lines, language)
    table.padding = (0, 0)
    return table
