"""What an audit shows: a line for each account and serie, and what is wrong by kind."""

from collections.abc import Iterator
from typing import Final

import attrs

from invoicexpress_async import Registration, Sequence
from invoicexpress_async.cli.failures import cure_of
from invoicexpress_async.cli.shell import in_place
from invoicexpress_async.errors import InvoiceXpressError, StatusError
from invoicexpress_async.provisioning import AccountAudit

_NO_DEFAULT: Final = "no default"
_SEVERAL: Final = "several defaults"
_CHOOSE: Final = "Make one of its series the default: `invoicexpress sequences set-current ID`."
_REGISTER: Final = (
    "Do not use it yet: check the account's AT set-up, then `invoicexpress sequences register ID`."
)
_NO_CODES: Final = "The server told of no codes: look at the serie in InvoiceXpress itself."

WRONG: Final = 0
"""The account is not fine because of it."""
ODD: Final = 1
"""A serie without all its codes, which is not the default."""
DEFAULT: Final = 2
OTHER: Final = 3


@attrs.frozen(kw_only=True)
class AuditLine:
    """One serie of one account, or what is wrong with the account.

    Attributes:
        line: Where the account stands in the file.
        account: Its name.
        sequence: The serie; None of an account as a whole.
        rank: How soon it is shown.
        problem: What is wrong, in a word or two; None otherwise.
        cure: What to do about it.
    """

    line: int
    account: str
    sequence: Sequence | None = None
    rank: int
    problem: str | None = None
    cure: str | None = None


def lines_of(seen: AccountAudit) -> Iterator[AuditLine]:
    """Yield the lines of an account."""
    start = AuditLine(line=seen.row.line, account=seen.row.account, rank=WRONG)
    if seen.error is not None:
        yield attrs.evolve(start, problem=_name(seen.error), cure=cure_of(seen.error))
        return
    if not seen.defaults:
        yield attrs.evolve(start, problem=_NO_DEFAULT, cure=in_place(_CHOOSE))
    has_several = len(seen.defaults) > 1
    for sequence in seen.sequences:
        line = attrs.evolve(start, sequence=sequence)
        if has_several and sequence.is_default:
            yield attrs.evolve(line, problem=_SEVERAL, cure=in_place(_CHOOSE))
        elif sequence in seen.incomplete:
            yield _incomplete(line, sequence)
        else:
            yield attrs.evolve(line, rank=DEFAULT if sequence.is_default else OTHER)


def _incomplete(line: AuditLine, sequence: Sequence) -> AuditLine:
    is_unknown = sequence.registration is Registration.UNKNOWN
    state = "no codes told" if is_unknown else sequence.registration.replace("_", " ")
    return attrs.evolve(
        line,
        rank=WRONG if sequence.is_default else ODD,
        problem=state if sequence.is_default else f"{state}, not default",
        cure=_NO_CODES if is_unknown else in_place(_REGISTER),
    )


def _name(error: InvoiceXpressError) -> str:
    if isinstance(error, StatusError):
        return f"{error.status}/{error.code}" if error.code else str(error.status)
    return type(error).__name__.removesuffix("Error")
