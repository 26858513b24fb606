"""Where the key of a row is: in the row, hidden, or at a place that the row names."""

import asyncio
import os
from pathlib import Path
from typing import Final, Literal

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError

_MOST_CHARACTERS: Final = 4096  # so that a path by mistake does not fill the memory


@attrs.frozen
class KeyReference:
    """Where a key is, in place of the key: `env:NAME` or `file:PATH`. Read at the row's turn."""

    kind: Literal["env", "file"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def problem(self) -> str | None:
        """Return why there is nothing to read, or None."""
        if self.kind == "env":
            is_there = bool(os.environ.get(self.name))
            return None if is_there else "api_key names an environment variable that is not set"
        is_there = Path(self.name).is_file() and os.access(self.name, os.R_OK)
        return None if is_there else "api_key names a file that cannot be read"

    async def read(self) -> str:
        """Return the key.

        Raises:
            ConfigurationError: there is none.
        """
        text = (
            os.environ.get(self.name)
            if self.kind == "env"
            else await asyncio.to_thread(_read_text, Path(self.name))
        )
        if not text or not text.strip():
            raise ConfigurationError(f"No API key is to be had from {self}.")
        return text.strip()


def _read_text(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(_MOST_CHARACTERS)
    except (OSError, UnicodeError):
        return None


def as_key(value: str | Secret | KeyReference) -> Secret | KeyReference:
    """Take a text for what it is: `env:NAME`, `file:PATH`, or a key."""
    if not isinstance(value, str):
        return value
    kind, colon, name = value.partition(":")
    if colon and kind == "env":
        return KeyReference("env", name)
    if colon and kind == "file":
        return KeyReference("file", name)
    return Secret(value)
