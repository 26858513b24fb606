"""Checks the arguments of a `SessionManager`, before any network access."""

import os
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeVar, cast

import attrs

from invoicexpress_async.call.keys import KeyCallable
from invoicexpress_async.call.limiter import RateLimit
from invoicexpress_async.config import (
    ACCOUNT_VARIABLE,
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    BaseUrl,
    Secret,
    Timeouts,
    check_type,
    default_max_connections,
    proxy_problem,
)
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.protocol.decision import RetryPolicy


def _installed_version() -> str:
    """Return the version of this package; "unknown" when a frozen program has no metadata."""
    try:
        return version("invoicexpress-async")
    except PackageNotFoundError:
        return "unknown"


# Read once, at import, because it searches for files.
_VERSION: Final = _installed_version()


class FromEnvironment(Enum):
    """The default of an argument whose value then comes from the environment."""

    API_KEY = API_KEY_VARIABLE


FROM_ENVIRONMENT: Final = FromEnvironment.API_KEY


def key_as_secret(api_key: object) -> Secret | KeyCallable | None:
    """Return the key in a form that does not show it; None when it is not a key."""
    if api_key is FROM_ENVIRONMENT:
        api_key = os.environ.get(API_KEY_VARIABLE)
        if api_key is None:
            raise ConfigurationError(f"No API key: give one, or set {API_KEY_VARIABLE}.")
    if isinstance(api_key, str):
        return Secret(api_key)
    return cast("KeyCallable", api_key) if callable(api_key) else None


def check_environment_is_of(account: str) -> None:
    """Refuse the key of the environment for another account than that of the environment."""
    own = os.environ.get(ACCOUNT_VARIABLE)
    if own and own.lower() != account:
        raise ConfigurationError(
            f"{API_KEY_VARIABLE} is the key of the account in {ACCOUNT_VARIABLE}, and not of "
            f"{account}: give the key of {account}."
        )


def check_types(timeouts: object, retry: object, rate_limit: object, on_event: object) -> None:
    """Refuse settings of a wrong type: a retry policy would fail only after a lost response."""
    for name, value, kind in (
        ("timeouts", timeouts, Timeouts),
        ("retry", retry, RetryPolicy),
        ("rate_limit", rate_limit, RateLimit),
    ):
        if value is not None:
            check_type(name, value, kind)
    if on_event is not None and not callable(on_event):
        raise ConfigurationError("on_event is not callable: give a function of one event.")


def user_agent(app_name: str | None) -> str:
    """Return the User-Agent; refuse a name that cannot be in a header."""
    own = f"invoicexpress-async/{_VERSION}"
    if app_name is None:
        return own
    check_type("app_name", app_name, str)
    if not app_name.isascii() or not app_name.isprintable() or not app_name.strip():
        raise ConfigurationError("app_name must be printable ASCII: it goes into a header.")
    return f"{app_name} {own}"


@attrs.frozen
class Given:
    """An argument as it was given, which may contain a password."""

    value: object = attrs.field(repr=False)


def base_url_of(given: Given | None) -> BaseUrl:
    """Return the base URL: the given one, else the environment's, else the provider's."""
    if given is not None and given.value != "":
        return BaseUrl.parse(given.value)
    return BaseUrl.parse(os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL)


def proxy_of(given: Given | None, base_url: BaseUrl) -> Secret | None:
    """Return the proxy as a `Secret`; refuse an invalid one."""
    if given is None:
        return None
    if not isinstance(given.value, str):
        kind = type(given.value).__name__
        raise ConfigurationError(f"proxy is of type {kind}: give a str.")
    if problem := proxy_problem(given.value):
        raise ConfigurationError(f"proxy {problem}.")
    if not base_url.template.startswith("https://"):
        # Over plain http, the request line to the proxy would be the URL, with the key in it.
        raise ConfigurationError("A proxy is for https only; base_url is on this machine.")
    return Secret(given.value)


def connections_of(value: object) -> int:
    """Return the maximum number of sockets; refuse what is not a positive integer."""
    if value is None:
        return default_max_connections()
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"max_connections is {value!r:.40}: give an integer of 1 or more.")
    return value


N = TypeVar("N", int, float)


def number_of(variable: str, text: str, kind: type[N]) -> N:
    """Return the number in an environment variable; refuse a text that is not a number."""
    try:
        return kind(text)
    except ValueError:
        pass
    raise ConfigurationError(f"{variable} is {text!r:.40}, which is not a number.")
