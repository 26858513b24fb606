"""`SessionManager`, the owner of all connections, and `AccountSession`, a light handle on it."""

import os
import warnings
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Final, NoReturn, Self, TypedDict, Unpack

import aiohttp
from aiohttp.abc import AbstractResolver

from invoicexpress_async.call.context import AccountContext, CallCounters, Lifecycle
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.call.instrumentation import (
    LOG_VARIABLE,
    set_up_logging,
)
from invoicexpress_async.call.keys import KeyCallable, KeyProviderCache
from invoicexpress_async.call.limiter import RateLimit
from invoicexpress_async.call.realm import THIS_PROCESS, Process
from invoicexpress_async.call.recent_requests import RecentRequests
from invoicexpress_async.call.single_flight import SingleFlight
from invoicexpress_async.clock import Clock, MonotonicClock
from invoicexpress_async.config import (
    ACCOUNT_VARIABLE,
    PROXY_VARIABLE,
    BaseUrl,
    Secret,
    Timeouts,
    check_account_name,
    check_seconds,
)
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.events import Event
from invoicexpress_async.jobs.claims import JournalClaims
from invoicexpress_async.jobs.journal import Journal, check_journal
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.decision import RetryPolicy
from invoicexpress_async.protocol.sequences import SequenceRequests, make_converter
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.services.arguments import (
    FROM_ENVIRONMENT,
    FromEnvironment,
    Given,
    base_url_of,
    check_environment_is_of,
    check_types,
    connections_of,
    key_as_secret,
    proxy_of,
    user_agent,
)
from invoicexpress_async.services.manager_settings import ManagerSettings, add_environment
from invoicexpress_async.services.sequence_flows import SequenceOperations
from invoicexpress_async.services.sequences import SharedServices
from invoicexpress_async.transport import Transport, TransportOptions, shield_hooks
from invoicexpress_async.transport.attempt import Address

_DEFAULT_GRACE_SECONDS: Final = 10.0
# Long enough to call a vault seldom, short enough for a key that is revoked.
_DEFAULT_KEY_TTL_SECONDS: Final = 300.0


class Health(TypedDict):
    """The counters of a manager.

    Attributes:
        is_open: Whether calls are accepted.
        calls_in_flight: The number of calls under way.
        connections: An upper bound of the number of open sockets, busy or idle.
        accounts_slowed: The number of accounts that pause after a 429.
        calls: The counters of ended calls.
    """

    is_open: bool
    calls_in_flight: int
    connections: int
    accounts_slowed: int
    calls: CallCounters


class SessionManager:
    """The connections, limits and retries that all accounts of one process share.

    Open one per process and event loop, with `async with`, or call `close()` at the end. It holds
    at most `max_connections` sockets, however many accounts there are, and sends no telemetry.

    Args:
        base_url: A template with `{account}` in its host or path. By default
            `INVOICEXPRESS_BASE_URL`, else the provider's own. Plain http is for this machine only.
        timeouts: The time budgets of every call.
        retry: The policy for sending requests again and for looking up unknown outcomes.
        rate_limit: The limit of each account, 780 requests a minute; None switches pacing off.
        max_connections: The maximum number of sockets, over all accounts: 1,000 by default, or
            fewer where the system allows fewer open files. A TLS connection takes about 0.1 MB,
            and a handshake over a millisecond of CPU. For a service, give at least the number of
            accounts that call within 15 seconds, plus 100, and set the system's limit of open
            files (`ulimit -n`) above that. A job over any number of accounts leaves at most 100
            sockets idle.
        ssl_context: Replaces the system's trust store.
        proxy: The URL of a proxy; proxies in the environment are ignored.
        trace_configs: aiohttp's trace configs; the URLs that they see never contain a key.
        app_name: A name to put before this package's name in the User-Agent.
        resolver: An aiohttp resolver to use instead of the system's; it is not closed here.
        clock: Replaces the monotonic clock, in tests.
        on_event: Called with each `Event` of `invoicexpress_async.events` as it happens, in the
            event loop; an exception in it is logged, and has no other effect.
        key_ttl_seconds: How long a key from a callable is kept; after a 401 it is requested again
            at once.
        journal: An open journal, in which every create, register and account create is claimed
            before it is sent. Of all managers that share it, in this or another process or host,
            only one sends, and the others look up the outcome. Without a journal, two processes
            that ensure the same sequence at once may both send it.
        process: Replaces this process, in tests that simulate several.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(  # noqa: PLR0913  # keyword-only settings, each with a default
        self,
        *,
        base_url: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        rate_limit: RateLimit | None = RateLimit(),  # noqa: B008  # frozen
        max_connections: int | None = None,
        ssl_context: SSLContext | None = None,
        proxy: str | None = None,
        trace_configs: Iterable[aiohttp.TraceConfig] = (),
        app_name: str | None = None,
        resolver: AbstractResolver | None = None,
        clock: Clock | None = None,
        on_event: Callable[[Event], None] | None = None,
        key_ttl_seconds: float = _DEFAULT_KEY_TTL_SECONDS,
        journal: Journal | None = None,
        process: Process | None = None,
    ) -> None:
        hidden_url = None if base_url is None else Given(base_url)
        hidden_proxy = None if proxy is None else Given(proxy)
        del base_url, proxy  # they may contain a password: no frame of an error shows it
        set_up_logging(os.environ.get(LOG_VARIABLE))
        check_types(timeouts, retry, rate_limit, on_event)
        self._base_url = base_url_of(hidden_url)
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or RetryPolicy()
        self.clock: Clock = clock or MonotonicClock()
        clock = self.clock
        self._lifecycle = Lifecycle(clock)
        self._transport = Transport(
            TransportOptions(
                timeouts=self._timeouts,
                user_agent=user_agent(app_name),
                ssl_context=ssl_context,
                proxy=proxy_of(hidden_proxy, self._base_url),
                trace_configs=tuple(shield_hooks(trace) for trace in trace_configs),
                resolver=resolver,
            ),
            max_connections=connections_of(max_connections),
            clock=clock,
        )
        ttl_seconds = check_seconds("key_ttl_seconds", key_ttl_seconds)
        self._keys = KeyProviderCache(ttl_seconds=ttl_seconds, clock=clock)
        self._claims = None if journal is None else JournalClaims(check_journal(journal))
        self._process = process or THIS_PROCESS
        # Entered after the last argument is checked: only a manager that exists leaves it again.
        self._realm = self._process.enter(self._base_url.template, clock)
        self.recent_requests: RecentRequests = RecentRequests(self._realm.limiters, rate_limit)
        dispatcher = Dispatcher(
            transport=self._transport,
            realm=self._realm,
            rate_limit=rate_limit,
            clock=clock,
            lifecycle=self._lifecycle,
            on_event=on_event,
        )
        self._shared = SharedServices(
            dispatcher=dispatcher,
            operations=SequenceOperations(dispatcher, SequenceRequests(make_converter())),
            flights=SingleFlight(),
        )

    @classmethod
    def from_env(
        cls,
        *,
        base_url: str | None = None,
        proxy: str | None = None,
        **settings: Unpack[ManagerSettings],
    ) -> Self:
        """Return a manager that is configured by the environment.

        `INVOICEXPRESS_BASE_URL` is read by every manager; this one also takes
        `INVOICEXPRESS_TIMEOUT_SECONDS`, `INVOICEXPRESS_MAX_CONNECTIONS` and `INVOICEXPRESS_PROXY`.

        Args:
            base_url: As for the manager itself.
            proxy: The same, instead of `INVOICEXPRESS_PROXY`.
            settings: The other keyword arguments of the manager. One that is not None is used
                instead of its variable.

        Raises:
            ConfigurationError: an argument or a variable is invalid.
        """
        hidden_url = None if base_url is None else Secret(base_url)
        hidden_proxy = Secret(proxy or os.environ.get(PROXY_VARIABLE, ""))
        del base_url, proxy  # as in the constructor
        add_environment(settings)
        return cls(
            base_url=None if hidden_url is None else hidden_url.reveal(),
            proxy=hidden_proxy.reveal() or None,
            **settings,
        )

    def account(
        self,
        name: str | None = None,
        api_key: str | KeyCallable | FromEnvironment = FROM_ENVIRONMENT,
        *,
        base_url: str | None = None,
    ) -> AccountSession:
        """Return a light handle on one account, without I/O. You may create one for each request.

        Args:
            name: The NAME in `https://NAME.app.invoicexpress.com`; upper case is lowered. By
                default `INVOICEXPRESS_ACCOUNT`.
            api_key: The key, or an async callable that returns it, awaited at the first call of
                this handle. By default `INVOICEXPRESS_API_KEY`, which is refused for another
                account than `INVOICEXPRESS_ACCOUNT`. None is refused: a vault that found nothing
                must not lead to the key of another account.
            base_url: The address of this one account, without `{account}`, instead of the
                manager's: for a mock server, which has no account in its address.

        Raises:
            ConfigurationError: the name, key or address is invalid.
        """
        own_url = None if base_url is None else Given(base_url)
        is_key_of_environment = api_key is FROM_ENVIRONMENT
        source = key_as_secret(api_key)
        del api_key, base_url  # from here on no local variable holds a secret
        if source is None:
            raise ConfigurationError("The API key is neither a str nor an async callable.")
        if name is None:
            name = os.environ.get(ACCOUNT_VARIABLE)
        if name is None:
            raise ConfigurationError(f"No account: give its name, or set {ACCOUNT_VARIABLE}.")
        checked = check_account_name(name)
        if is_key_of_environment:
            check_environment_is_of(checked)
        context = AccountContext(
            address=Address.of(checked, self._url_of(checked, own_url)),
            keys=self._keys.source(checked, source),
            total_seconds=self._timeouts.total_seconds,
            policy=self._retry,
            owner=self,
            claims=self._claims,
        )
        return AccountSession(self._shared, context)

    def _url_of(self, name: str, own_url: "Given | None") -> str:
        base_url = self._base_url
        if own_url is not None:
            base_url = BaseUrl.parse(own_url.value, is_of_one_account=True)
        return base_url.for_account(name)

    @property
    def total_seconds(self) -> float:
        """The seconds that each call may take, unless the handle or the call sets another limit."""
        return self._timeouts.total_seconds

    @property
    def retry(self) -> RetryPolicy:
        """The retry policy of all accounts, unless a handle has another one."""
        return self._retry

    def health(self) -> Health:
        """Return counters for a readiness page; they contain no secret and no account name."""
        return Health(
            is_open=not self._lifecycle.is_closing,
            calls_in_flight=self._lifecycle.in_flight,
            connections=self._transport.connection_count,
            accounts_slowed=self._realm.limiters.count_paused(),
            calls=self._lifecycle.counters(),
        )

    def unresolved(self) -> tuple[Intent, ...]:
        """Return the intents that this process sent, for any account, with an unknown outcome.

        Store them before the process ends: `SequenceService.resume` takes each, in any process.
        """
        return self._realm.unresolved.all()

    async def read_unresolved(self) -> tuple[Intent, ...]:
        """Return the unresolved intents of all processes that share the manager's journal.

        Without a journal, return those of this process. `SequenceService.resume` takes each.

        Raises:
            JournalError: the journal cannot be read.
        """
        return self.unresolved() if self._claims is None else await self._claims.unresolved()

    async def close(self, grace_seconds: float = _DEFAULT_GRACE_SECONDS) -> None:
        """Close in bounded time. Closing again does nothing.

        New calls are refused at once. Calls in flight have `grace_seconds` to end; then they
        raise `SessionClosedError`, or `OutcomeUnknownError` when they have sent a request that
        must not be sent twice.

        Raises:
            ConfigurationError: `grace_seconds` is not a finite number.
        """
        if type(grace_seconds) not in {int, float} or not grace_seconds <= 0:
            check_seconds("grace_seconds", grace_seconds)
        if not self._lifecycle.is_closing:
            self._process.leave(self._realm)
        try:
            await self._lifecycle.drain(grace_seconds)
            await self._transport.close()
        except BaseException:
            self._transport.abort()  # a shutdown that has no more time
            raise

    async def __aenter__(self) -> Self:
        self._lifecycle.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A SessionManager is not pickled: open one in each process.")

    def __del__(self) -> None:
        # Absent when the constructor refused an argument.
        transport: Transport | None = getattr(self, "_transport", None)
        if transport is None or self._lifecycle.is_forked:
            return  # in a forked child, the connections belong to the parent
        if transport.connection_count and not self._lifecycle.is_closing:
            warnings.warn(
                "A SessionManager was never closed: use `async with` or await its close().",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            transport.abort()
