"""Where an account's key comes from."""

from collections.abc import Awaitable, Callable

from invoicexpress_async.config import Secret, check_api_key

KeyCallable = Callable[[], Awaitable[str]]
"""An async callable without arguments that returns the key, as from a vault."""


class KeySource:
    """One account's key: given, or asked for when first needed and then kept."""

    def __init__(self, source: Secret | KeyCallable) -> None:
        self._key = check_api_key(source) if isinstance(source, Secret) else None
        self._ask = None if isinstance(source, Secret) else source

    async def get(self) -> Secret:
        """Return the key.

        Raises:
            ConfigurationError: the callable returned what cannot be a key.
        """
        if self._key is None and self._ask is not None:
            self._key = check_api_key(Secret(await self._ask()))
        if self._key is None:
            raise AssertionError("a key source has a key or a callable")
        return self._key
