"""The sources of an account's API key."""

import asyncio
import hashlib
import inspect
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, TypeAlias

from invoicexpress_async.clock import Clock
from invoicexpress_async.config import Secret, check_api_key
from invoicexpress_async.errors import ConfigurationError

KeyCallable = Callable[[], Awaitable[str]]
"""An async callable without arguments that returns the key, as from a vault."""


class StaticKey:
    """A fixed key that the caller has given."""

    __slots__ = ("known",)

    def __init__(self, key: Secret) -> None:
        self.known: Secret = check_api_key(key)

    @property
    def identity(self) -> Hashable:
        """A value that all sources of the same key share."""
        return self.known

    async def get(self) -> Secret:
        """Return the key."""
        return self.known

    async def renew(self, _: Secret) -> bool:
        """Return False: there is no other key."""
        return False


class KeyProvider:
    """A key that a callable returns: requested when first needed, then kept for `ttl_seconds`."""

    known: None = None

    def __init__(self, source: KeyCallable, *, ttl_seconds: float, clock: Clock) -> None:
        self.identity: Hashable = source
        self._source = source
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._key: Secret | None = None
        self._stale_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> Secret:
        """Return the key. Simultaneous first calls request it once."""
        if self._key is None or self._clock.uptime() >= self._stale_at:
            async with self._lock:
                if self._key is None or self._clock.uptime() >= self._stale_at:
                    await self._refresh()
        return self._key  # type: ignore[return-value]  # requested, or an error was raised

    async def renew(self, refused: Secret) -> bool:
        """Request the key again after a 401 with `refused`; return whether the key has changed."""
        async with self._lock:
            if self._key == refused:
                await self._refresh()
        return self._key != refused

    async def _refresh(self) -> None:
        requested_at = self._clock.uptime()  # the vault may take long, and the machine may sleep
        returned = self._source()
        if not inspect.isawaitable(returned):
            del returned  # it may be the key itself
            raise ConfigurationError("The callable for the API key is not async.")
        self._key = _checked(await returned)
        self._stale_at = requested_at + self._ttl_seconds


KeySource: TypeAlias = StaticKey | KeyProvider


class KeyProviderCache:
    """Keeps key providers, because handles are often created anew for each request."""

    _MAX_SOURCES: Final = 4_096

    def __init__(self, *, ttl_seconds: float, clock: Clock) -> None:
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._sources: OrderedDict[tuple[str, KeyCallable], KeyProvider] = OrderedDict()

    def source(self, account: str, key: Secret | KeyCallable) -> KeySource:
        """Return the source of an account's key; handles with the same callable share it."""
        if isinstance(key, Secret):
            return StaticKey(key)
        try:
            known = self._sources.get((account, key))
        except TypeError:  # a callable that cannot be hashed
            return KeyProvider(key, ttl_seconds=self._ttl_seconds, clock=self._clock)
        if known is None:
            known = KeyProvider(key, ttl_seconds=self._ttl_seconds, clock=self._clock)
            self._sources[account, key] = known
            if len(self._sources) > self._MAX_SOURCES:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end((account, key))
        return known


def _checked(returned: object) -> Secret:
    secret = Secret(returned) if isinstance(returned, str) else None
    del returned  # a traceback that prints locals must not show it
    if secret is None:
        raise ConfigurationError("The callable for the API key did not return a str.")
    return check_api_key(secret)


_SALT_BYTES: Final = 32


class RefusedCredentials:
    """Remembers refused secrets for the life of a manager, as salted hashes.

    The salt belongs to this object and is never written anywhere, so a digest that is found in a
    dump is useless. The clear text is not kept.
    """

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._digests: set[bytes] = set()

    def digest(self, *parts: str) -> bytes:
        """Return the digest of `parts` together. No part may contain a NUL."""
        text = "\0".join(parts).encode()
        return hashlib.blake2b(text, key=self._salt).digest()

    def add(self, digest: bytes) -> None:
        """Note that a secret was refused."""
        self._digests.add(digest)

    def discard(self, *digests: bytes) -> None:
        """Note that refused secrets are accepted now."""
        self._digests.difference_update(digests)

    def contains(self, *digests: bytes) -> bool:
        """Return whether any of the secrets was refused."""
        return not self._digests.isdisjoint(digests)
