"""The server without a socket. A request takes effect at once, later or never."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from invoicexpress_async.sandbox.domain.account_handlers import AccountHandlers
from invoicexpress_async.sandbox.domain.account_state import AccountState
from invoicexpress_async.sandbox.domain.accounts import (
    ACCOUNT_OPERATIONS,
    READ_OPERATIONS,
    SandboxAccount,
)
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.directory import Directory
from invoicexpress_async.sandbox.domain.responses import RefusedError, Response, refusal_response
from invoicexpress_async.sandbox.domain.rows import IdGenerator, SandboxSequence, SequenceRow
from invoicexpress_async.sandbox.domain.sequences import SequenceHandlers
from invoicexpress_async.sandbox.requests import Request, RequestLog
from invoicexpress_async.sandbox.routes import (
    Command,
    NewSequence,
    find_command,
    query_key,
)


@attrs.frozen(eq=False)
class Pending:
    """A request that was received and checked and has had no effect yet.

    Each `commit` applies it: once normally, never for a lost request, twice for a request that was
    replayed on the network. `command` is the error if the request was refused on arrival, and
    `route` its operation and id even then.
    """

    request: Request
    route: Command | None
    command: Command | RefusedError
    _commit: Callable[["Pending"], Response] = attrs.field(repr=False)
    index: int

    def commit(self) -> Response:
        return self._commit(self)


@attrs.define(eq=False)
class Engine:
    """The accounts, their series and the rules. Synchronous, and without I/O except its clock.

    `revision` grows with every change that must be saved.
    """

    behaviour: SandboxBehaviour
    clock: Callable[[], float]
    generator: IdGenerator
    log: RequestLog = attrs.field(factory=RequestLog, init=False)
    revision: int = attrs.field(default=0, init=False)
    _directory: Directory = attrs.field(factory=Directory, init=False)
    _sequences: SequenceHandlers = attrs.field(init=False)
    _accounts: AccountHandlers = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._sequences = SequenceHandlers(self.behaviour, self.clock, self.generator)
        self._accounts = AccountHandlers(self.behaviour, self._directory, self._sequences)

    @property
    def states(self) -> dict[str, AccountState]:
        return self._directory.states

    @property
    def accounts(self) -> Mapping[str, SandboxAccount]:
        return MappingProxyType({name: state.account for name, state in self.states.items()})

    def add_account(self, account: SandboxAccount) -> None:
        self._directory.add(account)
        self.revision += 1

    def open_account(self, account: SandboxAccount) -> None:
        """Add an account as the API creates it, with its first series."""
        self.add_account(account)
        self._sequences.open(self.states[account.name])

    def update_account(self, account: SandboxAccount) -> None:
        self._directory.update(account)
        self.revision += 1

    def add_sequence(
        self, account: str, new: NewSequence, *, is_registered: bool
    ) -> SandboxSequence:
        row = self._sequences.insert(
            self.states[account], new, is_registered=is_registered, listed_from=self.clock()
        )
        self.revision += 1
        return row.snapshot()

    def restore_sequence(
        self, account: str, row: SequenceRow, *, is_registering: bool, is_new: bool
    ) -> None:
        state = self.states[account]
        state.add(row)
        if is_registering:
            # A monotonic time of an earlier run has no meaning here, so registration starts again.
            self._sequences.start_registration(state, row, is_new=is_new)

    def sequences(self, account: str) -> tuple[SandboxSequence, ...]:
        state = self.states[account]
        state.settle(self.generator, now=self.clock())
        return state.snapshots()

    def receive(self, request: Request) -> Pending:
        """Receive a request, and make the checks of its arrival.

        They are the account, its limit, the route, the key, the body, and the rights of the
        account. `commit` makes all other checks.
        """
        now = self.clock()
        index = self.log.add(request, received_at=now)
        route = find_command(request.method, request.path)
        try:
            command: Command | RefusedError = self._admit(request, route, now=now)
        except RefusedError as refused:
            command = refused
        return Pending(request, route, command, self._commit, index)

    def _admit(self, request: Request, route: Command | None, *, now: float) -> Command:
        state = self.states.get(request.account)
        if state is None:
            # The host name exists for every account name, so the response is that for a bad key.
            raise RefusedError(401)
        # Whether a request with a bad key counts towards the limit is unknown: here it does.
        if not state.admits(self.behaviour, now=now):
            raise RefusedError(429)
        if route is None:
            raise RefusedError(302)
        if query_key(request.query) != state.account.api_key.encode():
            raise RefusedError(401)
        return self._handlers(route).receive(state, route, request)

    def _commit(self, pending: Pending) -> Response:
        try:
            response = self._apply(pending)
        except RefusedError as refused:
            state = self.states.get(pending.request.account)
            language = (state and state.account.language) or self.behaviour.language
            operation = pending.route.operation if pending.route is not None else None
            response = refusal_response(
                self.behaviour, refused, operation=operation, language=language
            )
        self.log.settle(pending.index, status=response.status)
        # One session cookie for the domain that all accounts share.
        cookie = f"_session={pending.request.account}-{pending.index:x}"
        cookie += "; domain=.app.invoicexpress.com; path=/; HttpOnly"
        return response.with_header("Set-Cookie", cookie)

    def _apply(self, pending: Pending) -> Response:
        command = pending.command
        if isinstance(command, RefusedError):
            raise command.with_traceback(None)  # else it would grow with each commit
        state = self.states[pending.request.account]
        if command.operation not in READ_OPERATIONS:
            # A refused create may leave a row behind, so a refusal counts too.
            self.revision += 1
        return self._handlers(command).commit(state, command)

    def _handlers(self, command: Command) -> AccountHandlers | SequenceHandlers:
        return self._accounts if command.operation in ACCOUNT_OPERATIONS else self._sequences
