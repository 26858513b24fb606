"""Hosts for a soak: each worker in a network namespace, with cables that can be cut, and TLS.

While a cable is cut nothing passes; packets that were sent are retransmitted later.
"""

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import trustme
from hosts import ADDRESSES, Host, Namespace, enter
from postgres_server import PostgresServer
from soak_network import Network


def listen(centre: str, certificate: Path) -> dict[str, Any]:
    """Enter the API's namespace with this whole process; return a server's settings there."""
    enter(centre)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return {"host": ADDRESSES["api"], "port": 443, "ssl_context": context}


@attrs.define(kw_only=True)
class HostNetwork(Network):
    """A `Network` made of hosts."""

    _hosts: list[Host]

    @classmethod
    @contextlib.contextmanager
    def connected(
        cls, folder: Path, centre: Namespace, database: PostgresServer, workers: int
    ) -> Iterator["HostNetwork"]:
        """Make `workers` hosts, and a certificate for the API."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        certificate = authority.issue_cert(ADDRESSES["api"])
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        url = f"{database.url_on_hosts(database.url)}?passfile={database.passwords}"
        with contextlib.ExitStack() as stack:
            made = [stack.enter_context(Host.connected(centre, one)) for one in range(workers)]
            yield cls(
                databases=[url] * workers,
                base_urls=[f"https://{ADDRESSES['api']}/{{account}}"] * workers,
                namespaces=[one.namespace.path for one in made],
                authority=folder / "authority.pem",
                hosts=made,
            )

    def cut(self, way: str) -> None:
        """Cut a way."""
        what, number = way.split()
        self._hosts[int(number)].cut("database" if what == "database" else "api")

    def heal(self, way: str, *, loses: bool) -> None:  # noqa: ARG002  # a cable keeps connections
        """Connect a way again."""
        what, number = way.split()
        self._hosts[int(number)].heal("database" if what == "database" else "api")
