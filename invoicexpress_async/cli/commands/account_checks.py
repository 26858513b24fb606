"""Checks of an account by one read: its key, its limit, and its way to the tax authority (AT)."""

import time
from collections.abc import Sequence as Ordered
from typing import Final

from invoicexpress_async import AccountSession, Registration, Sequence
from invoicexpress_async.cli.commands.check import Check, doubtful, fine, skipped, wrong
from invoicexpress_async.cli.failures import cure_of, message_of
from invoicexpress_async.errors import (
    AuthenticationError,
    InvoiceXpressError,
    PermissionDeniedError,
    RateLimitedError,
)

_NAMES: Final = ("key", "limit", "AT registration")
_MOST_NAMES: Final = 3
_LACKING: Final = (Registration.PARTIAL, Registration.NOT_REGISTERED)
_REGISTER: Final = (
    "Check the account's AT sub-user and password, then run "
    "`invoicexpress sequences register ID` for each; `invoicexpress sequences list` has the ids."
)


def account_skipped(why: str) -> list[Check]:
    """Return the same checks, not made."""
    return [skipped(name, why) for name in _NAMES]


async def account_checks(account: AccountSession) -> list[Check]:
    """List the account's sequences, once, and judge by the answer."""
    began = time.monotonic()
    error: InvoiceXpressError
    try:
        sequences = await account.sequences.list()
    except InvoiceXpressError as failure:
        error = failure
    else:
        seconds = time.monotonic() - began
        return [
            fine(
                "key",
                f"opens {account.name}; sequences: {len(sequences)}, listed in {seconds:.2f} s",
            ),
            fine("limit", "780 requests a minute for the account; not reached"),
            _registration(sequences),
        ]
    return [_key(error), _limit(error), skipped("AT registration", "nothing could be read")]


def _key(error: InvoiceXpressError) -> Check:
    if isinstance(error, RateLimitedError):
        return skipped("key", "the account's limit is reached")
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return wrong("key", message_of(error), cure_of(error))
    return wrong("key", f"could not be tried: {message_of(error)}", cure_of(error))


def _limit(error: InvoiceXpressError) -> Check:
    if isinstance(error, RateLimitedError):
        return wrong("limit", message_of(error), cure_of(error))
    return skipped("limit", "nothing could be read")


def _registration(sequences: Ordered[Sequence]) -> Check:
    """Judge the account's AT set-up by what it brought about: an account cannot read it."""
    name = "AT registration"
    if not sequences:
        return skipped(name, "there is no sequence to tell by; the first create will tell")
    lacking = [one for one in sequences if one.registration in _LACKING]
    registered = [one for one in sequences if one.registration is Registration.REGISTERED]
    newest = max(sequences, key=lambda one: one.id)
    if lacking:
        found = f"{_named(lacking)}: document types without a validation code"
        # An old one may be left as it is; what came last tells how it stands now.
        judge = wrong if newest in lacking else doubtful
        return judge(name, found, _REGISTER)
    if registered:
        return fine(
            name, f"works: {len(registered)} of {len(sequences)} sequences have their codes"
        )
    if newest.registration is Registration.NOT_APPLICABLE:
        return fine(name, "not needed by any document type of this account")
    return skipped(name, "the answers carry no validation codes")


def _named(sequences: Ordered[Sequence]) -> str:
    names = ", ".join(repr(one.serie) for one in sequences[:_MOST_NAMES])
    more = len(sequences) - _MOST_NAMES
    return f"{names} and {more} more" if more > 0 else names
