"""One connection to one origin: the two ways to send over it, and whether it can be trusted.

A server or proxy may close an idle connection without notice, and a request that is on its way at
that moment is lost without a response. A lost read is sent again, but a lost create has an unknown
outcome for good. So a request with an effect is sent on a connection that is fresh, or that was
used a moment ago at an origin that has never let a reused connection die.
"""

import asyncio
from collections import OrderedDict
from typing import Final, TypeVar

import attrs
from yarl import URL

from invoicexpress_async.clock import Clock
from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.transport.attempt import Address, Attempt
from invoicexpress_async.transport.opener import ConnectionOpener
from invoicexpress_async.transport.raw_connection import RawConnection, is_client_genuine
from invoicexpress_async.transport.session_sender import (
    AttemptFailedError,
    SessionSender,
    see_what_has_arrived,
)

T = TypeVar("T")

_TRUSTED_IDLE_SECONDS: Final = 1.0
MAX_IDLE_SECONDS: Final = 15.0
"""A connection that was idle for longer is closed and not used, as in aiohttp's own pool."""

# A job has an origin for each account: the oldest origins are forgotten, and learned again.
_MAX_ORIGINS: Final = 20_000
# A lost read costs little: after this time, a read may show that a death was an accident.
_FORGIVEN_SECONDS: Final = 60.0
# The accounts of one provider share their servers: when this many reused connections have died,
# and this many in a hundred of all reuses, the other origins are not probed one by one.
_MIN_DEATHS: Final = 3
_DEATHS_PER_CENT: Final = 10


class HttpConnection:
    """One connection to one origin.

    It is kept open, and used without aiohttp's client. When a user's trace hooks must see the
    requests, or a mock must intercept them, a session sends them instead.
    """

    def __init__(self, origin: str, opener: ConnectionOpener, trust: "ConnectionTrust") -> None:
        self.origin = origin
        self._opener = opener
        self._trust = trust
        self._raw: RawConnection | None = None
        self._sender: SessionSender | None = None
        self._used_at = float("-inf")

    async def close(self) -> None:
        """Close the connection, and wait until its socket is closed."""
        raw, self._raw = self._raw, None
        try:
            if raw is not None:
                await raw.wait_closed()
        finally:
            if self._sender is not None:
                await self._sender.close()

    def abort(self) -> None:
        """Close the connection without waiting, and without aiohttp's own warnings."""
        self._close_raw()
        if self._sender is not None:
            self._sender.abort()

    async def exchange(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Send one request and read its response into `attempt`. Raises only if cancelled."""
        attempt.is_begun = True
        cancelled: tuple[object, ...] | None = None
        try:
            async with asyncio.timeout(self._opener.options.timeouts.attempt_seconds):
                reuse = await self._reuse(has_effect=request.operation.has_effect)
                try:
                    await self._send(address, request, key, attempt)
                finally:
                    if reuse is not None:
                        reuse.end(attempt)
        except asyncio.CancelledError as cancellation:
            cancelled = cancellation.args
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            attempt.fail(error)
        finally:
            if attempt.permit is not None:
                attempt.permit.close()
        if cancelled is not None:
            # Raised anew: the frames of the original contain the request line, and so the key.
            raise asyncio.CancelledError(*cancelled)

    async def _send(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        if self._raw is None and self._opener.may_open():
            self._raw = await self._opener.open(URL(self.origin), attempt)
            if attempt.failure is not None:
                return
        gap = self._trust.clock_gap()
        if self._raw is not None and is_client_genuine():
            await self._raw.exchange(request, address.request_target(request, key), key, attempt)
            self._used_at = self._trust.used_at(gap)
            return
        self._close_raw()  # the session opens its own connection
        if self._sender is None:
            self._sender = SessionSender(
                self.origin, self._opener.options, self._opener.connect_limiter
            )
        try:
            await self._sender.exchange(address, request, key, attempt)
        except AttemptFailedError:
            return  # the sender has recorded the failure
        self._used_at = self._trust.used_at(gap)

    async def _reuse(self, *, has_effect: bool) -> "Reuse | None":
        """Return the record of a reuse; close an open connection that is not trusted with it."""
        if self._raw is None and not (self._sender and self._sender.has_connection):
            return None
        if await self._is_still_open(has_effect=has_effect):
            reuse = self._trust.reuse(self.origin, self._used_at, has_effect=has_effect)
            if reuse is not None:
                return reuse
        self._close_raw()
        if self._sender is not None and self._sender.has_connection:
            sender, self._sender = self._sender, None
            await sender.close()
        return None

    async def _is_still_open(self, *, has_effect: bool) -> bool:
        if self._raw is not None:
            return self._raw.is_usable and (not has_effect or self._raw.is_silent())
        if has_effect:
            await see_what_has_arrived()
        return True  # aiohttp itself replaces a connection that has ended

    def _close_raw(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()


@attrs.define
class _Origin:
    """The experience with the reused connections of one origin.

    Attributes:
        answered_after: The longest idle time after which a request was answered; below 0 when
            no request was.
        died_after: The shortest idle time after which a request was lost.
        died_at: When a request was last lost.
        is_probing: Whether a request with an effect is under way after a longer idle time than
            any that was answered: no second one is risked meanwhile.
    """

    answered_after: float = -1.0
    died_after: float = float("inf")
    died_at: float = float("-inf")
    is_probing: bool = False


class ConnectionTrust:
    """Learns which idle connections of a manager can be reused, from the result of each reuse.

    A machine does not see what is closed while it is suspended: that time counts as idle.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        self.answered: int = 0
        self.died: int = 0

    def reuse(self, origin: str, used_at: float, *, has_effect: bool) -> "Reuse | None":
        """Return the record of a reuse; None when the connection is not trusted.

        The caller must call `end` of the record. `used_at` is when the connection's last response
        was complete. A lost request with an effect would leave an unknown outcome.
        """
        known, idle_seconds = self._origin(origin), self.now() - used_at
        is_probe = has_effect and idle_seconds > known.answered_after
        if has_effect:
            is_trusted = self._may_carry_effects(known, idle_seconds, is_probe=is_probe)
        else:
            is_trusted = self._may_carry_reads(known, idle_seconds)
        if not is_trusted:
            return None
        known.is_probing |= is_probe
        return Reuse(self, known, idle_seconds, is_probe)

    def _origin(self, origin: str) -> _Origin:
        known = self._origins.get(origin)
        if known is None:
            known = self._origins[origin] = _Origin()
            if len(self._origins) > _MAX_ORIGINS:
                self._origins.popitem(last=False)
        return known

    def _may_carry_reads(self, known: _Origin, idle_seconds: float) -> bool:
        is_forgiven = self.now() - known.died_at >= _FORGIVEN_SECONDS
        return idle_seconds < (MAX_IDLE_SECONDS if is_forgiven else known.died_after)

    def _may_carry_effects(self, known: _Origin, idle_seconds: float, *, is_probe: bool) -> bool:
        return (
            idle_seconds <= _TRUSTED_IDLE_SECONDS
            and known.died_after == float("inf")
            and not (is_probe and (known.is_probing or self._is_provider_closing))
        )

    @property
    def _is_provider_closing(self) -> bool:
        total = self.answered + self.died
        return self.died >= _MIN_DEATHS and self.died * 100 >= total * _DEATHS_PER_CENT

    def now(self) -> float:
        """Return the present time, on the clock that counts the time of a suspended machine."""
        return self._clock.uptime()

    def clock_gap(self) -> float:
        """Return how far that clock is ahead of the monotonic clock, before an exchange."""
        return self._clock.uptime() - self._clock.now()

    def used_at(self, gap: float) -> float:
        """Return the end of an exchange that ends now, less the time asleep since `clock_gap`."""
        return self._clock.now() + gap


@attrs.define
class Reuse:
    """One request over a connection that was used before."""

    _trust: ConnectionTrust
    _origin: _Origin
    _idle_seconds: float
    _is_probe: bool

    def end(self, attempt: Attempt) -> None:
        """Learn from the outcome of the request, and allow the next probe."""
        origin = self._origin
        if self._is_probe:
            origin.is_probing = False
        if attempt.response is not None:
            origin.answered_after = max(origin.answered_after, self._idle_seconds)
            self._trust.answered += 1
        elif attempt.is_sent and attempt.is_unanswered:
            # The connection was closed, or hung, before any response.
            origin.died_at = self._trust.now()
            origin.died_after = min(origin.died_after, self._idle_seconds)
            self._trust.died += 1
