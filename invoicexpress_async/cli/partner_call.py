"""One call with a partner's name and key."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from invoicexpress_async import AccountService
from invoicexpress_async.cli.connection import open_manager, read_key
from invoicexpress_async.cli.partner_options import PartnerOptions
from invoicexpress_async.cli.signals import run_until_signal
from invoicexpress_async.config import ACCOUNT_VARIABLE, Secret, check_account_name
from invoicexpress_async.errors import ConfigurationError

T = TypeVar("T")


def partner_of(options: PartnerOptions) -> str:
    """Return the partner's name.

    Raises:
        ConfigurationError: there is none, or it cannot be one.
    """
    if not options.partner:
        raise ConfigurationError(f"No partner: give --partner, or set {ACCOUNT_VARIABLE}.")
    return check_account_name(options.partner)


def run_call(options: PartnerOptions, call: Callable[[AccountService], Awaitable[T]]) -> T:
    """Make the call, and return what it returns.

    Raises:
        InvoiceXpressError: what the call raises, or an option that cannot be right.
        KeyboardInterrupt: a signal came.
    """
    partner = partner_of(options)
    return run_until_signal(_call(options, partner, read_key(options.api_key_file), call))


async def _call(
    options: PartnerOptions,
    partner: str,
    key: Secret,
    call: Callable[[AccountService], Awaitable[T]],
) -> T:
    async with open_manager(options) as manager:
        return await call(manager.account(partner, key.reveal()).accounts)
