"""What may be said of a response's headers."""

import re
from typing import Final
from urllib.parse import urlsplit

SHARED_COOKIE: Final = "shared by all accounts"
"""Every response was seen to set a cookie for the domain of all accounts (contract, [rec])."""

_SHARED_DOMAIN: Final = "app.invoicexpress.com"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,79}")


def shown_header(name: str) -> str:
    """Return the name of a header in lower case when it looks like one."""
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
    """Return whose cookie it is: of all accounts, of another domain, or of the host alone."""
    for part in header.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "domain":
            is_shared = value.strip().lower().lstrip(".") == _SHARED_DOMAIN
            return SHARED_COOKIE if is_shared else "another domain"
    return "this host only"


def is_labelled_json(content_type: str) -> bool:
    """Whether a content type is that of JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def is_limit_header(name: str) -> bool:
    """Whether a header says something about a limit."""
    return name == "retry-after" or "ratelimit" in name.replace("-", "")
