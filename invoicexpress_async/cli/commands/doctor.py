"""`invoicexpress doctor`: checks everything that a call needs."""

import asyncio
import sys
from collections.abc import Iterable
from typing import Annotated, Final

import attrs
from cyclopts import Parameter
from rich.text import Text

from invoicexpress_async.cli.commands.checks import (
    SETTINGS,
    Check,
    CheckState,
    account_checks,
    account_skipped,
    fine,
    machine_checks,
    server_checks,
    skipped,
    wrong,
)
from invoicexpress_async.cli.commands.journal_checks import journal_checks
from invoicexpress_async.cli.connection import base_url_of, name_of, open_manager, read_key
from invoicexpress_async.cli.failures import message_of
from invoicexpress_async.cli.options import DATABASE_URL, AccountOptions
from invoicexpress_async.cli.output import data_console, new_table, write_json
from invoicexpress_async.cli.shell import DONE, FAILED, USAGE, printable, with_program_name
from invoicexpress_async.cli.signals import run_until_signal
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError

_STYLES: Final = {
    CheckState.FINE: "green",
    CheckState.DOUBTFUL: "yellow",
    CheckState.WRONG: "red",
    CheckState.SKIPPED: "dim",
}


def doctor(
    *,
    journal: Annotated[
        str | None,
        Parameter(
            help=f"The {DATABASE_URL} of a journal: check its database, too, or alone when no "
            "account is named."
        ),
    ] = None,
    options: AccountOptions = AccountOptions(),
) -> int:
    """Check versions, settings, network, TLS, clock, key, AT registration; say what to fix.

    Only reads: the account's list of sequences, once, and what the server shows of itself.
    """
    checks = [*machine_checks()]
    if journal is not None:
        checks += journal_checks(journal)
    if journal is None or options.account is not None:
        checks += _remote_checks(options)
    if options.as_json:
        is_fine = not any(check.state is CheckState.WRONG for check in checks)
        # Each check as its fields, and with the name before the state.
        found = [{"name": one.name, **attrs.asdict(one)} for one in checks]
        write_json({"type": "doctor", "is_fine": is_fine, "checks": found})
    else:
        _show(checks)
    broken = [check.name for check in checks if check.state is CheckState.WRONG]
    if SETTINGS in broken:
        return USAGE
    return FAILED if broken else DONE


def _remote_checks(options: AccountOptions) -> list[Check]:
    try:
        name = name_of(options)
        address, key = base_url_of(options).for_account(name), read_key(options.api_key_file)
    except ConfigurationError as error:
        why = "the settings are not right"
        problem = wrong(SETTINGS, message_of(error), "Correct it; nothing was sent.")
        return [problem, *(skipped(one, why) for one in ("server", "TLS", "clock")),
                *account_skipped(why)]  # fmt: skip
    good = fine(SETTINGS, f"account {name}, its key, {address}")
    return [good, *run_until_signal(_ask(options, name, address, key))]


async def _ask(options: AccountOptions, name: str, address: str, key: Secret) -> list[Check]:
    on_the_way = await asyncio.to_thread(lambda: list(server_checks(address)))
    if any(check.state is CheckState.WRONG for check in on_the_way):
        return [*on_the_way, *account_skipped("the server was not reached")]
    async with open_manager(options) as manager:
        return [*on_the_way, *await account_checks(manager.account(name, key.reveal()))]


def _show(checks: Iterable[Check]) -> None:
    console = data_console()
    rows = ((one.name, Text(one.state, _STYLES[one.state]), one.found) for one in checks)
    console.print(new_table("check", "state", "found", rows=rows))
    cures = [(check.name, check.cure) for check in checks if check.cure is not None]
    for name, cure in cures:
        console.print(Text(printable(with_program_name(f"To fix, {name}: {cure}"))), soft_wrap=True)
    if not cures:
        console.print("Nothing to fix.")
    sys.stdout.flush()
