"""Where an account's key comes from."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from invoicexpress_async.config import Secret, check_api_key
from invoicexpress_async.errors import ConfigurationError

KeyCallable = Callable[[], Awaitable[str]]
"""An async callable without arguments that returns the key, as from a vault."""


class KeySource:
    """One account's key: given, or asked for when first needed and then kept."""

    def __init__(self, source: Secret | KeyCallable) -> None:
        self.identity: Hashable = source
        self._source = check_api_key(source) if isinstance(source, Secret) else source
        self._key: Secret | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> Secret:
        """Return the key. A burst of first calls asks for it once.

        Raises:
            ConfigurationError: the callable returned what cannot be a key.
        """
        if isinstance(self._source, Secret):
            return self._source
        if self._key is None:
            async with self._asking:
                if self._key is None:
                    self._key = _checked(await self._source())
        return self._key


def _checked(answer: object) -> Secret:
    secret = Secret(answer) if isinstance(answer, str) else None
    del answer  # a traceback that prints locals must not show it
    if secret is None:
        raise ConfigurationError("The callable for the API key did not return a str.")
    return check_api_key(secret)
