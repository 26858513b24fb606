"""What was refused and must not be sent again, remembered without keeping it."""

import hashlib
import secrets
from typing import Final

_SALT_BYTES: Final = 32


class RefusedCredentials:
    """Remembers refused secrets for the life of a manager, as salted hashes.

    The salt is this object's own and is never written anywhere: a mark is worth nothing to who
    reads it in a dump, and the clear text is not kept.
    """

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._marks: set[bytes] = set()

    def mark(self, *parts: str) -> bytes:
        """Return the mark of what `parts` say together. None of them has a NUL in it."""
        text = "\0".join(parts).encode()
        return hashlib.blake2b(text, key=self._salt).digest()

    def add(self, mark: bytes) -> None:
        """Note a refusal."""
        self._marks.add(mark)

    def discard(self, *marks: bytes) -> None:
        """Note that what was refused is accepted now."""
        self._marks.difference_update(marks)

    def has(self, *marks: bytes) -> bool:
        """Return whether any of them was refused."""
        return not self._marks.isdisjoint(marks)
