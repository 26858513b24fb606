"""What `invoicexpress sequences resume` does."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from invoicexpress_async import Intent, Sequence, SessionManager
from invoicexpress_async.cli.commands.intents import read_intents
from invoicexpress_async.cli.connection import open_manager, read_key
from invoicexpress_async.cli.exit_codes import DONE, FAILED, UNKNOWN
from invoicexpress_async.cli.failures import cure_of, error_object, exit_code_of, message_of
from invoicexpress_async.cli.options import ConnectionOptions
from invoicexpress_async.cli.output import sequence_object, write_json
from invoicexpress_async.cli.signals import run_until_signal
from invoicexpress_async.cli.text import next_year, plain
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.jobs.keys import source_of
from invoicexpress_async.provisioning import AccountKeys, KeyReference, Plan

_AT_A_TIME: Final = 50
Keys = Mapping[str, Secret | KeyReference | AccountKeys]


def resume(
    path: Path, options: ConnectionOptions, *, api_key_file: Path | None, accounts: Path | None
) -> int:
    """Read the intents and the keys, then find out what became of each."""
    intents = read_intents(path)
    keys = _keys({intent["account"] for intent in intents}, api_key_file, accounts)
    return run_until_signal(_resume_all(intents, keys, options))


def _keys(names: set[str], api_key_file: Path | None, accounts: Path | None) -> Keys:
    if accounts is None:
        if len(names) > 1:
            raise ConfigurationError(
                f"The intents are of {len(names)} accounts, each with its own key: name the CSV "
                "of the accounts with --accounts."
            )
        return dict.fromkeys(names, read_key(api_key_file))
    # The serie is of no use here, but a plan has one.
    rows = Plan.from_csv(accounts, serie=next_year()).rows
    keys = {row.account: row.api_key for row in rows}
    if absent := sorted(names - keys.keys()):
        raise ConfigurationError(f"{accounts} has no key for {', '.join(absent):.200}.")
    return keys


async def _resume_all(intents: list[Intent], keys: Keys, options: ConnectionOptions) -> int:
    room = asyncio.Semaphore(_AT_A_TIME)
    async with open_manager(options) as manager:

        async def resume_one(intent: Intent) -> int:
            async with room:
                return await _resume(manager, intent, keys, as_json=options.as_json)

        codes = await asyncio.gather(*map(resume_one, intents))
    if UNKNOWN in codes:
        return UNKNOWN
    return FAILED if any(codes) else DONE


async def _resume(manager: SessionManager, intent: Intent, keys: Keys, *, as_json: bool) -> int:
    try:
        name = intent["account"]
        account = manager.account(name, source_of(keys[name], name))
        sequence = await account.sequences.resume(intent)
    except InvoiceXpressError as error:
        _show(intent, None, error, as_json=as_json)
        return exit_code_of(error)
    _show(intent, sequence, None, as_json=as_json)
    return DONE


def _show(
    intent: Intent, sequence: Sequence | None, error: InvoiceXpressError | None, *, as_json: bool
) -> None:
    if as_json:
        write_json(
            {
                "type": "resumed",
                "account": intent["account"],
                "operation": intent["operation"],
                "serie": intent["serie"],
                "sequence_id": intent["sequence_id"],
                "sequence": sequence and sequence_object(sequence),
                "failure": error and error_object(error),
            }
        )
        return
    name = intent["serie"] or intent["sequence_id"]
    told = f"{intent['account']}  {name}  {intent['operation']}: {_told(sequence, error)}"
    sys.stdout.write(f"{plain(told)}\n")
    sys.stdout.flush()


def _told(sequence: Sequence | None, error: InvoiceXpressError | None) -> str:
    if error is not None:
        return f"{message_of(error)} {cure_of(error)}"
    if sequence is None:
        return ""
    registration = sequence.registration.replace("_", " ")
    return f"it is there, id {sequence.id}, {registration}"
