"""One row of a plan, and what two rows may not both ask for."""

import attrs

from invoicexpress_async.config import Secret, check_account_name, check_api_key, check_serie
from invoicexpress_async.provisioning.key import KeyReference, as_key


def _check_key(_: object, __: object, key: Secret | KeyReference) -> None:
    if isinstance(key, Secret):
        check_api_key(key)


def _check_serie(_: object, __: object, serie: str) -> None:
    check_serie(serie)


@attrs.frozen(kw_only=True)
class PlanRow:
    """One serie on one account.

    Attributes:
        account: The account's name; upper case is lowered.
        api_key: The key, hidden, or where it is. A text is taken as either.
        serie: The name, sent exactly as it is.
        is_default: Whether it must be the account's default; False leaves the flag as it is.
        line: Where it stands in the file it came from; 0 when it came from none.
    """

    account: str = attrs.field(converter=check_account_name)
    api_key: Secret | KeyReference = attrs.field(converter=as_key, validator=_check_key)
    serie: str = attrs.field(validator=_check_serie)
    is_default: bool = False
    line: int = 0


class Clashes:
    """The rows seen so far, to find those that cannot both be meant."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], int] = {}
        self._default_lines: dict[str, int] = {}

    def find(self, row: PlanRow) -> str | None:
        """Return what is wrong with the row beside those before it, or None."""
        # Names that differ in case or spaces only would be refused by `ensure` one by one.
        identity = row.account, "".join(row.serie.casefold().split())
        if identity in self._lines:
            return f"the same account and serie as {_where(self._lines[identity])}"
        self._lines[identity] = row.line
        if not row.is_default:
            return None
        if row.account in self._default_lines:
            return f"a second default for the account of {_where(self._default_lines[row.account])}"
        self._default_lines[row.account] = row.line
        return None


def _where(line: int) -> str:
    return f"line {line}" if line else "an earlier row"
