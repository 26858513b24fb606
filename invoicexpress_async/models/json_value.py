"""The type of a JSON value, and fields of a response that are kept as they came."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


def read_only(fields: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return a copy of the fields that cannot be changed."""
    return MappingProxyType(dict(fields))
