"""What the commands of `invoicexpress sequences` do."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from invoicexpress_async import AccountSession, Sequence, SequenceService
from invoicexpress_async.cli.confirmation import confirm, warn_of_spaces
from invoicexpress_async.cli.connection import (
    base_url_of,
    is_this_machine,
    open_manager,
    read_key,
)
from invoicexpress_async.cli.exit_codes import DONE, FAILED
from invoicexpress_async.cli.options import AccountOptions
from invoicexpress_async.cli.output import (
    sequence_object,
    show_sequence,
    show_sequences,
    write_json,
)
from invoicexpress_async.cli.signals import run_until_signal
from invoicexpress_async.cli.unknown import show_intent
from invoicexpress_async.config import (
    ACCOUNT_VARIABLE,
    Secret,
    check_account_name,
    check_id,
    check_serie,
)
from invoicexpress_async.errors import ConfigurationError

T = TypeVar("T")


def show_all(options: AccountOptions) -> int:
    """List them."""
    show_sequences(_run(options, lambda service: service.list()), as_json=options.as_json)
    return DONE


def get(options: AccountOptions, sequence_id: int) -> int:
    """Show one."""
    check_id(sequence_id)
    sequence = _run(options, lambda service: service.get(sequence_id))
    show_sequence(sequence, as_json=options.as_json)
    return DONE


def create(options: AccountOptions, serie: str, *, default: bool, yes: bool) -> int:
    """Create one, if it is confirmed."""
    warn_of_spaces([check_serie(serie)])
    if not _may(options, f"Sequence {serie!r} will be created", yes=yes):
        return FAILED
    sequence = _run(options, lambda service: service.create(serie, default=default))
    return _show_result(options, sequence, "Created.")


def ensure(options: AccountOptions, serie: str, *, default: bool, yes: bool) -> int:
    """Create one unless it is there, if it is confirmed."""
    warn_of_spaces([check_serie(serie)])
    if not _may(options, f"Sequence {serie!r} will be created unless it is there", yes=yes):
        return FAILED
    ensured = _run(options, lambda service: service.ensure(serie, default=default))
    if options.as_json:
        found = {"created": ensured.created, "via": ensured.via}
        write_json(sequence_object(ensured.sequence) | found)
        return DONE
    return _show_result(
        options, ensured.sequence, "Created." if ensured.created else "It was there already."
    )


def register(options: AccountOptions, sequence_id: int, *, yes: bool) -> int:
    """Register one, if it is confirmed."""
    check_id(sequence_id)
    if not _may(options, f"Sequence {sequence_id} will be registered", yes=yes):
        return FAILED
    sequence = _run(options, lambda service: service.register(sequence_id))
    return _show_result(options, sequence, "Registered.")


def set_current(options: AccountOptions, sequence_id: int) -> int:
    """Make one the default."""
    check_id(sequence_id)
    _run(options, lambda service: service.set_current(sequence_id))
    if options.as_json:
        write_json({"id": sequence_id, "is_default": True})
    else:
        sys.stdout.write(f"Sequence {sequence_id} is the default of the account now.\n")
    return DONE


def _show_result(options: AccountOptions, sequence: Sequence, what: str) -> int:
    if not options.as_json:
        sys.stdout.write(f"{what}\n")
        sys.stdout.flush()
    show_sequence(sequence, as_json=options.as_json)
    return DONE


def _may(options: AccountOptions, what: str, *, yes: bool) -> bool:
    base_url = base_url_of(options)
    address = base_url.for_account(_account_of(options))
    return yes or is_this_machine(base_url) or confirm(f"{what} on {address}.")


def _account_of(options: AccountOptions) -> str:
    if not options.account:
        raise ConfigurationError(f"No account: give --account, or set {ACCOUNT_VARIABLE}.")
    return check_account_name(options.account)


def _run(options: AccountOptions, call: Callable[[SequenceService], Awaitable[T]]) -> T:
    name = _account_of(options)
    key = read_key(options.api_key_file)
    return run_until_signal(_call(options, name, key, call))


async def _call(
    options: AccountOptions,
    name: str,
    key: Secret,
    call: Callable[[SequenceService], Awaitable[T]],
) -> T:
    async with open_manager(options) as manager:
        account = manager.account(name, key.reveal())
        try:
            return await call(account.sequences)
        except asyncio.CancelledError:
            _show_unresolved(account)
            raise


def _show_unresolved(account: AccountSession) -> None:
    for intent in account.sequences.unresolved():
        show_intent(intent)
