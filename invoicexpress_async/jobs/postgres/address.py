"""The address of a database: a URL without a password, and a label for people."""

import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from invoicexpress_async.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

_SCHEMES: Final = ("postgresql://", "postgres://")
DEFAULT_SCHEMA: Final = "invoicexpress"
_SECRETS: Final = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
_SCHEMA: Final = re.compile("[a-z_][a-z0-9_]{0,62}")
_INSTEAD: Final = (
    "Other programs can read a command line. Keep the password in a file that PGPASSFILE names "
    "(or ~/.pgpass, mode 0600), or in a service file (PGSERVICEFILE, `postgresql://?service=NAME`)."
)
# A dead connection is detected in about ten seconds, in both directions.
_DEFAULTS: Final[Mapping[str, str]] = {
    "application_name": "invoicexpress",
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "client_encoding": "UTF8",
}


def is_url(text: object) -> bool:
    """Whether a text names a PostgreSQL database, and not a file."""
    return isinstance(text, str) and text.startswith(_SCHEMES)


def import_psycopg() -> None:
    """Check that psycopg can be imported.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        importlib.import_module("psycopg")
    except ImportError:
        problem = True
    else:
        problem = False
    if problem:
        raise ConfigurationError(
            "A journal in PostgreSQL needs psycopg, which the extra `postgres` brings: "
            "pip install '.[postgres]' in a checkout of this package."
        )


@attrs.frozen(kw_only=True)
class Address:
    """A schema of a database.

    Attributes:
        parameters: The connection parameters for libpq, without a password.
        schema: The schema that contains the tables.
        label: The address, for people.
    """

    parameters: Mapping[str, str]
    schema: str
    label: str

    @classmethod
    def parse(cls, url: str, *, schema: str) -> "Address":
        """Parse a URL.

        Raises:
            ConfigurationError: the URL is invalid or contains a password, the schema's name is
                invalid, or psycopg is not installed.
        """
        if not is_url(url):
            raise ConfigurationError("A journal in PostgreSQL is named by a postgresql:// URL.")
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError("A schema's name is of the letters a to z, digits and _.")
        import_psycopg()
        given = _parsed(url)
        if given is None:
            raise ConfigurationError("The postgresql:// URL of the journal cannot be read.")
        if secrets := sorted(_SECRETS & given.keys()):
            raise ConfigurationError(f"The journal's URL has a {secrets[0]} in it. {_INSTEAD}")
        parameters = {**_DEFAULTS, **given}
        return cls(parameters=parameters, schema=schema, label=_label(given, schema))


def _parsed(url: str) -> dict[str, str] | None:
    from psycopg import ProgrammingError  # noqa: PLC0415  # of an extra
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415  # of an extra

    try:
        found = conninfo_to_dict(url)
    except ProgrammingError:
        return None  # the error's text may contain a password
    return {name: str(value) for name, value in found.items()}


def _label(given: Mapping[str, str], schema: str) -> str:
    if "service" in given:
        return f"postgresql://?service={given['service']} (schema {schema})"
    user = f"{given['user']}@" if "user" in given else ""
    port = f":{given['port']}" if "port" in given else ""
    where = f"{given.get('host', '')}{port}/{given.get('dbname', '')}"
    return f"postgresql://{user}{where} (schema {schema})"


def problem_of(error: "psycopg.Error") -> str:
    """Return the first line of an error, without the values of a statement."""
    text = error.diag.message_primary or str(error) or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
