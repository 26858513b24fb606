"""A sandbox in a thread, which needs no event loop of its user."""

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Final, Self, TypeVar

from invoicexpress_async.call.realm import THIS_PROCESS
from invoicexpress_async.config import ACCOUNT_VARIABLE, API_KEY_VARIABLE, BASE_URL_VARIABLE
from invoicexpress_async.sandbox import Duplicate, Fault, RecordedRequest, Sandbox
from invoicexpress_async.sandbox import SandboxAccount as Account
from invoicexpress_async.sandbox import SandboxSequence as Row
from invoicexpress_async.sandbox.domain.accounts import Operation

T = TypeVar("T")

# Each call to the server takes microseconds; a test must not hang if the server is dead.
_ANSWER_SECONDS: Final = 30.0


class SandboxThread:
    """A local InvoiceXpress with one account, in its own thread and event loop.

    A test may be async or not, on any loop of any plugin, may block its loop, and may start
    processes that use the server. Every method may be called from any thread.

    Args:
        account: The name of the account, which is also a partner and may create others.
        seed: Equal seeds give equal ids, validation codes and random faults.
    """

    def __init__(self, *, account: str = "acme", seed: int = 0) -> None:
        self._account = Account(name=account, is_partner=True)
        self._server = Sandbox(accounts=[self._account], seed=seed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"SandboxThread(account={self.account!r})"

    def __enter__(self) -> Self:
        loop = asyncio.new_event_loop()
        # A daemon, so that a test run that is ended half-way does not wait for it.
        thread = threading.Thread(
            target=loop.run_forever, name="invoicexpress-sandbox", daemon=True
        )
        thread.start()
        self._loop, self._thread = loop, thread
        try:
            self.run(lambda server: server.start())
        except BaseException:
            self._end_loop()
            raise
        # An earlier test may have used this port: what was known of its sequences must go.
        THIS_PROCESS.forget_server(self.base_url)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(lambda server: server.close())
        finally:
            self._end_loop()

    @property
    def account(self) -> str:
        """The account's name."""
        return self._account.name

    @property
    def api_key(self) -> str:
        """The account's key, which works only with this sandbox."""
        return self._account.api_key

    @property
    def base_url(self) -> str:
        """The address with `{account}` in it, as `SessionManager` expects it."""
        return self._server.base_url

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables with which a program uses this sandbox, unchanged."""
        return {
            BASE_URL_VARIABLE: self.base_url,
            ACCOUNT_VARIABLE: self.account,
            API_KEY_VARIABLE: self.api_key,
        }

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every API request that was read to its end, in order."""
        return self.call(lambda server: tuple(server.requests))

    def fail_next(
        self,
        fault: str | Fault,
        *,
        operation: Operation | None = None,
        account: str | None = None,
        times: int | None = 1,
        **options: object,
    ) -> None:
        """Inject a fault into the next request that matches.

        Args:
            fault: A name of `sandbox.FAULT_NAMES`; `sandbox.describe_fault` describes each.
            operation: Only requests of this operation, such as "create"; None for any.
            account: Only this account's requests; None for any.
            times: How many requests get the fault; None for all until `heal()`.
            options: The options of the fault, such as `status=503` for "status".

        Raises:
            ValueError: the fault or one of its options is unknown.
        """
        self.call(
            lambda server: server.faults.next(
                fault, operation=operation, account=account, times=times, **options
            )
        )

    def fail_randomly(
        self,
        weights: Mapping[str, float],
        *,
        share: float,
        operations: Collection[str] | None = None,
    ) -> None:
        """Inject faults into a share of all requests, drawn by weight, until `heal()`.

        Raises:
            ValueError: a fault or operation is unknown, or the share is not 0 to 1.
        """
        self.call(
            lambda server: server.faults.randomly(weights, share=share, operations=operations)
        )

    def heal(self) -> None:
        """Remove every fault that has not begun."""
        self.call(lambda server: server.faults.clear())

    def go_down(self) -> None:
        """Drop all connections and refuse new ones until `go_up`."""
        self.run(lambda server: server.go_down())

    def go_up(self) -> None:
        """Accept connections again, at the same port."""
        self.run(lambda server: server.go_up())

    def commit_late(self) -> int:
        """Apply the requests that a fault with `commits="late"` held back; return how many."""
        return self.run(lambda server: server.commit_late())

    def add_account(self, account: str | Account) -> Account:
        """Add an account and return it, with its key.

        Raises:
            ValueError: the name is invalid, or an account of that name exists.
        """
        return self.call(lambda server: server.add_account(account))

    def add_sequence(
        self, serie: str, *, account: str | None = None, is_default: bool = False
    ) -> Row:
        """Add a registered sequence to the account, or to another, without the API."""
        name = account or self.account
        return self.call(lambda server: server.add_sequence(name, serie, is_default=is_default))

    def sequences(self, account: str | None = None) -> tuple[Row, ...]:
        """Return the true sequences of the account, or of another."""
        return self.call(lambda server: server.sequences(account or self.account))

    def count(self, method: str, path: str, *, account: str | None = None) -> int:
        """Return how often a path, such as "/sequences.json", was requested."""
        return self.call(lambda server: server.count(method, path, account=account))

    def duplicates(self) -> tuple[Duplicate, ...]:
        """Return every name that an account has more than once, which must never happen."""
        return self.call(lambda server: server.oracle.duplicates())

    def call(self, work: Callable[[Sandbox], T]) -> T:
        """Call `work` with the server, in the server's thread, and return its result.

        Raises:
            RuntimeError: outside `with`.
        """

        async def called(server: Sandbox) -> T:
            return work(server)

        return self.run(called)

    def run(self, work: Callable[[Sandbox], Coroutine[object, object, T]]) -> T:
        """Run the coroutine of `work` in the server's thread, and return its result.

        Raises:
            RuntimeError: outside `with`.
        """
        if self._loop is None:
            raise RuntimeError("The sandbox is not running: use it inside `with`.")
        coroutine = work(self._server)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_ANSWER_SECONDS)

    def _end_loop(self) -> None:
        loop, self._loop = self._loop, None
        thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
