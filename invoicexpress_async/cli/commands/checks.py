"""The checks of `invoicexpress doctor`: this machine, the way to the server, the account."""

import datetime as dt
import email.utils
import http.client
import os
import platform
import re
import socket
import ssl
import time
from collections.abc import Iterator
from collections.abc import Sequence as Ordered
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final
from urllib.parse import urlsplit

import attrs

from invoicexpress_async import AccountSession, Registration, Sequence
from invoicexpress_async.cli.failures import cure_of, message_of
from invoicexpress_async.cli.words import first_few
from invoicexpress_async.config import MAX_CONNECTIONS_VARIABLE, OTHER_FILES, open_files_limit
from invoicexpress_async.errors import (
    AuthenticationError,
    ConfigurationError,
    InvoiceXpressError,
    PermissionDeniedError,
    RateLimitedError,
)
from invoicexpress_async.services.arguments import connections_of, number_of

_PACKAGE: Final = "invoicexpress-async"
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)$")
_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_SECONDS: Final = 10.0
_MAX_SKEW_SECONDS: Final = 60.0
_SOON_DAYS: Final = 14
_NOT_REACHED: Final = "the server was not reached"
_NAMES: Final = ("key", "limit", "AT registration")
_LACKING: Final = (Registration.PARTIAL, Registration.NOT_REGISTERED)
_REGISTER: Final = (
    "Check the account's AT sub-user and password, then run "
    "`invoicexpress sequences register ID` for each; `invoicexpress sequences list` has the ids."
)


class CheckState(StrEnum):
    """How a check ended."""

    FINE = "fine"
    DOUBTFUL = "doubtful"
    """Calls work, but something may cause trouble."""
    WRONG = "wrong"
    """Calls do not work, or not as they should."""
    SKIPPED = "skipped"
    """A precondition of the check is missing."""


SETTINGS: Final = "settings"  # a failure of this check is a usage error


@attrs.frozen
class Check:
    """The result of a check: what was found, and the cure; None if there is nothing to do."""

    state: CheckState
    name: str
    found: str
    cure: str | None = None


fine: Final = partial(Check, CheckState.FINE)
doubtful: Final = partial(Check, CheckState.DOUBTFUL)
wrong: Final = partial(Check, CheckState.WRONG)
skipped: Final = partial(Check, CheckState.SKIPPED)


def machine_checks() -> Iterator[Check]:
    """Check the installed versions and the limits of the system. Nothing is sent."""
    yield _versions()
    yield _open_files()
    if proxy := next((name for name in _PROXIES if os.environ.get(name)), None):
        yield doubtful(
            "proxy",
            f"{proxy} is set, and proxies of the environment are not used",
            "If this machine reaches the internet through a proxy only, give --proxy, set "
            "INVOICEXPRESS_PROXY, or give SessionManager(proxy=...).",
        )


def _versions() -> Check:
    # Without those of extras, which have a marker after them.
    matches = (_REQUIREMENT.fullmatch(one) for one in requires(_PACKAGE) or ())
    floors = {match[1]: match[2] for match in matches if match}
    installed = {name: _installed(name) for name in floors}
    shown = ", ".join(f"{name} {installed[name]}" for name in floors)
    found = f"{_PACKAGE} {version(_PACKAGE)}, Python {platform.python_version()}, {shown}"
    old = [name for name in floors if _numbers(installed[name]) < _numbers(floors[name])]
    if old:
        wanted = " ".join(f"'{name}>={floors[name]}'" for name in old)
        return wrong("versions", found, f"Run: pip install {wanted}")
    return fine("versions", found)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "0 (missing)"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _open_files() -> Check:
    limit, text = open_files_limit(), os.environ.get(MAX_CONNECTIONS_VARIABLE)
    try:
        given = number_of(MAX_CONNECTIONS_VARIABLE, text, int) if text else None
        needed = connections_of(given) + OTHER_FILES
    except ConfigurationError as error:
        return wrong("open files", str(error.args[0]), "Give an integer of 1 or more, or none.")
    if limit is None:
        return fine("open files", f"this system sets no limit for them; {needed} may be needed")
    if limit < needed:
        return wrong(
            "open files",
            f"at most {limit}, and {needed} may be needed",
            f"Run: ulimit -n {needed}, or set {MAX_CONNECTIONS_VARIABLE} to fewer.",
        )
    return fine("open files", f"at most {limit}; {needed} may be needed")


def server_checks(address: str) -> Iterator[Check]:
    """Connect to the server of an account and send a HEAD request, without the key."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    is_tls = parts.scheme == "https"
    scheme = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    connection = scheme(host, parts.port, timeout=_SECONDS)
    try:
        reached = _connect(connection, host)
        yield reached
        if reached.cure is not None:
            yield skipped("TLS", _NOT_REACHED)
            yield skipped("clock", _NOT_REACHED)
            return
        plain, sock = fine("TLS", f"none: {host} is this machine"), connection.sock
        yield _certificate(sock) if isinstance(sock, ssl.SSLSocket) else plain
        yield _clock(connection)
    finally:
        connection.close()


def _connect(connection: http.client.HTTPConnection, host: str) -> Check:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        return wrong(
            "server",
            f"the certificate of {host} is not trusted: {error.verify_message}",
            "A proxy or firewall that opens TLS may be in between: set SSL_CERT_FILE to its "
            "certificates. Or this machine's certificates are out of date. The key is not sent "
            "there.",
        )
    except socket.gaierror:
        return wrong(
            "server",
            f"the name {host} was not found",
            "Check the account's name, as in https://NAME.app.invoicexpress.com, and this "
            "machine's name service.",
        )
    except OSError as error:
        why = "no response in time" if isinstance(error, TimeoutError) else error.strerror or "TLS"
        return wrong(
            "server",
            f"no connection to {host}: {why}",
            "Check --base-url, the network and a firewall in between.",
        )
    return fine("server", f"{host} at {connection.sock.getpeername()[0]}")


def _certificate(sock: ssl.SSLSocket) -> Check:
    certificate = sock.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(str(certificate.get("notAfter")))
    days = int((ends - time.time()) / 86_400)
    found = f"{sock.version()}, the certificate is good for {days} days"
    if days < _SOON_DAYS:
        return doubtful("TLS", found, "Nothing to do here; calls will fail if it is not renewed.")
    return fine("TLS", found)


def _clock(connection: http.client.HTTPConnection) -> Check:
    try:
        connection.request("HEAD", "/")
        date = connection.getresponse().getheader("Date")
        server = email.utils.parsedate_to_datetime(date or "")
    except (OSError, http.client.HTTPException, ValueError):
        return skipped("clock", "the server does not send its time")
    skew = (dt.datetime.now(dt.UTC) - server).total_seconds()
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"
    if abs(skew) > _MAX_SKEW_SECONDS:
        return doubtful(
            "clock",
            found,
            "Set this machine's clock: when a Retry-After ends, when an intent was sent and on "
            "which day --not-before falls are judged by it.",
        )
    return fine("clock", "as the server's" if abs(skew) < 2 else found)  # noqa: PLR2004  # the header Date has whole seconds


def account_skipped(why: str) -> list[Check]:
    return [skipped(name, why) for name in _NAMES]


async def account_checks(account: AccountSession) -> list[Check]:
    """Read the account's sequences once, and derive the checks from the response."""
    began = time.monotonic()
    error: InvoiceXpressError
    try:
        sequences = await account.sequences.list()
    except InvoiceXpressError as failure:
        error = failure
    else:
        seconds = time.monotonic() - began
        return [
            fine(
                "key",
                f"opens {account.name}; sequences: {len(sequences)}, listed in {seconds:.2f} s",
            ),
            fine("limit", "780 requests a minute for the account; not reached"),
            _registration(sequences),
        ]
    found, cure, unread = message_of(error), cure_of(error), "nothing could be read"
    key, limit = wrong("key", found, cure), skipped("limit", unread)
    if isinstance(error, RateLimitedError):
        key, limit = skipped("key", "the account's limit is reached"), wrong("limit", found, cure)
    elif not isinstance(error, AuthenticationError | PermissionDeniedError):
        key = wrong("key", f"could not be tried: {found}", cure)
    return [key, limit, skipped("AT registration", unread)]


def _registration(sequences: Ordered[Sequence]) -> Check:
    """Check the AT set-up by the sequences, since an account cannot read the set-up itself."""
    name = "AT registration"
    if not sequences:
        return skipped(name, "there is no sequence to judge by; the first create will show it")
    lacking = [one for one in sequences if one.registration in _LACKING]
    registered = [one for one in sequences if one.registration is Registration.REGISTERED]
    newest = max(sequences, key=lambda one: one.id)
    if lacking:
        names = first_few([repr(one.serie) for one in lacking], "en")
        found = f"{names}: document types without a validation code"
        # An old sequence may stay without codes; the newest shows the present set-up.
        judge = wrong if newest in lacking else doubtful
        return judge(name, found, _REGISTER)
    if registered:
        return fine(
            name, f"works: {len(registered)} of {len(sequences)} sequences have their codes"
        )
    if newest.registration is Registration.NOT_APPLICABLE:
        return fine(name, "not needed by any document type of this account")
    return skipped(name, "the responses have no validation codes")
