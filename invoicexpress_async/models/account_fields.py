"""The checks of account fields, before anything is sent.

Only values that are certainly wrong are refused, because only the server knows its rules. No error
shows a secret.
"""

import functools
import re
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from invoicexpress_async.config import Secret, has_control_characters, invisible_in
from invoicexpress_async.errors import ConfigurationError

if TYPE_CHECKING:
    import attrs

T = TypeVar("T")
Validator = Callable[[object, "attrs.Attribute[Any]", Any], None]

_MAX_NAME_CHARACTERS: Final = 100  # the provider's limit for organization_name
_NIF_DIGITS: Final = 9
_NIF_MODULUS: Final = 11
_LINE_BREAKS: Final = frozenset("\r\n")
_POSTAL_CODE: Final = re.compile(r"[0-9]{4}-[0-9]{3}")


def hide_secrets_in_tracebacks(kind: type[T]) -> type[T]:
    """Keep the constructor's frame, which contains the secrets as given, out of tracebacks.

    Applied above `attrs.frozen`, whose generated code has a local variable for each argument.
    """
    construct: Callable[..., None] = kind.__init__

    @functools.wraps(construct)
    def init(self: T, *values: object, **fields: object) -> None:
        failure: Exception | None = None
        try:
            construct(self, *values, **fields)
        except Exception as error:  # noqa: BLE001  # raised again without its frames
            failure = error.with_traceback(None)
        del self, values, fields  # a half-made object cannot be shown
        if failure is not None:
            raise failure

    kind.__init__ = init  # type: ignore[assignment]  # the same arguments
    return kind


def is_nif(text: str) -> bool:
    """Return whether `text` is a Portuguese fiscal number: nine digits, the last a check digit."""
    if len(text) != _NIF_DIGITS or not (text.isascii() and text.isdecimal()):
        return False
    weights = zip(text, range(_NIF_DIGITS, 1, -1), strict=False)
    rest = sum(int(digit) * weight for digit, weight in weights) % _NIF_MODULUS
    return int(text[-1]) == (0 if rest < 2 else _NIF_MODULUS - rest)  # noqa: PLR2004  # the rule of the check digit


def check_line(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse a value that is not one line of text; None means a field that is not sent."""
    if value is not None and (not isinstance(value, str) or has_control_characters(value)):
        raise ConfigurationError(f"{field.name} {value!r:.80} is not one line of text.")


def check_visible_line(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse as `check_line`, and invisible characters: they make another user, or number."""
    check_line(_, field, value)
    if isinstance(value, str) and (invisible := invisible_in(value)):
        raise ConfigurationError(
            f"{field.name} {value!r:.80} has an invisible character in it, {invisible}."
        )


def check_lines(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse a value that is not text; any number of lines is allowed."""
    if value is None:
        return
    if not isinstance(value, str) or has_control_characters("".join(set(value) - _LINE_BREAKS)):
        raise ConfigurationError(f"{field.name} {value!r:.80} is not text.")


def check_organization_name(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse an empty name, and a name of over 100 characters."""
    check_line(_, field, value)
    if isinstance(value, str) and not (value.strip() and len(value) <= _MAX_NAME_CHARACTERS):
        raise ConfigurationError(f"{field.name} must have 1 to {_MAX_NAME_CHARACTERS} characters.")


def check_email(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse a text without an inner "@", or with a space or an invisible character."""
    check_visible_line(_, field, value)
    if isinstance(value, str) and ("@" not in value.strip("@") or value.split() != [value]):
        raise ConfigurationError(f"{field.name} {value!r:.80} is not an e-mail address.")


def check_postal_code(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse a text that is not DDDD-DDD, the only form that the API documents."""
    if value is not None and (not isinstance(value, str) or not _POSTAL_CODE.fullmatch(value)):
        raise ConfigurationError(f"{field.name} {value!r:.40} is not like 1000-001.")


def check_flag(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse what is neither a bool nor None: "0" from a form is true in Python."""
    if value is not None and not isinstance(value, bool):
        raise ConfigurationError(f"{field.name} is {value!r:.80}: give True or False.")


def check_terms(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse what is neither True nor None: the API accepts no other value."""
    if value is not None and value is not True:
        raise ConfigurationError(f"{field.name} must be True: the API requires it.")


def member_of(kind: type[StrEnum]) -> Validator:
    """Return the check that a value is a member of `kind`, or None."""

    def check(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
        if value is not None and not isinstance(value, kind):
            names = ", ".join(kind.__members__)
            raise ConfigurationError(f"{field.name} {value!r:.40} is no {kind.__name__}: {names}.")

    return check


def required(check: Validator) -> Validator:
    """Return a check that also refuses None."""

    def check_required(owner: object, field: "attrs.Attribute[Any]", value: object) -> None:
        if value is None:
            raise ConfigurationError(f"{field.name} is missing.")
        check(owner, field, value)

    return check_required


def as_secret(value: str | Secret) -> Secret:
    """Return a `Secret` as it is, or hide a str in one."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        raise ConfigurationError("A password is a str or a Secret.")
    return Secret(value)


def check_password(_: object, field: "attrs.Attribute[Any]", value: Secret) -> None:
    """Refuse an empty password, and one with a line break, such as a file leaves at the end."""
    if not value.reveal() or value.reveal().isspace():
        raise ConfigurationError(f"{field.name} is empty.")
    if has_control_characters(value.reveal()):
        raise ConfigurationError(f"{field.name} has a line break or a control character in it.")
