"""What an audit shows: a line for each account and serie, and what is wrong by kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentType, Registration, Sequence
from invoicexpress_async.cli.failures import cause_text, cure_of, error_object
from invoicexpress_async.cli.output import (
    ACCOUNT_WIDTH,
    REGISTRATION_STYLES,
    cell,
    data_console,
    documents_of,
    initials,
    names_of,
    new_table,
    sequence_object,
)
from invoicexpress_async.cli.report_file import Layout
from invoicexpress_async.cli.report_style import ReportStyle
from invoicexpress_async.cli.summary import Digest, Group
from invoicexpress_async.cli.views.columns import (
    DOCUMENT_COLUMNS,
    Column,
    Columns,
    Place,
    ReportSpec,
    line_text,
    object_of,
    report_of,
    table_of,
    yes_text,
)
from invoicexpress_async.cli.views.page import ReportFacts
from invoicexpress_async.cli.words import Language, counted, decimal, lines_of, word
from invoicexpress_async.errors import InvoiceXpressError, StatusError
from invoicexpress_async.provisioning import AccountAudit, Lack
from invoicexpress_async.provisioning.audit import is_incomplete

_MORE: Final = "… {count} more: --json and --report show all"
_TOTAL: Final = "of {total} accounts in {seconds} s"
_MAX_LINES: Final = 20
_MAX_PROBLEMS: Final = 100
_MAX_TYPES_NAMED: Final = 4
_SERIE_WIDTH: Final = 16

_LACKS: Final = "lacks"
_NOT_DEFAULT: Final = "is not the default"
_NOT_DEFAULT_ONE: Final = "(not the default)"
_NO_CODES_SENT: Final = "no codes sent"
_NO_DEFAULT: Final = "no default"
_SEVERAL: Final = "several defaults"
_CHOOSE: Final = "Make one of its series the default: `invoicexpress sequences set-current ID`."
_CHOOSE_IT: Final = (
    "When its time has come: the roll-over again, or `invoicexpress sequences set-current NAME`."
)
_MAKE: Final = "Make it with `invoicexpress rollover`, or with `invoicexpress provision`."
_REGISTER: Final = (
    "Do not use it yet: check the account's AT set-up, then `invoicexpress sequences register ID`."
)
_NO_CODES: Final = "The server sent no codes: look at the serie in InvoiceXpress itself."

# The ranks of lines: the account is not fine because of it; a serie without all its codes that is
# not the default; the default; another serie.
_WRONG: Final = 0
_ODD: Final = 1
_DEFAULT: Final = 2
_OTHER: Final = 3
_STYLES: Final = {_WRONG: "red", _ODD: "yellow"}


@attrs.frozen(kw_only=True)
class AuditLine:
    """One serie of one account, or what is wrong with the account.

    Attributes:
        line: Where the account stands in the file.
        account: Its name.
        is_fine: Whether the account is fine.
        sequence: The serie; None of an account as a whole.
        rank: How soon it is shown.
        problem: What is wrong, in a word or two; None otherwise.
        cure: What to do about it.
        hint: Nothing: an error of a read has its cure.
    """

    line: int
    account: str
    is_fine: bool
    sequence: Sequence | None = None
    rank: int
    problem: str | None = None
    cure: str | None = None
    hint: str = ""

    @property
    def example(self) -> str:
        """What names it as an example of its group."""
        return self.account

    @property
    def group(self) -> Group | None:
        """What is wrong, and its cure."""
        return None if self.problem is None else Group(self.problem, self.cure or "")

    @property
    def unregistered(self) -> list[str]:
        """The document types without a code."""
        return list(map(str, self.sequence.unregistered)) if self.sequence else []

    @property
    def state(self) -> str:
        """What is wrong, or else how far the serie is registered."""
        if self.problem is not None or self.sequence is None:
            return self.problem or ""
        return self.sequence.registration.replace("_", " ")

    @property
    def style(self) -> str:
        """The colour of its state."""
        if self.problem is not None or self.sequence is None:
            return _STYLES.get(self.rank, "")
        return REGISTRATION_STYLES[self.sequence.registration]


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
        return f"{len(names)} types"
    return " ".join(map(initials, names)) or None


AUDIT_COLUMNS: Final[Columns[AuditLine]] = (
    Column("line", lambda one: one.line, places=Place.REPORTS, text=line_text),
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
        places=Place.PEOPLE,
        text=yes_text,
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
    Column("no code for", _short_types, places=Place.TABLE),
    Column("problem", lambda one: one.problem, places=Place.REPORTS, is_text=True),
    Column("cure", lambda one: one.cure, places=Place.REPORTS, title="what to do", is_text=True),
)
# In JSON an account is one record, with its sequences inside.
ACCOUNT_COLUMNS: Final[Columns[AccountAudit]] = (
    Column("line", lambda one: one.row.line, places=Place.JSON),
    Column("account", lambda one: one.row.account, places=Place.JSON),
    Column("is_fine", lambda one: one.is_fine, places=Place.JSON),
    Column("lack", lambda one: one.lack, places=Place.JSON),
    Column("defaults", lambda one: [serie.serie for serie in one.defaults], places=Place.JSON),
    Column(
        "sequences",
        lambda one: [
            sequence_object(sequence) | {"unregistered": list(map(str, sequence.unregistered))}
            for sequence in one.sequences
        ],
        places=Place.JSON,
    ),
    Column("failure", lambda one: one.error and error_object(one.error), places=Place.JSON),
)


@attrs.define(kw_only=True, eq=False)
class AuditSummary(Digest[AuditLine]):
    """The accounts that were looked at.

    Attributes:
        total: How many there are.
        accounts: How many were looked at.
        fine: How many of these are fine.
    """

    total: int
    max_kept: int = _MAX_PROBLEMS
    accounts: int = 0
    fine: int = 0

    @property
    def is_fine(self) -> bool:
        """Whether all were looked at and are fine."""
        return self.fine == self.total

    @property
    def not_fine(self) -> int:
        """How many were looked at and are not fine."""
        return self.accounts - self.fine

    @property
    def not_seen(self) -> int:
        """How many were not looked at."""
        return self.total - self.accounts

    def add(self, seen: AccountAudit) -> None:
        """Count one account and its lines."""
        self.accounts += 1
        self.fine += seen.is_fine
        for line in audit_lines(seen):
            self.keep(line)

    def count_text(self, language: Language) -> str:
        """Return how many are fine and how many are not."""
        fine = counted(self.fine, "fine", language)
        return f"{fine}, {counted(self.not_fine, 'not fine', language)}"

    def to_show(self) -> list[AuditLine]:
        """Return the first lines: what is wrong, then in the order of the file."""
        first = self.first()
        wrong = sum(line.rank in _STYLES for line in first)
        return first[: max(wrong, _MAX_LINES)]


def audit_lines(seen: AccountAudit) -> Iterator[AuditLine]:
    """Yield the lines of an account."""
    start = AuditLine(
        line=seen.row.line, account=seen.row.account, is_fine=seen.is_fine, rank=_WRONG
    )
    if seen.error is not None:
        yield attrs.evolve(start, problem=_name(seen.error), cure=cure_of(seen.error))
        return
    # In quotes, a name is never taken for a text of this program.
    wanted = repr(seen.wanted.serie) if seen.wanted and seen.wanted.serie else str(seen.wanted)
    if seen.lack is Lack.MISSING:
        yield attrs.evolve(start, problem=lines_of(_LACKS, wanted), cure=_MAKE)
    if not seen.defaults:
        yield attrs.evolve(start, problem=_NO_DEFAULT, cure=_CHOOSE)
    has_several = len(seen.defaults) > 1
    for sequence in seen.sequences:
        line = attrs.evolve(start, sequence=sequence)
        if has_several and sequence.is_default:
            yield attrs.evolve(line, problem=_SEVERAL, cure=_CHOOSE)
        elif is_incomplete(sequence):
            is_wanted = seen.lack is Lack.NOT_REGISTERED and _is_wanted(seen, sequence)
            found = _incomplete(line, sequence)
            yield attrs.evolve(found, rank=_WRONG) if is_wanted else found
        elif seen.lack is Lack.NOT_DEFAULT and _is_wanted(seen, sequence):
            yield attrs.evolve(line, problem=lines_of(wanted, _NOT_DEFAULT), cure=_CHOOSE_IT)
        else:
            yield attrs.evolve(line, rank=_DEFAULT if sequence.is_default else _OTHER)


def _is_wanted(seen: AccountAudit, sequence: Sequence) -> bool:
    return seen.wanted is not None and seen.wanted.is_name(sequence.serie)


def _incomplete(line: AuditLine, sequence: Sequence) -> AuditLine:
    is_unknown = sequence.registration is Registration.UNKNOWN
    state = _NO_CODES_SENT if is_unknown else sequence.registration.replace("_", " ")
    return attrs.evolve(
        line,
        rank=_WRONG if sequence.is_default else _ODD,
        problem=state if sequence.is_default else lines_of(state, _NOT_DEFAULT_ONE),
        cure=_NO_CODES if is_unknown else _REGISTER,
    )


def _name(error: InvoiceXpressError) -> str:
    status, code = (error.status, error.code) if isinstance(error, StatusError) else (None, None)
    return cause_text(type(error).__name__, status, code)


def account_object(seen: AccountAudit) -> dict[str, object]:
    """Return what was seen of an account as plain data."""
    return object_of("account", ACCOUNT_COLUMNS, seen)


def audit_layout(
    path: Path,
    columns: Columns[AuditLine] = AUDIT_COLUMNS,
    *,
    style: ReportStyle = ReportStyle(),  # noqa: B008  # frozen
) -> Layout[AccountAudit]:
    """Return the report that the ending of the file selects.

    In CSV, a serie has a line for each document type.
    """
    summary = AuditSummary(total=0, max_kept=0)
    spec = ReportSpec[AccountAudit, AuditLine](
        title="audit",
        columns=columns,
        lines_of=audit_lines,
        documents=DOCUMENT_COLUMNS,
        order=lambda seen: (int(seen.is_fine), seen.row.account),
        on_record=summary.add,
        facts=lambda language: ReportFacts(
            noun="accounts",
            counts={"not fine": summary.not_fine, "fine": summary.fine},
            advice=[
                f"{counted(group.count, one.state, language)}: {word(one.cure, language)}"
                for one, group in summary.ordered_groups()
            ],
        ),
        end=lambda language: f"\n{summary.count_text(language)}.\n",
    )
    return report_of(path, spec, style)


def show_audit(summary: AuditSummary, language: Language, *, seconds: float) -> None:
    """Show the lines, what is wrong by kind, and the counts."""
    console, lines = data_console(), summary.to_show()
    if lines:
        console.print(audit_table(lines, language=language))
        if types := _short_type_names(lines):
            console.print(names_of(types, language), style="dim")
        if left := summary.seen - len(lines):
            console.print(word(_MORE, language, count=left), style="dim")
        console.print()
    if summary.groups:
        headings = [word(one, language) for one in ("problem", "series", "such as", "what to do")]
        table = new_table(*headings, numbers=headings[1:2])
        for one, group in summary.ordered_groups():
            said = word(one.state, language), group.count, group.example, word(one.cure, language)
            table.add_row(*map(cell, said))
        console.print(table)
    text = Text(counted(summary.fine, "fine", language), "green")
    style = "red" if summary.not_fine else ""
    text.append(f"  {counted(summary.not_fine, 'not fine', language)}", style)
    if left := summary.not_seen:
        text.append(f"  {counted(left, 'not looked at', language)}", "bold red")
    took = decimal(seconds, language)
    text.append(f"  {word(_TOTAL, language, total=summary.total, seconds=took)}")
    console.print(text)


def audit_table(
    lines: list[AuditLine],
    columns: Columns[AuditLine] = AUDIT_COLUMNS,
    *,
    language: Language = "en",
) -> Table:
    """Return lines as a table."""
    table = table_of(columns, lines, language)
    table.padding = (0, 0)
    return table


def _short_type_names(lines: list[AuditLine]) -> list[str]:
    short = (one.unregistered for one in lines if len(one.unregistered) <= _MAX_TYPES_NAMED)
    return sorted({name for names in short for name in names})
