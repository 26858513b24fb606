"""`invoicexpress sequences resume`: finds out the outcome of sends for which it is unknown."""

import asyncio
import contextlib
import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, cast

from cyclopts import Parameter

from invoicexpress_async import Intent, SessionManager
from invoicexpress_async.cli.connection import open_manager, read_key
from invoicexpress_async.cli.failures import cure_of, error_object, exit_code_of, message_of
from invoicexpress_async.cli.options import (
    DATABASE_URL,
    ConnectionOptions,
    JournalPlace,
    journal_at,
    parse_place,
)
from invoicexpress_async.cli.output import sequence_object, write_json
from invoicexpress_async.cli.shell import (
    DONE,
    FAILED,
    UNKNOWN,
    next_year,
    printable,
    with_program_name,
)
from invoicexpress_async.cli.signals import run_until_signal
from invoicexpress_async.cli.words import word
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.jobs.claims import read_intent
from invoicexpress_async.jobs.journal import INTENTS, OF_A_SEQUENCE, UNRESOLVED
from invoicexpress_async.jobs.keys import source_of
from invoicexpress_async.jobs.stored import open_stored
from invoicexpress_async.jobs.table_source import is_read_once
from invoicexpress_async.protocol.intents import structure_intent
from invoicexpress_async.provisioning import AccountKeys, KeyReference, Plan

_AT_A_TIME: Final = 50
_SQLITE_START: Final = b"SQLite format 3\0"
Keys = Mapping[str, Secret | KeyReference | AccountKeys]

_REPORT_STARTS: Final = ("line,account,", "line;account;")
_MARKDOWN_START: Final = "# InvoiceXpress"
_MAX_CHARACTERS: Final = 256 * 1024 * 1024  # a report of a hundred thousand rows is smaller


def resume(
    intents: Annotated[
        JournalPlace,
        Parameter(
            converter=parse_place,
            help="What was kept: intents as JSON lines, a report, or output of --json; or a "
            f"journal, its file or its {DATABASE_URL}.",
            allow_leading_hyphen=True,  # for the "-" of stdin
        ),
    ] = Path("-"),
    /,
    *,
    accounts: Annotated[
        Path | None, Parameter(help="Take the keys from this CSV, as `provision` does.")
    ] = None,
    api_key_file: Annotated[
        Path | None, Parameter(help="A file that holds the one key. Else INVOICEXPRESS_API_KEY.")
    ] = None,
    options: ConnectionOptions = ConnectionOptions(),
) -> int:
    """Find out the outcome of sends where it is unknown. Only reads; - is stdin.

    Each intent is resumed on the account that it names.
    """
    journal = intents if isinstance(intents, str) or _is_journal(intents) else None
    kept = _unresolved(intents) if journal is not None else _read_intents(Path(intents))
    keys = _keys({intent["account"] for intent in kept}, api_key_file, accounts)
    return run_until_signal(_resume_all(kept, keys, options, journal))


def _keys(names: set[str], api_key_file: Path | None, accounts: Path | None) -> Keys:
    if accounts is None:
        if len(names) > 1:
            raise ConfigurationError(
                f"The intents are of {len(names)} accounts, each with its own key: name the CSV "
                "of the accounts with --accounts."
            )
        return dict.fromkeys(names, read_key(api_key_file))
    # The serie is not used here, but a plan needs one.
    rows = Plan.from_csv(accounts, serie=next_year()).rows
    keys = {row.account: row.api_key for row in rows}
    if absent := sorted(names - keys.keys()):
        raise ConfigurationError(f"{accounts} has no key for {', '.join(absent):.200}.")
    return keys


async def _resume_all(
    intents: list[Intent], keys: Keys, options: ConnectionOptions, place: JournalPlace | None
) -> int:
    room = asyncio.Semaphore(_AT_A_TIME)
    journal = contextlib.nullcontext() if place is None else journal_at(place, shared=True)
    async with journal as opened, open_manager(options, journal=opened) as manager:

        async def resume_one(intent: Intent) -> int:
            async with room:
                return await _resume(manager, intent, keys, as_json=options.as_json)

        codes = await asyncio.gather(*map(resume_one, intents))
    if UNKNOWN in codes:
        return UNKNOWN
    return FAILED if any(codes) else DONE


async def _resume(manager: SessionManager, intent: Intent, keys: Keys, *, as_json: bool) -> int:
    name, code = intent["account"], DONE
    try:
        account = manager.account(name, source_of(keys[name], name))
        sequence = await account.sequences.resume(intent)
        found: Mapping[str, object] = {"sequence": sequence_object(sequence), "failure": None}
        registration = sequence.registration.replace("_", " ")
        text = f"it is there, id {sequence.id}, {registration}"
    except InvoiceXpressError as error:
        code, found = exit_code_of(error), {"sequence": None, "failure": error_object(error)}
        text = f"{message_of(error)} {word(cure_of(error), 'en')}"
    if as_json:
        write_json(
            {
                "type": "resumed",
                "account": name,
                "operation": intent["operation"],
                "serie": intent["serie"],
                "sequence_id": intent["sequence_id"],
                **found,
            }
        )
        return code
    what = intent["serie"] or intent["sequence_id"]
    line = f"{name}  {what}  {intent['operation']}: {text}"
    sys.stdout.write(f"{printable(with_program_name(line))}\n")
    sys.stdout.flush()
    return code


def _is_journal(path: Path) -> bool:
    """Whether a path is a journal in a file, and not a text of intents."""
    if is_read_once(path):
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE_START)) == _SQLITE_START


def _unresolved(place: JournalPlace) -> list[Intent]:
    """Return the intents of a journal whose outcome is unknown."""
    with open_stored(place) as journal:
        entries = journal.entries(INTENTS, states=UNRESOLVED)
        kept = [read_intent(one) for one in entries if one["kind"] in OF_A_SEQUENCE]
    if not kept:
        raise ConfigurationError("The journal holds no unresolved intent of a sequence.")
    return kept


def _read_intents(path: Path) -> list[Intent]:
    """Return the intents of a file, or of stdin for `-`, each once."""
    found: list[Intent] = []
    for line, value in _values_of(path):
        try:
            intent = structure_intent(value)
        except ConfigurationError:
            intent = None
        if intent is None:
            raise ConfigurationError(f"{path}, line {line}: this is not an intent.")
        if intent not in found:
            found.append(intent)
    if not found:
        raise ConfigurationError(f"{path} holds no intent: nothing in it is unknown.")
    return found


def _values_of(path: Path) -> list[tuple[int, object]]:
    try:
        if str(path) == "-":
            return [*_values(sys.stdin.read(_MAX_CHARACTERS))]
        with path.open(encoding="utf-8-sig") as file:
            return [*_values(file.read(_MAX_CHARACTERS))]
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeError:
        problem = "cannot be read: it is not text"
    except csv.Error:
        problem = "is no report that can be read: it is damaged"
    raise ConfigurationError(f"{path} {problem}.")


def _values(text: str) -> Iterator[tuple[int, object]]:
    if text.startswith(_REPORT_STARTS):
        rows = csv.DictReader(io.StringIO(text), delimiter=text[len("line")])
        for row in rows:
            if row.get("intent"):
                yield rows.line_num, _parsed(row["intent"])
        return
    is_markdown = text.startswith(_MARKDOWN_START)
    for line, content in enumerate(text.splitlines(), start=1):
        if is_markdown and not content.startswith("    {"):
            continue
        # A line that was printed for people has words before the intent.
        start = content.find("{")
        if content.strip():
            value = _parsed(content[max(start, 0) :])
            if (kept := _kept(value)) is not None:
                yield line, kept


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _kept(value: object) -> object | None:
    """Return the intent in the JSON of an outcome or an error, or None when it has none."""
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, object]", value)
    if "failure" in fields or "error" in fields:
        return fields.get("intent")
    # All other JSON of the commands has a "type"; an intent has none.
    return None if "type" in fields else fields
