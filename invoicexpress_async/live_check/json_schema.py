"""The library that compares with a JSON schema, of the extra `live`."""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Protocol, cast

import attrs

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.json_value import JsonValue

JsonObject = dict[str, JsonValue]


class SchemaError(Protocol):
    """One place where a value is not as its schema says."""

    @property
    def absolute_path(self) -> Iterable[str | int]:
        """The names and positions that lead to the place."""
        ...

    @property
    def validator(self) -> str:
        """The rule that the value breaks."""
        ...


class Validator(Protocol):
    """A schema, ready to be compared with."""

    def is_valid(self, instance: JsonValue) -> bool:
        """Whether a value is as the schema says."""
        ...

    def iter_errors(self, instance: JsonValue) -> Iterable[SchemaError]:
        """Return every place where it is not."""
        ...


@attrs.frozen(kw_only=True)
class Library:
    """The two parts of the library that are used."""

    validator: Callable[[JsonObject], Validator]
    best_match: Callable[[Iterable[SchemaError]], SchemaError | None]


def load_library() -> Library:
    """Import the library.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        # By name: its types are incomplete, and the import is too slow for the help.
        module = import_module("jsonschema")
    except ImportError:
        module = None
    if module is None:
        raise ConfigurationError(
            "live-check needs an extra: pip install 'invoicexpress-async[cli,live]'."
        )
    return Library(
        validator=cast("Callable[[JsonObject], Validator]", module.Draft202012Validator),
        best_match=cast(
            "Callable[[Iterable[SchemaError]], SchemaError | None]", module.exceptions.best_match
        ),
    )
