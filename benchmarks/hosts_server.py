"""A cheap TLS server with a host per account: canned responses, in its own process.

`python benchmarks/hosts_server.py FOLDER` writes `ca.pem` there and prints its port. For each line
on its standard input it prints the handshakes so far and the number of open connections.
"""

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trustme
from canned_server import Canned, canned_responses

DOMAIN: Final = "app.invoicexpress.com"


class _Counted(Canned):
    made = 0
    opened = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        _Counted.made += 1
        _Counted.opened += 1

    def connection_lost(self, _: Exception | None) -> None:
        _Counted.opened -= 1


async def _serve(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(f"*.{DOMAIN}").configure_cert(context)
    created, listed = canned_responses(listed_serie="2020")
    server = await asyncio.get_running_loop().create_server(
        lambda: _Counted(created, listed), "127.0.0.1", 0, ssl=context, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(_Counted.made, _Counted.opened, flush=True)
    server.close()


class HostsServer:
    """The server, for its user."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.port = port

    def counts(self) -> tuple[int, int]:
        """Return the number of handshakes so far, and of open connections."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        made, opened = self._process.stdout.readline().split()
        return int(made), int(opened)


@contextlib.contextmanager
def hosts_server(folder: Path) -> Iterator[HostsServer]:
    """Run the server in its own process."""
    with subprocess.Popen(  # noqa: S603  # this very file
        [sys.executable, __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield HostsServer(process, int(process.stdout.readline()))
        finally:
            process.stdin.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(Path(sys.argv[1])))
