"""What is kept of a company's AT credentials: which were refused, and how often each was sent.

The tax authority locks a sub-user after repeated wrong passwords. Only a slow, salted hash stands
in the journal: enough to know credentials again, and not to recover them.
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
# Some 50 ms and 16 MiB a guess: only what was refused or went unanswered is ever marked.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1


@attrs.frozen(kw_only=True)
class CredentialDigests:
    """Digests that identify credentials.

    Attributes:
        own: Of the credentials themselves.
        with_key: Of the same together with the account's key, which a 401 may be about.
    """

    own: str
    with_key: str


@attrs.frozen(kw_only=True)
class CredentialHistory:
    """What is kept of one company's.

    Attributes:
        salt: Of all its digests.
        refused: The digests of credentials that were refused.
        unknown: How many sends of credentials, by digest, have no known outcome.
        was_set: Whether some were accepted, and the account's first sequence refused them.
    """

    salt: bytes = attrs.field(factory=lambda: os.urandom(_SALT_BYTES))
    refused: frozenset[str] = frozenset()
    unknown: Mapping[str, int] = attrs.field(factory=dict[str, int])
    was_set: bool = False

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read what `dump` wrote."""
        if text is None:
            return cls()
        if not text.startswith("{"):  # as the first journals have it: salt and one refused digest
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
        """Return it as text; None if it is empty."""
        if self.is_empty:
            return None
        digests = {"refused": sorted(self.refused), "unknown": dict(self.unknown)}
        return json.dumps({"salt": self.salt.hex(), **digests, "was_set": self.was_set})

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to know credentials again by."""
        return not (self.refused or self.unknown or self.was_set)

    def digests(self, credentials: AtCredentials, key: Secret | None = None) -> CredentialDigests:
        """Return the digests of credentials. It takes some 50 ms each: not in the event loop."""
        with_key = "" if key is None else self._digest(credentials, key)
        return CredentialDigests(own=self._digest(credentials), with_key=with_key)

    def has_refused(self, digests: CredentialDigests) -> bool:
        """Whether these very credentials were refused, or with this key."""
        return not self.refused.isdisjoint({digests.own, digests.with_key})

    def sends_of(self, digests: CredentialDigests) -> int:
        """Return how many sends of them have no known outcome."""
        return self.unknown.get(digests.own, 0)

    def record_refused(self, digest: str) -> "CredentialHistory":
        """Note a refusal."""
        return attrs.evolve(self, refused=self.refused | {digest})

    def record_rejected(self, digest: str) -> "CredentialHistory":
        """Note that some were accepted, and are not enough to register a sequence with."""
        return attrs.evolve(self.record_refused(digest), was_set=True)

    def record_unanswered(self, digest: str) -> "CredentialHistory":
        """Note a send without a known outcome."""
        return attrs.evolve(self, unknown={**self.unknown, digest: self.unknown.get(digest, 0) + 1})

    def clear(self, digests: CredentialDigests) -> "CredentialHistory":
        """Forget all about these: they were accepted, or a person says to send them again."""
        left = {digest: count for digest, count in self.unknown.items() if digest != digests.own}
        return attrs.evolve(
            self, refused=self.refused - {digests.own, digests.with_key}, unknown=left
        )

    def _digest(self, credentials: AtCredentials, key: Secret | None = None) -> str:
        # No frame of an error that this may raise holds the clear text.
        return hashlib.scrypt(
            _clear_text(credentials, key), salt=self.salt, n=_COST, r=_BLOCK, p=_PARALLEL
        ).hex()


def _clear_text(credentials: AtCredentials, key: Secret | None) -> bytes:
    secrets = (credentials.password,) if key is None else (credentials.password, key)
    return "\0".join((credentials.subuser, *(one.reveal() for one in secrets))).encode()
