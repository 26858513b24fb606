"""The addresses of the API, of a proxy, and of an account's pages as people paste them."""

import ipaddress
import re
from typing import Final
from urllib.parse import unquote, urlsplit

import attrs

from invoicexpress_async.errors import ConfigurationError

DEFAULT_BASE_URL: Final = "https://{account}.app.invoicexpress.com"
"""One sub-domain per account; without `.app.` the name does not resolve (contract, [live])."""

_PLACEHOLDER: Final = "{account}"
_BARE_HOST: Final = re.compile(r"[a-z]+://\{account\}\.?(?:[:/]|$)", re.IGNORECASE)
_ACCOUNT_URL: Final = re.compile(
    r"(?:https?://)?([a-z0-9-]+)\.app\.invoicexpress\.com(?::443)?(?:[/?#].*)?", re.IGNORECASE
)


def account_name_in(text: str) -> str:
    """Return the account's name from the address of its pages; other texts as they are."""
    found = _ACCOUNT_URL.fullmatch(text.strip()) if "." in text else None
    return found[1] if found else text


@attrs.frozen(kw_only=True)
class BaseUrl:
    """A checked template of the API's address, with `{account}` in its host or path."""

    template: str

    @classmethod
    def parse(cls, template: object, *, is_of_one_account: bool = False) -> "BaseUrl":
        """Check a template, or the address of one account, which has no `{account}` in it.

        Raises:
            ConfigurationError: it is not a str, has no `{account}` or nothing else in the host,
                uses plain http to another machine, or has dot segments or more than scheme, host,
                port and path.
        """
        problem = _template_problem(template, placeholders=0 if is_of_one_account else 1)
        if problem is None:
            return cls(template=str(template).rstrip("/"))
        del template  # it may contain a password: no text and no frame shows it
        raise ConfigurationError(f"base_url {problem}.")

    def for_account(self, name: str) -> str:
        """Return the address of one account, without a trailing slash."""
        return self.template.replace(_PLACEHOLDER, name)


def _template_problem(template: object, *, placeholders: int) -> str | None:
    if not isinstance(template, str):
        return f"is of type {type(template).__name__}: give a str"
    if template.count(_PLACEHOLDER) != placeholders:
        if not placeholders:
            return f"of one account must not hold {_PLACEHOLDER}"
        return f"must hold {_PLACEHOLDER} once, such as {DEFAULT_BASE_URL}"
    if _BARE_HOST.match(template):
        return f"has nothing but {_PLACEHOLDER} for a host: an account could name any machine"
    return _url_problem(template.replace(_PLACEHOLDER, "account"))


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if (
        any(character in url for character in ' \\?#@"')
        or not url.isascii()
        or not url.isprintable()
    ):
        return "has a user, a query, a fragment or a character that it cannot have"
    if not host or port == 0:
        return "has no host, or port 0"
    if any(part in {".", ".."} for part in unquote(parts.path).split("/")):
        return "has a dot segment in its path"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return None
    return "must be https; http is for this machine only, as the key travels in the URL"


def proxy_problem(url: str) -> str | None:
    """Return what is wrong with a proxy's URL, without any part of it; None for a valid one."""
    try:
        parts = urlsplit(url)
        is_right = bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        is_right = False
    if not is_right or not url.lower().startswith(("http://", "https://")):
        return "is not a URL such as http://user:password@proxy.example:3128"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
