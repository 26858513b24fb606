"""A lane: one connection to one origin, and the two ways to send over it."""

import asyncio
from typing import TYPE_CHECKING, TypeVar

import attrs
from yarl import URL

from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.transport.address import Address
from invoicexpress_async.transport.attempt import Attempt
from invoicexpress_async.transport.client_session import TransportOptions
from invoicexpress_async.transport.opener import ConnectionOpener
from invoicexpress_async.transport.openings import Openings
from invoicexpress_async.transport.session_sender import (
    AttemptFailedError,
    SessionSender,
    see_what_has_arrived,
)
from invoicexpress_async.transport.trust import ConnectionTrust, Reuse

if TYPE_CHECKING:
    from invoicexpress_async.transport.raw_connection import KeptConnection

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ConnectionRoom:
    """What the lanes of one manager share."""

    options: TransportOptions
    openings: Openings
    opener: ConnectionOpener
    trust: ConnectionTrust


class HttpLane:
    """One connection to one origin.

    It is kept open, and spoken to without aiohttp's client. When a user's trace hooks are to see
    the requests, or a mock to intercept them, a session sends them instead.
    """

    def __init__(self, origin: str, room: ConnectionRoom) -> None:
        self.origin = origin
        self._room = room
        self._kept: KeptConnection | None = None
        self._sender: SessionSender | None = None
        self._used_at = float("-inf")

    async def close(self) -> None:
        """Close the connection, and wait until the socket is."""
        kept, self._kept = self._kept, None
        try:
            if kept is not None:
                await kept.wait_closed()
        finally:
            if self._sender is not None:
                await self._sender.close()

    def abandon(self) -> None:
        """Close the connection without waiting, and without aiohttp's own warnings."""
        self._close_kept()
        if self._sender is not None:
            self._sender.abandon()

    async def exchange(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Send one request and read its response into `attempt`. Only raises if cancelled."""
        attempt.is_begun = True
        cancelled: tuple[object, ...] | None = None
        try:
            async with asyncio.timeout(self._room.options.timeouts.attempt_seconds):
                reuse = await self._reuse(has_effect=request.operation.has_effect)
                try:
                    await self._send(address, request, key, attempt)
                finally:
                    if reuse is not None:
                        self._learn(reuse, attempt)
        except asyncio.CancelledError as cancellation:
            cancelled = cancellation.args
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            attempt.fail(error)
        finally:
            if attempt.opening is not None:
                attempt.opening.end()
        if cancelled is not None:
            # Raised anew: the frames that it came through hold the request line, key and all.
            raise asyncio.CancelledError(*cancelled)

    async def _send(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        if self._room.opener.may_keep():
            if self._kept is None:
                self._kept = await self._room.opener.open(URL(self.origin), attempt)
            if self._kept is not None:
                await self._kept.exchange(request, address.target(request, key), key, attempt)
                self._used_at = self._room.trust.now()
                return
            if attempt.failure is not None:
                return
        self._close_kept()  # the session opens a connection of its own
        if self._sender is None:
            self._sender = SessionSender(self.origin, self._room.options, self._room.openings)
        try:
            await self._sender.exchange(address, request, key, attempt)
        except AttemptFailedError:
            return  # the sender has written what it was
        self._used_at = self._room.trust.now()

    async def _reuse(self, *, has_effect: bool) -> Reuse | None:
        """Close the open connection unless it can be trusted with the request."""
        is_open = self._kept is not None or (self._sender and self._sender.has_connection)
        if not is_open:
            return None
        if await self._is_still_open(has_effect=has_effect):
            reuse = self._room.trust.reuse(self.origin, self._used_at, has_effect=has_effect)
            if reuse is not None:
                return reuse
        self._close_kept()
        if self._sender is not None and self._sender.has_connection:
            await self._sender.renew()
        return None

    async def _is_still_open(self, *, has_effect: bool) -> bool:
        if self._kept is not None:
            return self._kept.is_usable and (not has_effect or self._kept.is_silent())
        if has_effect:
            await see_what_has_arrived()
        return True  # aiohttp itself replaces a connection that has ended

    def _learn(self, reuse: Reuse, attempt: Attempt) -> None:
        if attempt.answer is not None:
            reuse.answered()
        elif attempt.is_sent and attempt.is_unanswered:
            reuse.died()
        reuse.end()

    def _close_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()
