"""Settings and secrets, checked before any name is resolved."""

import base64
import json
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Final, NoReturn, TypeVar
from urllib.parse import quote, quote_plus

import attrs

from invoicexpress_async.config.serie_names import invisible_in, remember, spreadsheet_damage
from invoicexpress_async.errors import ConfigurationError

T = TypeVar("T")

ACCOUNT_VARIABLE: Final = "INVOICEXPRESS_ACCOUNT"
API_KEY_VARIABLE: Final = "INVOICEXPRESS_API_KEY"
BASE_URL_VARIABLE: Final = "INVOICEXPRESS_BASE_URL"
TIMEOUT_VARIABLE: Final = "INVOICEXPRESS_TIMEOUT_SECONDS"
PROXY_VARIABLE: Final = "INVOICEXPRESS_PROXY"
MAX_CONNECTIONS_VARIABLE: Final = "INVOICEXPRESS_MAX_CONNECTIONS"

# One DNS label in lower-case ASCII: anything else could leave the domain or mean another account.
_ACCOUNT_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# An API key that was given as another value, as from exchanged columns.
_KEY: Final = re.compile(r"(?=.*[0-9])(?=.*[a-f])[0-9a-f]{32,}", re.IGNORECASE)
LOOKS_LIKE_A_KEY: Final = "looks like an API key; two values or columns may be exchanged"
# Each character has one way to match: no input makes it backtrack.
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
_SAME_IN_EVERY_ESCAPE: Final = re.compile(r"[A-Za-z0-9_.~-]+")  # as most keys are
_MAX_SERIE_CHARACTERS: Final = 35  # the tax authority's limit for the name of a series
_REDACTED: Final = "[redacted]"
# Below this a key could be part of an ordinary response, and hiding it would corrupt the data.
_MIN_REDACTABLE_CHARACTERS: Final = 8


class Secret:
    """A string that only `reveal()` shows.

    It has no `__dict__`, does not pickle, and its copy is the same object, so that `attrs.asdict`,
    cattrs, `deepcopy` and a traceback that prints locals contain this object and never the text.
    """

    __slots__ = ("_forms", "_quoted", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._quoted: str | None = None
        self._forms: tuple[bytes, ...] | None = None

    def reveal(self) -> str:
        """Return the text. Keep it out of local variables that outlive the line."""
        return self._value

    def quoted(self) -> str:
        """Return the text in the form for a URL's query. Handle it like the text of `reveal`."""
        if self._quoted is None:
            self._quoted = quote(self._value, safe="")
        return self._quoted

    def redact(self, text: bytes) -> bytes:
        """Replace the secret in `text`, also percent-, JSON- and base64-escaped."""
        if self._forms is None:
            self._forms = self._escaped_forms()
        for form in self._forms:
            if form in text:
                text = text.replace(form, _REDACTED.encode())
        return text

    def _escaped_forms(self) -> tuple[bytes, ...]:
        if len(self._value) < _MIN_REDACTABLE_CHARACTERS:
            return ()
        plain = self._value.encode()
        in_base64 = base64.b64encode(plain)
        if _SAME_IN_EVERY_ESCAPE.fullmatch(self._value):
            return in_base64, plain
        texts = self.quoted(), quote_plus(self._value), json.dumps(self._value)[1:-1]
        forms = {plain, in_base64, *(text.encode() for text in texts)}
        return tuple(sorted(forms, key=len, reverse=True))

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is not pickled: pass the key itself by a safe way.")


def check_api_key(key: Secret) -> Secret:
    """Refuse an invalid key: empty, or with control or invisible characters in it.

    The text of the error does not show the key.
    """
    if problem := _key_problem(key):
        raise ConfigurationError(f"The API key {problem}.")
    return key


def _key_problem(key: Secret) -> str | None:
    value = key.reveal()
    if value.isascii() and value.isprintable() and value.strip():
        return None  # the usual case
    if not value or value.isspace():
        return "is empty"
    if has_control_characters(value):
        return "has a control character in it"
    invisible = invisible_in(value)
    return None if invisible is None else f"has an invisible character in it, {invisible}"


def has_control_characters(text: str) -> bool:
    """Return whether a text has control characters, or lone surrogates, in it."""
    if text.isprintable():  # the usual case, and fast to check
        return False
    # Lone surrogates (Cs) have no UTF-8 form and cannot be sent at all.
    return any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def is_key_like(value: str) -> bool:
    """Whether a name has the form of an API key, and must not be shown."""
    return _KEY.fullmatch(value) is not None


def check_account_name(name: object) -> str:
    """Return the account's name in lower case; refuse what is not one DNS label, or is a key.

    Anything else could leave the domain or mean another account; a key would be in host names.
    """
    if not isinstance(name, str) or not name.isascii():
        invisible = invisible_in(name) if isinstance(name, str) else None
        why = "" if invisible is None else f": it has an invisible character in it, {invisible}"
        raise ConfigurationError(f"The account name {name!r:.80} is not an ASCII str{why}.")
    lowered = name.lower()
    if is_key_like(lowered):
        raise ConfigurationError(f"The account name {LOOKS_LIKE_A_KEY}.")
    if not _ACCOUNT_NAME.fullmatch(lowered) or lowered.startswith("xn--"):
        raise ConfigurationError(
            f"The account name {name!r:.80} is not one DNS label: letters, digits and hyphens, "
            "at most 63, as in the https://NAME.app.invoicexpress.com of your account."
        )
    return lowered


def check_serie(serie: object) -> str:
    """Return the name of a sequence unless it is certainly wrong; the server's own rule is unknown.

    A name is wrong if it is not a str, is blank, has over 35 characters, or has control or
    invisible characters.
    """
    if not isinstance(serie, str):
        raise ConfigurationError(f"The serie {serie!r:.80} is not a str.")
    if problem := _serie_problem(serie):
        raise ConfigurationError(f"The serie {problem}.")
    return serie


@remember
def _serie_problem(serie: str) -> str | None:
    if not serie or serie.isspace():
        return "is empty"
    if is_key_like(serie):
        return LOOKS_LIKE_A_KEY
    if len(serie) > _MAX_SERIE_CHARACTERS:
        count, most = len(serie), _MAX_SERIE_CHARACTERS
        return f"{serie!r:.80} has {count} characters; the tax authority takes {most}"
    if has_control_characters(serie):
        return f"{serie!r} has a control character in it"
    if invisible := invisible_in(serie):
        return f"{serie!r} has an invisible character in it, {invisible}"
    return None


def check_new_serie(serie: object) -> str:
    """Return the name of a sequence to be created, which can never be deleted.

    A name that a spreadsheet has changed is refused too: an error, a formula, a rounded number.
    """
    name = check_serie(serie)
    if misread := spreadsheet_damage(name):
        raise ConfigurationError(
            f"The serie {name!r} {misread}; a name can never be changed or deleted."
        )
    return name


def check_id(value: object) -> int:
    """Return the id; refuse what is not a positive integer."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"The id {value!r:.80} is not a positive integer.")
    return value


def check_path(path: object) -> str:
    """Return a path below the account's root; refuse anything that could be another address."""
    if (
        not isinstance(path, str)
        or not _PATH.fullmatch(path)
        or any(part in {".", ".."} for part in path.split("/"))
    ):
        raise ConfigurationError(
            f"The path {path!r:.200} is not one of the API: it starts with one slash and has no "
            "dot segments, query or fragment, such as /sequences.json."
        )
    return path


def check_type(name: str, value: object, kind: type[object]) -> None:
    """Refuse a value of another type, for an argument that would fail much later."""
    if not isinstance(value, kind):
        # The value is not shown: an argument in the wrong place may be a key.
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: give {kind.__name__}.")


def all_of(name: str, kind: type[T], values: Iterable[T]) -> tuple[T, ...]:
    """Return the values; refuse what is no iterable, and one that is of another type."""
    check_type(name, values, Iterable)
    given = tuple(values)
    for value in given:
        check_type(f"one of {name}", value, kind)
    return given


def check_callable(name: str, value: object) -> None:
    """Refuse what would fail when it is called, after something may have been sent."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: give a function.")


def check_seconds(name: str, value: object) -> float:
    """Return the duration in seconds; refuse what is not a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"{name} is {value!r:.80}, not a number of seconds.")
    try:
        seconds = float(value)
    except OverflowError:  # of an integer of over 308 digits
        seconds = math.inf
    if not math.isfinite(seconds) or seconds <= 0:
        raise ConfigurationError(
            f"{name} is {value!r:.40}: give a finite number of seconds above 0."
        )
    return seconds


def check_bool(name: str, value: object) -> bool:
    """Return the flag; refuse any other value: "false" and "0" from a form are true to Python."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {value!r:.80}: give True or False.")
    return value


def positive_seconds(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    """Validate a field that is a duration."""
    check_seconds(attribute.name, value)


def boolean(_: object, attribute: "attrs.Attribute[bool]", value: bool) -> None:  # noqa: FBT001  # of attrs
    """Validate a field that is a flag."""
    check_bool(attribute.name, value)


def positive_int(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    """Validate a field that counts from 1."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{attribute.name} is {value!r}: give an integer of 1 or more.")


@attrs.frozen(kw_only=True)
class Timeouts:
    """The time budgets of a call, in seconds.

    Attributes:
        total_seconds: The deadline of one call with everything in it: limiter, pool, retries,
            back-off and reading after a lost response. The default allows one full attempt and the
            whole schedule of reads after it.
        attempt_seconds: The limit of one request, from connecting to the last byte. A create calls
            the tax authority for about 11 document types; the time that takes is unknown, so allow
            60 s and more.
        connect_seconds: The limit of name resolution, TCP and TLS in one attempt.
    """

    total_seconds: float = attrs.field(default=180.0, validator=positive_seconds)
    attempt_seconds: float = attrs.field(default=75.0, validator=positive_seconds)
    connect_seconds: float = attrs.field(default=10.0, validator=positive_seconds)
