"""Checks of the way to the server: name, connection, certificate, and its clock beside ours."""

import datetime as dt
import email.utils
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from invoicexpress_async.cli.commands.check import Check, doubtful, fine, skipped, wrong

_SECONDS: Final = 10.0
_MOST_SKEW_SECONDS: Final = 60.0
_SOON_DAYS: Final = 14
_NOT_REACHED: Final = "the server was not reached"


def server_checks(address: str) -> Iterator[Check]:
    """Connect to the server of an account and ask for its head, without the key."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    is_tls = parts.scheme == "https"
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS)
        if is_tls
        else http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
    )
    try:
        reached = _connect(connection, host)
        yield reached
        if reached.cure is not None:
            yield skipped("TLS", _NOT_REACHED)
            yield skipped("clock", _NOT_REACHED)
            return
        yield _certificate(connection.sock) if is_tls else _plain(host)
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
            "A proxy or firewall that opens TLS may be in between, or this machine's "
            "certificates are out of date; the key is not sent there.",
        )
    except socket.gaierror:
        return wrong(
            "server",
            f"the name {host} was not found",
            "Check the account's name, as in https://NAME.app.invoicexpress.com, and this "
            "machine's name service.",
        )
    except OSError as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or "TLS"
        return wrong(
            "server",
            f"no connection to {host}: {why}",
            "Check --base-url, the network and a firewall in between.",
        )
    return fine("server", f"{host} at {connection.sock.getpeername()[0]}")


def _plain(host: str) -> Check:
    return fine("TLS", f"none: {host} is this machine")


def _certificate(sock: object) -> Check:
    if not isinstance(sock, ssl.SSLSocket):
        return skipped("TLS", _NOT_REACHED)
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
        told = connection.getresponse().getheader("Date")
        server = email.utils.parsedate_to_datetime(told or "")
    except (OSError, http.client.HTTPException, ValueError):
        return skipped("clock", "the server does not tell its time")
    skew = (dt.datetime.now(dt.UTC) - server).total_seconds()
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"
    if abs(skew) > _MOST_SKEW_SECONDS:
        return doubtful(
            "clock",
            found,
            "Set this machine's clock: when a Retry-After ends, when an intent was sent and on "
            "which day --not-before falls are judged by it.",
        )
    return fine("clock", "as the server's" if abs(skew) < 2 else found)  # noqa: PLR2004  # Date has whole seconds
