"""Records what truly happened behind the faults: what arrived, was read and took effect."""

import bisect
from collections import Counter, defaultdict
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from invoicexpress_async.sandbox.domain.account_state import AtOutcome
from invoicexpress_async.sandbox.domain.accounts import SandboxAccount
from invoicexpress_async.sandbox.domain.directory import fold
from invoicexpress_async.sandbox.domain.engine import Engine, Pending
from invoicexpress_async.sandbox.domain.responses import RefusedError
from invoicexpress_async.sandbox.http import Head
from invoicexpress_async.sandbox.requests import read_envelope
from invoicexpress_async.sandbox.routes import Command, read_new_sequence


@attrs.frozen(kw_only=True)
class DuplicateAccount:
    """A company with more than one account: its numbering is split for ever.

    Companies are distinguished by their fiscal id, and those without one by their e-mail.
    """

    fiscal_id: str
    email: str
    names: tuple[str, ...]


@attrs.define(eq=False)
class AccountOracle:
    """Counts the accounts that partners create on a sandbox."""

    _engine: Engine
    _posts: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _commits: Counter[tuple[str, str]] = attrs.field(factory=Counter[tuple[str, str]], init=False)

    def posts(self, email: str | None = None) -> int:
        """Return how many creates with that e-mail, or with any, were read, refused ones included.

        Creates for existing users count too, whichever partner sent them.
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
        groups: defaultdict[str, list[SandboxAccount]] = defaultdict(list)
        for account in self._engine.accounts.values():
            groups[account.fiscal_id or fold(account.email or "")].append(account)
        return tuple(
            DuplicateAccount(
                fiscal_id=accounts[0].fiscal_id,
                email=accounts[0].email or "",
                names=tuple(one.name for one in accounts),
            )
            for company, accounts in groups.items()
            if company and len(accounts) > 1
        )

    def at_communications(self, account: str, outcome: AtOutcome | None = None) -> int:
        """Return how often an account's sub-user was tried at the tax authority.

        Args:
            account: The account's name.
            outcome: Count only this outcome: "right" or "wrong" password, or "locked" sub-user.

        Raises:
            KeyError: There is no account of that name.
        """
        outcomes = self._engine.states[account].at_outcomes
        return outcomes.total() if outcome is None else outcomes[outcome]

    def note_read(self, pending: Pending) -> None:
        # From the body, since a create that was refused on arrival has no form.
        fields = read_envelope(pending.request, "account") or {}
        self._posts[fold(str(fields.get("email", "")))] += 1

    def note_commit(self, account: SandboxAccount) -> None:
        self._commits[fold(account.email or ""), account.fiscal_id] += 1


def _counters() -> defaultdict[str, Counter[str]]:
    return defaultdict(Counter)


@attrs.frozen(kw_only=True)
class PartialRequest:
    """A request that was only partly read, so that it cannot have had an effect.

    If the head was cut, method, account and path are empty and `bytes_expected` is 0. The bytes
    are those of the body, or of the head if nothing else came.
    """

    method: str = ""
    account: str = ""
    path: str = ""
    received_at: float
    bytes_received: int
    bytes_expected: int = 0


@attrs.frozen(kw_only=True)
class Duplicate:
    """A name that an account has more than once, which must never happen."""

    account: str
    serie: str
    rows: int


@attrs.define(eq=False)
class Oracle:
    """The facts that a sandbox knows and its client cannot know.

    Attributes:
        connections_total: How many connections TCP accepted, whatever happened to them later.
        connections_open: How many connections the server has not closed yet.
        connections_peak: The highest number of connections open at once.
        handshake_failures: How many TLS handshakes were not completed.
        bytes_received: The bytes of HTTP, decrypted, on connections that were served at all.
        bytes_unread: The part of these that belongs to requests never read to their end.
        partial: The requests that were only partly read, in order.
        accounts: The oracle of the accounts that partners create.
    """

    _engine: Engine
    accounts: AccountOracle = attrs.field(init=False)
    connections_total: int = attrs.field(default=0, init=False)
    connections_open: int = attrs.field(default=0, init=False)
    connections_peak: int = attrs.field(default=0, init=False)
    handshake_failures: int = attrs.field(default=0, init=False)
    bytes_received: int = attrs.field(default=0, init=False)
    bytes_unread: int = attrs.field(default=0, init=False)
    partial: list[PartialRequest] = attrs.field(factory=list[PartialRequest], init=False)
    _faults: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _posts: defaultdict[str, Counter[str]] = attrs.field(factory=_counters, init=False)
    _commits: defaultdict[str, Counter[str]] = attrs.field(factory=_counters, init=False)
    _times: defaultdict[str, list[float]] = attrs.field(
        factory=lambda: defaultdict[str, list[float]](list), init=False
    )

    def __attrs_post_init__(self) -> None:
        self.accounts = AccountOracle(self._engine)

    @property
    def faults(self) -> Mapping[str, int]:
        """How often each fault was injected."""
        return MappingProxyType(self._faults)

    def rows(self, account: str, serie: str | int | None = None) -> int:
        """Return how many rows of that name, or of any name, an account truly has.

        Raises:
            KeyError: There is no account of that name.
        """
        state = self._engine.states[account]
        if serie is None:
            return state.size
        return sum(str(row.serie) == str(serie) for row in state.rows)

    def posts(self, account: str, serie: str | int | None = None) -> int:
        """Return how many creates were read to their end, refused ones included."""
        return _count(self._posts, account, serie)

    def commits(self, account: str, serie: str | int | None = None) -> int:
        """Return how many creates made a row."""
        return _count(self._commits, account, serie)

    def puts(self, account: str, sequence_id: int, action: str) -> int:
        """Return how many `register` or `set_current` of a row were read to their end."""
        path = f"/sequences/{sequence_id}/{action}.json"
        return self._engine.log.count("PUT", path, account=account)

    def duplicates(self) -> tuple[Duplicate, ...]:
        """Return every name that an account has more than once."""
        return tuple(
            Duplicate(account=account, serie=serie, rows=rows)
            for account, state in self._engine.states.items()
            for serie, rows in Counter(str(row.serie) for row in state.rows).items()
            if rows > 1
        )

    def max_in_window(self, account: str, seconds: float) -> int:
        """Return the highest number of requests of an account in any window of `seconds`.

        Requests that were only partly read count too, since they were sent.
        """
        times = sorted(self._times.get(account, ()))
        return max(
            (bisect.bisect_left(times, at + seconds) - n for n, at in enumerate(times)), default=0
        )

    def note_connected(self) -> None:
        self.connections_total += 1
        self.connections_open += 1
        self.connections_peak = max(self.connections_peak, self.connections_open)

    def note_disconnected(self) -> None:
        self.connections_open -= 1

    def note_fault(self, name: str) -> None:
        self._faults[name] += 1

    def note_partial(self, head: Head | None, *, at: float, received: int) -> None:
        if head is None:
            self.partial.append(PartialRequest(received_at=at, bytes_received=received))
            return
        self._times[head.account].append(at)
        self.partial.append(
            PartialRequest(
                method=head.method,
                account=head.account,
                path=head.path,
                received_at=at,
                bytes_received=received,
                bytes_expected=head.content_length,
            )
        )

    def note_read(self, pending: Pending) -> None:
        account = pending.request.account
        self._times[account].append(self._engine.log.records[pending.index].received_at)
        match pending.route:
            case Command(operation="create"):
                self._posts[account][serie_of(pending)] += 1
            case Command(operation="account_create" | "account_create_already_user"):
                self.accounts.note_read(pending)
            case _:
                pass

    def note_commit(self, pending: Pending, *, rows: int) -> None:
        self._commits[pending.request.account][serie_of(pending)] += rows


def serie_of(pending: Pending) -> str:
    """Return the serie that a create requests, even a refused one; "" if it has none."""
    try:
        return str(read_new_sequence(pending.request).serie)
    except RefusedError:
        return ""


def _count(counts: Mapping[str, Counter[str]], account: str, serie: str | int | None) -> int:
    of_account = counts.get(account, Counter[str]())
    return of_account.total() if serie is None else of_account[str(serie)]
