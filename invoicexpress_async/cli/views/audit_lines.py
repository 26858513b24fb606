"""The lines of an audit: one for each serie of an account, or for a problem of the account."""

from collections.abc import Iterator
from typing import Final

import attrs

from invoicexpress_async import Registration, Sequence
from invoicexpress_async.cli.failures import cause_of, cure_of
from invoicexpress_async.cli.output import REGISTRATION_STYLES
from invoicexpress_async.cli.summary import Group
from invoicexpress_async.cli.words import lines_of
from invoicexpress_async.provisioning import AccountAudit, Lack
from invoicexpress_async.provisioning.audit import is_incomplete

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
_DOES_NOT_COUNT: Final = "It does not count: the account's default is fine."
_NO_CODES: Final = "The server sent no codes: look at the serie in InvoiceXpress itself."

# The ranks of lines. Wrong: the account is not fine because of it. Odd: an incomplete serie that
# is not the default, or the wanted serie that is not the default. Then the default, then others.
_WRONG: Final = 0
_ODD: Final = 1
_DEFAULT: Final = 2
_OTHER: Final = 3
_STYLES: Final = {_WRONG: "red", _ODD: "yellow"}


@attrs.frozen(kw_only=True)
class AuditLine:
    """One serie of one account, or a problem of the account."""

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
        return self.account

    @property
    def group(self) -> Group | None:
        return None if self.problem is None else Group(self.problem, self.cure or "")

    @property
    def is_odd(self) -> bool:
        return self.rank in _STYLES

    @property
    def is_other(self) -> bool:
        """Whether the line is of a serie that is neither a default, nor wanted, nor wrong."""
        return self.rank == _OTHER

    @property
    def unregistered(self) -> list[str]:
        return list(map(str, self.sequence.unregistered)) if self.sequence else []

    @property
    def state(self) -> str:
        if self.problem is not None or self.sequence is None:
            return self.problem or ""
        return self.sequence.registration.replace("_", " ")

    @property
    def style(self) -> str:
        if self.problem is not None or self.sequence is None:
            return _STYLES.get(self.rank, "")
        return REGISTRATION_STYLES[self.sequence.registration]


def audit_lines(seen: AccountAudit) -> Iterator[AuditLine]:
    """Yield the lines of an account."""
    start = AuditLine(
        line=seen.row.line, account=seen.row.account, is_fine=seen.is_fine, rank=_WRONG
    )
    if seen.error is not None:
        yield attrs.evolve(start, problem=cause_of(seen.error), cure=cure_of(seen.error))
        return
    # In quotes, so that a name is never translated as a text of this program.
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
            # Before its day this holds for all accounts, so other problems come first.
            text = lines_of(wanted, _NOT_DEFAULT)
            yield attrs.evolve(line, rank=_ODD, problem=text, cure=_CHOOSE_IT)
        else:
            yield attrs.evolve(line, rank=_DEFAULT if sequence.is_default else _OTHER)


def _is_wanted(seen: AccountAudit, sequence: Sequence) -> bool:
    return seen.wanted is not None and seen.wanted.is_name(sequence.serie)


def _incomplete(line: AuditLine, sequence: Sequence) -> AuditLine:
    is_unknown = sequence.registration is Registration.UNKNOWN
    state = _NO_CODES_SENT if is_unknown else sequence.registration.replace("_", " ")
    cure = _NO_CODES if is_unknown else _REGISTER
    return attrs.evolve(
        line,
        rank=_WRONG if sequence.is_default else _ODD,
        problem=state if sequence.is_default else lines_of(state, _NOT_DEFAULT_ONE),
        cure=lines_of(_DOES_NOT_COUNT, cure) if line.is_fine else cure,
    )
