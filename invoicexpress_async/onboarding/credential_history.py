"""The history of a company's AT credentials: which were refused, and which were sent how often.

The tax authority locks a sub-user after repeated wrong passwords. The journal has only a slow,
salted hash: enough to recognise credentials, and not to recover them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Final, Self

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.models.at_credentials import AtCredentials

_SALT_BYTES: Final = 16
# About 50 ms and 16 MiB a guess. Only refused or unanswered credentials are ever hashed.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1


@attrs.frozen(kw_only=True)
class CredentialDigests:
    """Digests that identify credentials.

    Attributes:
        own: The digest of the credentials themselves.
        with_key: The digest of the credentials and the account's key; a 401 may be about the key.
    """

    own: str
    with_key: str


@attrs.frozen(kw_only=True)
class CredentialHistory:
    """The history of one company's AT credentials.

    Attributes:
        salt: The salt of all digests.
        refused: The digests of credentials that were refused.
        unknown: By digest: how many sends of the credentials have no known outcome.
        was_set: Whether credentials were accepted, but then refused for the first sequence.
    """

    salt: bytes = attrs.field(factory=lambda: os.urandom(_SALT_BYTES))
    refused: frozenset[str] = frozenset()
    unknown: Mapping[str, int] = attrs.field(factory=dict[str, int])
    was_set: bool = False

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Return the history that `dump` wrote."""
        if text is None:
            return cls()
        if not text.startswith("{"):  # the format of the first journals: salt:refused digest
            first_salt, _, digest = text.partition(":")
            return cls(salt=bytes.fromhex(first_salt), refused=frozenset({digest}))
        saved = json.loads(text)
        return cls(
            salt=bytes.fromhex(saved["salt"]),
            refused=frozenset(saved["refused"]),
            unknown=saved["unknown"],
            was_set=saved["was_set"],
        )

    def dump(self) -> str | None:
        """Return the history as text; None if it is empty."""
        if self.is_empty:
            return None
        digests = {"refused": sorted(self.refused), "unknown": dict(self.unknown)}
        return json.dumps({"salt": self.salt.hex(), **digests, "was_set": self.was_set})

    @property
    def is_empty(self) -> bool:
        """Whether the history has nothing to compare credentials with."""
        return not (self.refused or self.unknown or self.was_set)

    def digests(self, credentials: AtCredentials, key: Secret | None = None) -> CredentialDigests:
        """Return the digests of credentials. Each takes about 50 ms: not for the event loop."""
        with_key = "" if key is None else self._digest(credentials, key)
        return CredentialDigests(own=self._digest(credentials), with_key=with_key)

    def has_refused(self, digests: CredentialDigests) -> bool:
        """Whether these credentials were refused, alone or with this key."""
        return not self.refused.isdisjoint({digests.own, digests.with_key})

    def sends_of(self, digests: CredentialDigests) -> int:
        """Return how many sends of these credentials have no known outcome."""
        return self.unknown.get(digests.own, 0)

    def record_refused(self, digest: str) -> "CredentialHistory":
        """Return the history with a refusal added."""
        return attrs.evolve(self, refused=self.refused | {digest})

    def record_rejected(self, digest: str) -> "CredentialHistory":
        """Return the history with credentials added that were set, but could not register."""
        return attrs.evolve(self.record_refused(digest), was_set=True)

    def record_unanswered(self, digest: str) -> "CredentialHistory":
        """Return the history with a send added whose outcome is unknown."""
        return attrs.evolve(self, unknown={**self.unknown, digest: self.unknown.get(digest, 0) + 1})

    def clear(self, digests: CredentialDigests) -> "CredentialHistory":
        """Return the history without these: they were accepted, or a person wants another send."""
        left = {digest: count for digest, count in self.unknown.items() if digest != digests.own}
        return attrs.evolve(
            self, refused=self.refused - {digests.own, digests.with_key}, unknown=left
        )

    def _digest(self, credentials: AtCredentials, key: Secret | None = None) -> str:
        # No local variable holds the clear text: a traceback of an error here would show it.
        return hashlib.scrypt(
            _clear_text(credentials, key), salt=self.salt, n=_COST, r=_BLOCK, p=_PARALLEL
        ).hex()


def _clear_text(credentials: AtCredentials, key: Secret | None) -> bytes:
    secrets = (credentials.password,) if key is None else (credentials.password, key)
    return "\0".join((credentials.subuser, *(one.reveal() for one in secrets))).encode()
