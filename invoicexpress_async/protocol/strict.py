"""The one factory of converters: primitives are taken as they are, or refused."""

from enum import Enum
from typing import TypeVar

import cattrs

T = TypeVar("T")


def make_strict_converter() -> cattrs.Converter:
    """Return a converter that turns nothing into what it is not.

    cattrs' own hooks would turn None into "None" and "false" into True.
    """
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _structure_strictly)
    return converter


def _structure_strictly(value: object, kind: type[T]) -> T:
    if issubclass(kind, Enum):  # a StrEnum is a str, and comes here too
        return kind(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value
