"""Replaces every value of the account in an exchange by a typed placeholder."""

import re
from typing import Final
from urllib.parse import urlsplit

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.live_check.description import shown_name
from invoicexpress_async.models.json_value import JsonValue

SHARED_COOKIE: Final = "shared by all accounts"
"""In recorded traffic, every response set a cookie for the domain of all accounts."""

_SHARED_DOMAIN: Final = "app.invoicexpress.com"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,79}")


def shown_header(name: str) -> str:
    """Return a header's name in lower case if it looks like one, else a placeholder."""
    lowered = name.lower()
    return lowered if _NAME.fullmatch(lowered) else "<name>"


def target_of(location: str, own_host: str) -> str:
    """Return where a redirect leads, without its address."""
    if not location:
        return "nowhere"
    try:
        host = urlsplit(location).netloc
    except ValueError:
        return "no address"
    return "the same host" if host in {"", own_host} else "another host"


def cookie_domain(header: str) -> str:
    """Return the scope of a cookie: all accounts, another domain, or this host only."""
    for part in header.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "domain":
            is_shared = value.strip().lower().lstrip(".") == _SHARED_DOMAIN
            return SHARED_COOKIE if is_shared else "another domain"
    return "this host only"


def is_labelled_json(content_type: str) -> bool:
    """Whether a content type is JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def is_limit_header(name: str) -> bool:
    """Whether a header is about a limit."""
    return name == "retry-after" or "ratelimit" in name.replace("-", "")


_KEPT_TEXTS: Final = frozenset({"", " ", "0", "1", "true", "false", "N/D", "N/A", "active"})
_KEPT_MEDIA: Final = frozenset({"application/json", "text/html", "text/plain"})
_KEPT_CHARSETS: Final = frozenset({"utf-8", "iso-8859-1"})
_MAX_KEPT_NUMBER: Final = 1  # flags, and the counter of a new series
_MAX_ITEMS: Final = 5  # of a list: enough to see a shape
_CODE: Final = re.compile(r"[0-9]{1,3}")
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,4}")  # seconds and counts; a fiscal number has nine
_KINDS: Final = (
    ("digits", re.compile(r"[0-9]+")),
    ("email", re.compile(r"[^@\s]+@[^@\s]+")),
    ("url", re.compile(r"[a-z]+://\S*")),
)


@attrs.define(kw_only=True, eq=False)
class Redactor:
    """Replaces values. Within one recording, equal values get equal placeholders."""

    key: Secret
    account: str
    own_host: str
    _placeholders: dict[tuple[str, str], str] = attrs.field(
        factory=dict[tuple[str, str], str], init=False, repr=False
    )

    def value(self, value: JsonValue, name: str = "") -> JsonValue:
        """Return the value of a field with every value of the account replaced."""
        if isinstance(value, dict):
            return {self.name(inner): self.value(one, inner) for inner, one in value.items()}
        if isinstance(value, list):
            return [self.value(one, name) for one in value[:_MAX_ITEMS]]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, name)
        is_kept = 0 <= value <= _MAX_KEPT_NUMBER or _is_code(str(value), name)
        kind = "integer" if isinstance(value, int) else "number"
        return value if is_kept and kind == "integer" else self._placeholder(kind, str(value))

    def name(self, name: str) -> str:
        """Return a field's name if it looks like one and holds no secret, else a placeholder."""
        if shown_name(name) == name and not self._is_secret(name):
            return name
        return self._placeholder("name", name)

    def header(self, name: str, value: str) -> list[JsonValue]:
        """Return the name and value of a header; most values are replaced."""
        lowered = "<name>" if self._is_secret(name) else shown_header(name)
        if lowered == "content-type":
            return [lowered, _media_type(value)]
        if lowered == "set-cookie":
            return [lowered, f"<cookie: {cookie_domain(value)}>"]
        if lowered == "location":
            return [lowered, f"<location: {target_of(value, self.own_host)}>"]
        is_kept = is_limit_header(lowered) and _SHORT_NUMBER.fullmatch(value)
        return [lowered, value if is_kept else "<value>"]

    def _is_secret(self, name: str) -> bool:
        return any(one.lower() in name.lower() for one in (self.key.reveal(), self.account))

    def _text(self, text: str, name: str) -> str:
        if text in _KEPT_TEXTS or _is_code(text, name):
            return text
        if name.endswith("_validation_code"):
            return self._placeholder("code" if text.isalnum() and text.isascii() else "text", text)
        kinds = (kind for kind, pattern in _KINDS if pattern.fullmatch(text))
        return self._placeholder(next(kinds, "text"), text)

    def _placeholder(self, kind: str, value: str) -> str:
        number = len(self._placeholders) + 1
        return self._placeholders.setdefault((kind, value), f"<{kind}:{number}>")


def _is_code(text: str, name: str) -> bool:
    return name == "code" and _CODE.fullmatch(text) is not None


def _media_type(value: str) -> str:
    media, _, rest = value.lower().partition(";")
    kept = media.strip() if media.strip() in _KEPT_MEDIA else "<media type>"
    label, _, charset = rest.strip().partition("=")
    if label != "charset":
        return kept
    return f"{kept}; charset={charset if charset in _KEPT_CHARSETS else '<charset>'}"
