"""The server without a socket: a request comes in, takes effect now, later or never."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from invoicexpress_async.sandbox.domain.account_desk import AccountDesk
from invoicexpress_async.sandbox.domain.accounts import (
    ACCOUNT_OPERATIONS,
    READ_OPERATIONS,
    SandboxAccount,
)
from invoicexpress_async.sandbox.domain.answers import Answer, RefusedError, refusal_answer
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.directory import Directory
from invoicexpress_async.sandbox.domain.families import Family, Mint, SandboxSequence
from invoicexpress_async.sandbox.domain.ledger import Ledger
from invoicexpress_async.sandbox.domain.sequences import SequenceDesk
from invoicexpress_async.sandbox.requests import Request, RequestLog
from invoicexpress_async.sandbox.routes import (
    NewSequence,
    Order,
    find_order,
    query_key,
    read_order,
)


@attrs.frozen(eq=False)
class Pending:
    """A request that was received and checked, and has had no effect yet.

    Each `commit` applies it: once is the rule, never is a lost request, twice is one that was
    replayed on the way. `order` is the refusal if the request was refused on arrival.
    """

    request: Request
    order: Order | RefusedError
    _commit: Callable[["Pending"], Answer] = attrs.field(repr=False)
    index: int

    def commit(self) -> Answer:
        return self._commit(self)


@attrs.define(eq=False)
class Engine:
    """Accounts, their series and the rules; pure and synchronous but for the clock it is given.

    `revision` moves with every change worth saving.
    """

    behaviour: SandboxBehaviour
    clock: Callable[[], float]
    mint: Mint
    log: RequestLog = attrs.field(factory=RequestLog, init=False)
    revision: int = attrs.field(default=0, init=False)
    _directory: Directory = attrs.field(factory=Directory, init=False)
    _desk: SequenceDesk = attrs.field(init=False)
    _account_desk: AccountDesk = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._desk = SequenceDesk(self.behaviour, self.clock, self.mint)
        self._account_desk = AccountDesk(self.behaviour, self._directory, self._desk)

    @property
    def ledgers(self) -> dict[str, Ledger]:
        return self._directory.ledgers

    @property
    def accounts(self) -> Mapping[str, SandboxAccount]:
        return MappingProxyType({name: book.account for name, book in self.ledgers.items()})

    def add_account(self, account: SandboxAccount) -> None:
        self._directory.add(account)
        self.revision += 1

    def open_account(self, account: SandboxAccount) -> None:
        """Add an account as the API creates it: with the series that it begins with."""
        self.add_account(account)
        self._desk.open(self.ledgers[account.name])

    def update_account(self, account: SandboxAccount) -> None:
        self._directory.update(account)
        self.revision += 1

    def add_sequence(
        self, account: str, new: NewSequence, *, is_registered: bool
    ) -> SandboxSequence:
        family = self._desk.insert(
            self.ledgers[account], new, is_registered=is_registered, listed_from=self.clock()
        )
        self.revision += 1
        return family.snapshot()

    def restore_sequence(
        self, account: str, family: Family, *, is_registering: bool, is_new: bool
    ) -> None:
        ledger = self.ledgers[account]
        ledger.add(family)
        if is_registering:
            # The monotonic clock of an earlier run means nothing here: it begins again.
            self._desk.start_registration(ledger, family, is_new=is_new)

    def sequences(self, account: str) -> tuple[SandboxSequence, ...]:
        ledger = self.ledgers[account]
        ledger.settle(self.mint, now=self.clock())
        return ledger.snapshots()

    def receive(self, request: Request) -> Pending:
        """Take in a request, and decide what is decided on arrival.

        That is the account, its limit, the route, the key, the body, and whether an account
        has the rights at all. All else is decided by `commit`.
        """
        now = self.clock()
        index = self.log.add(request, received_at=now)
        try:
            order: Order | RefusedError = self._admit(request, now=now)
        except RefusedError as refused:
            order = refused
        return Pending(request, order, self._commit, index)

    def handle(self, request: Request) -> Answer:
        return self.receive(request).commit()

    def _admit(self, request: Request, *, now: float) -> Order:
        ledger = self.ledgers.get(request.account)
        if ledger is None:
            # The host name exists for every account name: the response is that to a bad key.
            raise RefusedError(401)
        # Whether a request with a bad key counts is unknown: here it does.
        if not ledger.admits(self.behaviour, now=now):
            raise RefusedError(429)
        order = read_order(request)
        if query_key(request.query) != ledger.account.api_key.encode():
            raise RefusedError(401)
        desk = self._account_desk if order.operation in ACCOUNT_OPERATIONS else self._desk
        return desk.receive(ledger, order, request)

    def _commit(self, pending: Pending) -> Answer:
        try:
            answer = self._apply(pending)
        except RefusedError as refused:
            ledger = self.ledgers.get(pending.request.account)
            language = (ledger and ledger.account.language) or self.behaviour.language
            asked = find_order(pending.request.method, pending.request.path)
            answer = refusal_answer(
                self.behaviour,
                refused,
                operation=asked.operation if asked is not None else None,
                language=language,
            )
        self.log.settle(pending.index, status=answer.status)
        # One session cookie for the domain that all accounts share.
        cookie = f"_session={pending.request.account}-{pending.index:x}"
        cookie += "; domain=.app.invoicexpress.com; path=/; HttpOnly"
        return answer.with_header("Set-Cookie", cookie)

    def _apply(self, pending: Pending) -> Answer:
        order = pending.order
        if isinstance(order, RefusedError):
            raise order.anew()
        ledger = self.ledgers[pending.request.account]
        if order.operation not in READ_OPERATIONS:
            # A refused create may leave a row behind, so that a refusal counts as well.
            self.revision += 1
        desk = self._account_desk if order.operation in ACCOUNT_OPERATIONS else self._desk
        return desk.commit(ledger, order)
