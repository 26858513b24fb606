"""`invoicexpress doctor`: whether everything is there that a call needs."""

from typing import Final

from invoicexpress_async.cli.options import AccountOptions

_NO_OPTIONS: Final = AccountOptions()


def doctor(*, options: AccountOptions = _NO_OPTIONS) -> int:
    """Check versions, settings, network, TLS, clock, key, AT registration; say what to fix.

    Only reads: the account's list of sequences, once, and what the server tells of itself.
    """
    from invoicexpress_async.cli.commands.doctor_run import examine  # noqa: PLC0415  # not for the help

    return examine(options)
