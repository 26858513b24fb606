"""What truly happened to accounts, behind the faults."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import attrs

from invoicexpress_async.sandbox.domain.accounts import SandboxAccount
from invoicexpress_async.sandbox.domain.directory import fold
from invoicexpress_async.sandbox.domain.engine import Engine, Pending
from invoicexpress_async.sandbox.domain.ledger import AtOutcome
from invoicexpress_async.sandbox.requests import read_envelope


@attrs.frozen(kw_only=True)
class DuplicateAccount:
    """A company that has more than one account: its numbering is split for good.

    Companies are distinguished by their fiscal id, and those without one by their e-mail.
    """

    fiscal_id: str
    email: str
    names: tuple[str, ...]


@attrs.define(eq=False)
class AccountOracle:
    """What a fault server knows of the accounts that partners create."""

    _engine: Engine
    _posts: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _commits: Counter[tuple[str, str]] = attrs.field(factory=Counter[tuple[str, str]], init=False)

    def posts(self, email: str | None = None) -> int:
        """Return how many creates with that e-mail, or any, were read; refused ones as well.

        Those for existing users count too, whichever partner sent them.
        """
        return self._posts.total() if email is None else self._posts[fold(email)]

    def commits(self, email: str | None = None, fiscal_id: str | None = None) -> int:
        """Return how many creates made an account, with that e-mail and that fiscal id."""
        return sum(
            number
            for (of_email, of_fiscal_id), number in self._commits.items()
            if (email is None or of_email == fold(email)) and fiscal_id in (None, of_fiscal_id)
        )

    def duplicates(self) -> tuple[DuplicateAccount, ...]:
        """Return every company that has more than one account."""
        return tuple(self._duplicates())

    def at_communications(self, account: str, outcome: AtOutcome | None = None) -> int:
        """Return how often an account's sub-user was tried at the tax authority.

        Args:
            account: Its name.
            outcome: Only with the right password, with a wrong one, or when it was locked.

        Raises:
            KeyError: There is no account of that name.
        """
        outcomes = self._engine.ledgers[account].at_outcomes
        return outcomes.total() if outcome is None else outcomes[outcome]

    def note_read(self, pending: Pending) -> None:
        # From the body, as a create that was refused on arrival has no form.
        fields = read_envelope(pending.request, "account") or {}
        self._posts[fold(str(fields.get("email", "")))] += 1

    def note_commit(self, account: SandboxAccount) -> None:
        self._commits[fold(account.email or ""), account.fiscal_id] += 1

    def _duplicates(self) -> Iterator[DuplicateAccount]:
        groups: defaultdict[str, list[SandboxAccount]] = defaultdict(list)
        for account in self._engine.accounts.values():
            groups[account.fiscal_id or fold(account.email or "")].append(account)
        for company, (first, *others) in groups.items():
            if company and others:
                names = tuple(one.name for one in (first, *others))
                yield DuplicateAccount(
                    fiscal_id=first.fiscal_id, email=first.email or "", names=names
                )
