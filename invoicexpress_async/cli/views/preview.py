"""What a run would do on each account, from a read of it; lines that need a person come first."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from invoicexpress_async.cli.cures import cure_of_step
from invoicexpress_async.cli.failures import cause_of, cure_of, error_object, message_of
from invoicexpress_async.cli.output import ACCOUNT_WIDTH, data_console, new_table
from invoicexpress_async.cli.views.columns import (
    Column,
    Columns,
    Place,
    line_text,
    show_plan,
    yes_text,
)
from invoicexpress_async.cli.words import Language, lines_of, word
from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.errors import (
    ConfigurationError,
    InvoiceXpressError,
    PartialRegistrationError,
)
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.models.sequence import Registration
from invoicexpress_async.models.sequence import Sequence as DocumentSequence
from invoicexpress_async.provisioning import PlanRow, RolloverStep
from invoicexpress_async.provisioning.audit import AccountAudit, find_serie
from invoicexpress_async.provisioning.next_serie import is_step_backwards

_INCOMPLETE: Final = frozenset({Registration.NOT_REGISTERED, Registration.PARTIAL})
_MAX_ROWS: Final = 20
_MAX_PROBLEMS: Final = 100
_SERIE_WIDTH: Final = 18
_IN_JOURNAL: Final = "the journal has it:"
_NOT_READ: Final = "cannot be read:"
_UNUSABLE: Final = "it is there, and not wholly registered: it is left as it is"
_UNLIKE: Final = "its name is unlike all others of the account:"
_BACKWARDS: Final = "a step backwards:"
CREATE: Final = "create"
REGISTER: Final = "register"
DEFAULT: Final = "default"
_TEXTS: Final[Mapping[tuple[str, ...], str]] = {
    (): "nothing: it is there",
    (CREATE,): "create",
    (CREATE, DEFAULT): "create, then make it the default",
    (REGISTER,): "register",
    (REGISTER, DEFAULT): "register, then make it the default",
    (DEFAULT,): "make it the default",
}
_NOTHING: Final = "nothing: it is the default"


@attrs.frozen(kw_only=True)
class PreviewLine:
    """A row of a plan, with the present state of its account and of the row in the journal.

    Attributes:
        line: The row's line in the file.
        account: The account's name.
        serie: The serie to ensure; None when it could not be determined.
        is_default: Whether the serie is to be the default.
        journal: The state of the row in the journal.
        is_settled: Whether the run would leave the row unchanged.
        is_read: Whether the account was read.
        current: The account's present default.
        registration: How far the serie is registered, if it already exists.
        is_unlike: Whether the serie's name has another form than all other names of the account.
        is_abroad: Whether validation codes apply to none of the account's sequences.
        lacks_codes: Whether the present default lacks codes that it needs.
        is_left_out: Whether the run would leave the row out.
        error: The error with which the run would fail on the row, or for which it leaves it out.
    """

    line: int
    account: str
    serie: str | None
    is_default: bool = True
    journal: str | None = None
    is_settled: bool = False
    is_read: bool = False
    current: str | None = None
    registration: Registration | None = None
    is_unlike: bool = False
    is_abroad: bool = False
    lacks_codes: bool = False
    is_left_out: bool = False
    error: InvoiceXpressError | None = None

    @classmethod
    def of_step(cls, step: RolloverStep, journal: str | None = None) -> "PreviewLine":
        """Return the line of an account of a roll-over."""
        return cls(
            line=step.row.line,
            account=step.row.account,
            serie=step.serie,
            journal=journal,
            is_read=step.is_read,
            current=None if step.current is None else step.current.serie,
            registration=step.registration,
            is_unlike=step.is_unlike,
            is_abroad=_is_abroad(() if step.current is None else (step.current,)),
            lacks_codes=_lacks_codes(step.current),
            is_left_out=step.problem is not None,
            error=step.problem or step.error,
        )

    @classmethod
    def of_row(cls, row: PlanRow, journal: str | None = None) -> "PreviewLine":
        """Return the line of a plan's row whose account was not read."""
        return cls(
            line=row.line,
            account=row.account,
            serie=row.serie,
            is_default=row.is_default,
            journal=journal,
        )

    def settled(self) -> "PreviewLine":
        """Return the line as that of a row which the run leaves unchanged."""
        return attrs.evolve(self, is_settled=True, is_unlike=False, error=None)

    def looked_at(self, seen: AccountAudit) -> "PreviewLine":
        """Return the line with what a read of the account showed."""
        serie, current = self.serie or "", seen.default
        found = find_serie(seen, serie)
        return attrs.evolve(
            self,
            is_read=True,
            current=None if current is None else current.serie,
            registration=found.registration,
            is_unlike=found.registration is None and seen.has_only_names_unlike(serie),
            is_abroad=_is_abroad(seen.sequences),
            lacks_codes=_lacks_codes(current),
            error=found.error,
        )

    @property
    def actions(self) -> tuple[str, ...]:
        """The changes that would be sent, in order: some of `CREATE`, `REGISTER`, `DEFAULT`."""
        if not self.is_read or self.is_settled or self.error is not None:
            return ()
        found: list[str] = []
        if self.registration is None:
            found.append(CREATE)
        elif self.registration is Registration.NOT_REGISTERED:
            found.append(REGISTER)
        if self.is_default and not self._is_current:
            found.append(DEFAULT)
        return tuple(found)

    @property
    def is_backwards(self) -> bool:
        """Whether the serie would replace a default of a later year."""
        named = self.current is not None and self.serie is not None and self.is_default
        return named and is_step_backwards(self.current or "", self.serie or "")

    @property
    def is_odd(self) -> bool:
        """Whether a person should check the line first."""
        is_refused = self.is_settled and self.journal == JournalState.REFUSED
        return self.error is not None or self.is_unlike or self.is_backwards or is_refused

    @property
    def is_unread(self) -> bool:
        """Whether the account could not be read."""
        is_of_serie = isinstance(self.error, ConfigurationError | PartialRegistrationError)
        return self.error is not None and not is_of_serie

    @property
    def failure(self) -> dict[str, object] | None:
        error = self.error
        if error is None:
            return None
        cure = cure_of_step(error) if self.serie is None else cure_of(error)
        return error_object(error) | {"cure": word(cure, "en")}

    @property
    def note(self) -> str:
        if self.error is not None:
            return _problem_text(self.error, self.account)
        odd = _BACKWARDS if self.is_backwards else _UNLIKE if self.is_unlike else ""
        if self.journal is not None and self.journal != JournalState.PLANNED:
            return lines_of(odd, _IN_JOURNAL, self.journal)
        text = _NOTHING if self._is_current and not self.actions else _TEXTS[self.actions]
        return lines_of(odd, text)

    @property
    def _is_current(self) -> bool:
        return self.current is not None and canonical(self.current) == canonical(self.serie or "")


PREVIEW_COLUMNS: Final[Columns[PreviewLine]] = (
    Column("line", lambda one: one.line, text=line_text, is_number=True),
    Column("account", lambda one: one.account, width=ACCOUNT_WIDTH),
    Column("current", lambda one: one.current, title="default now", width=_SERIE_WIDTH),
    Column("serie", lambda one: one.serie, places=Place.JSON),
    Column(
        "next",
        lambda one: one.serie or "?",
        places=Place.TABLE,
        title="serie",
        style=lambda one: "" if one.serie else "yellow",
        width=_SERIE_WIDTH,
    ),
    Column("what to do", lambda one: one.note, places=Place.TABLE, is_text=True),
    Column("is_default", lambda one: one.is_default, places=Place.JSON),
    Column("registration", lambda one: one.registration, places=Place.JSON),
    Column("actions", lambda one: one.actions, places=Place.JSON),
    Column("is_unlike", lambda one: one.is_unlike, places=Place.JSON),
    Column("failure", lambda one: one.failure, places=Place.JSON),
    Column("journal", lambda one: one.journal, places=Place.JSON),
)
# Columns for a plan of which no account was read.
PLAN_COLUMNS: Final[Columns[PreviewLine]] = (
    Column("line", lambda one: one.line, is_number=True),
    Column("account", lambda one: one.account),
    Column("serie", lambda one: one.serie),
    Column("is_default", lambda one: one.is_default, title="default", text=yes_text, is_word=True),
    Column("journal", lambda one: one.journal),
)


def show_preview(lines: Sequence[PreviewLine], *, as_json: bool, language: Language) -> None:
    """Show all lines as JSON, or the first ones as a table, those that need a person first."""
    if as_json:
        show_plan(PREVIEW_COLUMNS, lines, as_json=True, language=language)
        return
    ordered = sorted(lines, key=lambda line: (line.error is None, not line.is_odd))
    odd = sum(line.is_odd for line in lines)
    most = max(_MAX_ROWS, min(odd, _MAX_PROBLEMS))
    show_plan(PREVIEW_COLUMNS, ordered, as_json=False, language=language, most=most)
    _show_causes(ordered, language)


def _show_causes(lines: Iterable[PreviewLine], language: Language) -> None:
    """Show each cause for which the run would fail on accounts, once, with its cure."""
    causes = Counter[tuple[str, str]]()
    examples: dict[tuple[str, str], str] = {}
    for line in lines:
        if line.error is not None and not isinstance(line.error, ConfigurationError):
            group = cause_of(line.error), cure_of(line.error)
            causes[group] += 1
            examples.setdefault(group, line.account)
    if not causes:
        return
    rows = (
        (cause, count, examples[cause, cure], word(cure, language))
        for (cause, cure), count in causes.most_common()
    )
    names = ("problem", "accounts", "such as", "what to do")
    table = new_table(*names, rows=rows, numbers=("accounts",), language=language)
    data_console().print("", table, sep="\n")


def _is_abroad(sequences: Iterable[DocumentSequence]) -> bool:
    return {one.registration for one in sequences} == {Registration.NOT_APPLICABLE}


def _lacks_codes(current: DocumentSequence | None) -> bool:
    return current is not None and current.registration in _INCOMPLETE


def _problem_text(error: InvoiceXpressError, account: str) -> str:
    if isinstance(error, PartialRegistrationError):
        return _UNUSABLE
    if isinstance(error, ConfigurationError):
        what = message_of(error).removeprefix(f"Account {account}: ")
        own_cure = error.cure if error.cure != ConfigurationError.cure else ""
        return lines_of(what, own_cure)
    return lines_of(_NOT_READ, cause_of(error))
