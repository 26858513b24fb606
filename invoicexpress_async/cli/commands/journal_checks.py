"""The checks of `invoicexpress doctor` for a journal in PostgreSQL."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from invoicexpress_async.cli.commands.checks import SETTINGS, Check, doubtful, fine, skipped, wrong
from invoicexpress_async.cli.failures import message_of
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.postgres.address import DEFAULT_SCHEMA, import_psycopg

if TYPE_CHECKING:
    from invoicexpress_async.jobs.postgres.inspection import Inspection

_MIN_VERSION: Final = 130000
_MAX_CLOCK_SECONDS: Final = 60.0
_DOUBTFUL_CLOCK_SECONDS: Final = 5.0


def journal_checks(url: str) -> Iterator[Check]:
    """Check the database of a journal. Nothing is written."""
    try:
        import_psycopg()
        from invoicexpress_async.jobs.postgres.inspection import inspect  # noqa: PLC0415  # an extra

        found = inspect(url, schema=DEFAULT_SCHEMA)
    except ConfigurationError as error:
        yield wrong(SETTINGS, message_of(error), "Do what it says; nothing was sent.")
        yield from (skipped(name, "the settings are not right") for name in _CHECKS)
        return
    except JournalError as error:
        problem = message_of(error)
        cure = (
            "Check that the server runs and listens (listen_addresses), that pg_hba.conf lets this "
            "machine and user in, and that the password is in the file that PGPASSFILE names."
        )
    else:
        yield from (check(name, found) for name, check in _CHECKS.items())
        return
    first, *others = _CHECKS
    yield wrong(first, problem, cure)
    yield from (skipped(name, "the database was not reached") for name in others)


def _server(name: str, found: "Inspection") -> Check:
    text = f"{found.version_text} at {found.label}"
    if found.version < _MIN_VERSION:
        return wrong(name, text, "Update the server to PostgreSQL 13 or later.")
    if found.is_replica:
        return wrong(name, f"{text}, a replica or read-only", "Name the primary in the URL.")
    if found.encoding != "UTF8":
        return wrong(name, f"{text}, encoding {found.encoding}", "Make a database with UTF8.")
    return fine(name, f"{text}; at most {found.max_connections} connections, two for each worker")


def _durability(name: str, found: "Inspection") -> Check:
    off = [one for one, value in found.settings.items() if value == "off"]
    text = ", ".join(f"{one} {value}" for one, value in found.settings.items())
    needed = [one for one in off if one != "synchronous_commit"]
    if needed:
        lines = " and ".join(f"{one} = on" for one in needed)
        return wrong(
            name,
            text,
            f"Set {lines} in postgresql.conf and restart the server: without it an intent that "
            "was sent can be lost when the machine fails.",
        )
    if off:
        return fine(name, f"{text}; the journal sets it to on for each of its transactions")
    return fine(name, text)


def _clock(name: str, found: "Inspection") -> Check:
    seconds = abs(found.clock_seconds)
    ahead = "ahead of" if found.clock_seconds > 0 else "behind"
    text, cure = f"{seconds:.1f} s {ahead} the server's", "Let NTP set both clocks."
    if seconds > _MAX_CLOCK_SECONDS:
        return wrong(name, text, f"{cure} The journal is refused like this.")
    return doubtful(name, text, cure) if seconds > _DOUBTFUL_CLOCK_SECONDS else fine(name, text)


def _pooler(name: str, found: "Inspection") -> Check:
    if not found.is_pooled:
        return fine(name, "none: connected to the server itself")
    if not found.has_transactions:
        return wrong(
            name,
            "one that passes statements singly",
            "Set pool_mode = transaction or session in pgbouncer.ini.",
        )
    return fine(name, "one is in between, and passes transactions")


def _rights(name: str, found: "Inspection") -> Check:
    if found.may_write:
        return fine(name, f"{found.role} may use it")
    if found.schema_version is None:
        cure = f'Run as the database\'s owner: GRANT CREATE ON DATABASE ... TO "{found.role}".'
        return wrong(name, f"{found.role} may not make the schema", cure)
    schema, role = DEFAULT_SCHEMA, found.role
    cure = (
        f'Run as the owner: GRANT USAGE ON SCHEMA {schema} TO "{role}"; GRANT SELECT, INSERT, '
        f'UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO "{role}".'
    )
    return wrong(name, f"{found.role} may not use its tables", cure)


def _schema(name: str, found: "Inspection") -> Check:
    version = found.schema_version
    if version is None:
        return fine(name, "not there yet: the first job or worker makes it")
    if version > found.newest_schema_version:
        return wrong(
            name,
            f"version {version}, and this program knows {found.newest_schema_version}",
            "Use the version that wrote the journal, or a later one.",
        )
    return fine(name, f"version {version}")


_CHECKS: Final = {
    "PostgreSQL": _server,
    "durability": _durability,
    "journal clock": _clock,
    "pooler": _pooler,
    "journal rights": _rights,
    "journal schema": _schema,
}
