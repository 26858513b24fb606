"""All the accounts of the server: found by name, by id, by e-mail or by fiscal id."""

import itertools
import re
import unicodedata
from collections import defaultdict

import attrs

from invoicexpress_async.sandbox.domain.account_state import AccountState
from invoicexpress_async.sandbox.domain.accounts import SandboxAccount

_FIRST_ID = 12_345
_MAX_NAME_CHARACTERS = 40  # leaves room for a number, in a label of 63


@attrs.define(eq=False)
class Directory:
    """All accounts, with indexes for the searches. Every change of an account goes through here."""

    states: dict[str, AccountState] = attrs.field(factory=dict[str, AccountState], init=False)
    _names: defaultdict[tuple[str, str], dict[str, None]] = attrs.field(
        factory=lambda: defaultdict[tuple[str, str], dict[str, None]](dict), init=False
    )

    def add(self, account: SandboxAccount) -> None:
        if account.name in self.states:
            raise ValueError(f"the sandbox already has an account {account.name!r}")
        self.states[account.name] = AccountState(account)
        self._enter(account)

    def update(self, account: SandboxAccount) -> None:
        state = self.states[account.name]
        for key in _keys(state.account):
            self._names[key].pop(account.name, None)
        state.account = account
        self._enter(account)

    def by_id(self, account_id: str) -> tuple[AccountState, ...]:
        return self._find("id", account_id)

    def by_email(self, email: str) -> tuple[AccountState, ...]:
        return self._find("email", fold(email))

    def by_fiscal_id(self, fiscal_id: str) -> tuple[AccountState, ...]:
        return self._find("fiscal_id", fiscal_id)

    def free_id(self) -> str:
        # Accounts are never deleted, so their number only grows.
        ids = (str(number) for number in itertools.count(_FIRST_ID + len(self.states)))
        return next(one for one in ids if not self.by_id(one))

    def free_name(self, organization_name: str) -> str:
        """Return an unused label of a host name, like the organization's name."""
        plain = unicodedata.normalize("NFKD", organization_name).encode("ascii", "ignore").decode()
        label = re.sub("[^a-z0-9]+", "-", plain.lower())[:_MAX_NAME_CHARACTERS].strip("-")
        label = label or "account"
        names = (f"{label}-{number}" for number in itertools.count(2))
        return next(one for one in itertools.chain((label,), names) if one not in self.states)

    def _enter(self, account: SandboxAccount) -> None:
        for key in _keys(account):
            self._names[key][account.name] = None

    def _find(self, field: str, value: str) -> tuple[AccountState, ...]:
        return tuple(self.states[name] for name in self._names.get((field, value), ()))


def fold(email: str) -> str:
    # Whether the real server distinguishes case is unknown; mail servers do not.
    return email.casefold()


def _keys(account: SandboxAccount) -> tuple[tuple[str, str], ...]:
    values = (
        ("id", account.id),
        ("email", fold(account.email or "")),
        ("fiscal_id", account.fiscal_id),
    )
    return tuple(pair for pair in values if pair[1])
