"""The only factory of converters, which never coerce values, and the errors for bad responses."""

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeVar

import cattrs

from invoicexpress_async.errors import MalformedResponseError

T = TypeVar("T")


def make_strict_converter() -> cattrs.Converter:
    """Return a converter that does not coerce values.

    cattrs' own hooks would turn None into "None" and "false" into True.
    """
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _structure_strictly)
    return converter


def _structure_strictly(value: object, kind: type[T]) -> T:
    if issubclass(kind, Enum):  # a StrEnum is a str, and so uses this hook too
        return kind(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


class ProblemError(ValueError):
    """One problem at one place of a response. The text names the type, never the value."""

    def __init__(self, path: str, expected: str, got: object) -> None:
        super().__init__(f"{path}: expected {expected}, got {_kind(got)}")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    return _KINDS.get(type(value), type(value).__name__)


_KINDS: Final[Mapping[type, str]] = {
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def malformed_response(*problems: str) -> MalformedResponseError:
    """Return the error for a response that is not what was requested."""
    return MalformedResponseError(
        "The response is not what was requested: " + "; ".join(problems) + ".", problems=problems
    )
