"""`AccountSession`: a light handle on one account."""

from typing import TYPE_CHECKING, Final, NoReturn, cast

from invoicexpress_async.call.claims import Claims
from invoicexpress_async.call.context import AccountContext, ListCheck
from invoicexpress_async.config import Secret, check_path, check_seconds, check_type
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.protocol.decision import Operation, RetryPolicy
from invoicexpress_async.protocol.exchange import Request, dumps
from invoicexpress_async.services.sequences import SequenceService, SharedServices

if TYPE_CHECKING:
    from invoicexpress_async.services.accounts import AccountService

_MAX_TEXTS: Final = 1_000
_METHODS: Final = ("GET", "POST", "PUT")


class AccountSession:
    """A handle on one account of a manager: it costs nothing and holds no connection."""

    def __init__(self, shared: SharedServices, context: AccountContext) -> None:
        self._shared = shared
        self._context = context
        self._sequences = SequenceService(shared, context)

    def __repr__(self) -> str:
        return f"AccountSession({self.name!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("An AccountSession is not pickled: it goes with its SessionManager.")

    @property
    def name(self) -> str:
        """The account's name, in lower case."""
        return self._context.account

    @property
    def retry(self) -> RetryPolicy:
        """The policy for sending the account's requests again and looking them up."""
        return self._context.policy

    @property
    def claims(self) -> Claims | None:
        """The store of the account's claims; None when this process is the only sender."""
        return self._context.claims

    def claiming(
        self,
        claims: Claims | None,
        *,
        retry: RetryPolicy | None = None,
        check_list: ListCheck | None = None,
    ) -> "AccountSession":
        """Return a handle on the same account that claims intents in `claims`: for jobs."""
        context = self._context.with_options(policy=retry, claims=claims, check_list=check_list)
        return AccountSession(self._shared, context)

    @property
    def sequences(self) -> SequenceService:
        """The account's document sequences."""
        return self._sequences

    @property
    def accounts(self) -> "AccountService":
        """The accounts that this account may create as a partner, and its own AT communication."""
        # Imported here: it is half of the package's import time without aiohttp, and rarely used.
        from invoicexpress_async.services.accounts import AccountService  # noqa: PLC0415

        shared = self._shared
        return AccountService(shared.dispatcher, self._context)

    def with_options(
        self, *, timeout_seconds: float | None = None, retry: RetryPolicy | None = None
    ) -> "AccountSession":
        """Return a handle on the same account with other defaults; None keeps the present one.

        Raises:
            ConfigurationError: `timeout_seconds` is not a finite number above 0, or `retry` is no
                `RetryPolicy`.
        """
        if retry is not None:
            check_type("retry", retry, RetryPolicy)
        if timeout_seconds is not None:
            timeout_seconds = check_seconds("timeout_seconds", timeout_seconds)
        return AccountSession(self._shared, self._context.with_options(timeout_seconds, retry))

    async def check_credentials(self, *, timeout_seconds: float | None = None) -> None:
        """Check by a harmless read that the account's name and key belong together.

        Raises:
            AuthenticationError: they do not. An unknown name gets 401, like a wrong key.
            InvoiceXpressError: as for every coroutine of `sequences`.
        """
        await self._sequences.list(timeout_seconds=timeout_seconds)

    async def request(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        *,
        timeout_seconds: float | None = None,
    ) -> JsonValue:
        """Call an operation that has no method here, with the same limits, secrets and errors.

        A GET is sent again as the retry table allows. Any other request is never sent again once
        it may have reached the server: then `may_have_been_processed` of the error is True.

        Args:
            method: GET, POST or PUT.
            path: The path below the account's root, such as "/sequences.json", without a query.
            json: The body; None for no body.
            timeout_seconds: The deadline of the call; the manager's by default.

        Returns:
            The response's JSON; None for an empty response.

        Raises:
            InvoiceXpressError: as for every coroutine of `sequences`.
        """
        if method not in _METHODS:
            raise ConfigurationError(f"The method {method!r:.20} is none of {', '.join(_METHODS)}.")
        secrets = _texts_of(json)
        body = b"" if json is None else _encoded(json)
        del json  # it may contain a password: no frame of an error shows it
        if body is None:
            raise ConfigurationError("json cannot be written as JSON: give plain data.")
        request = Request(
            operation=Operation.GET if method == "GET" else Operation.WRITE,
            method=method,
            path=check_path(path),
            body=body,
            subject=path,
            structure=lambda payload: payload,
            secrets=secrets,
        )
        del body
        call = self._context.call(f"{method} request", path, timeout_seconds)
        dispatcher = self._shared.dispatcher
        return await dispatcher.run(call, dispatcher.fetch(call, request))


def _encoded(json: JsonValue) -> bytes | None:
    try:
        return dumps(json)
    except (TypeError, ValueError, RecursionError):
        return None


def _texts_of(json: object) -> tuple[Secret, ...]:
    """Return all texts in the body as secrets, to redact them if the server echoes them."""
    found: list[Secret] = []
    left = [json]
    while left and len(found) < _MAX_TEXTS:
        one = left.pop()
        if isinstance(one, str):
            found.append(Secret(one))
        elif isinstance(one, dict):
            left += cast("dict[object, object]", one).values()
        elif isinstance(one, list | tuple):
            left += cast("list[object]", one)
    return tuple(found)
