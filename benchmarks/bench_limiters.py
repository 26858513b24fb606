"""Throughput and 429s of one account against real limiters: nginx, haproxy and rack-attack.

The script starts each on loopback, from its Debian package (`nginx`, `haproxy`, and
`ruby-rack-attack` with `ruby-rack` and `ruby-webrick`); a missing one is named and left out.
40 callers send as fast as possible to all limiters side by side. By default the rate is the real
one, 780 a minute, for two minutes; with `--scaled` it is 780 in five seconds.

`python benchmarks/bench_limiters.py [--scaled] [windows]`
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from invoicexpress_async import (
    InvoiceXpressError,
    RateLimit,
    SessionManager,
    Timeouts,
)
from invoicexpress_async.events import AttemptEnded, Event

_KEY: Final = "benchmark-key-0123456789"
_LIMIT: Final = 780
_CALLERS: Final = 40
_BODY: Final = '{"sequences":[]}'
_SCALED_SECONDS: Final = 5.0


@attrs.frozen(kw_only=True)
class Subject:
    """A limiter and its configuration.

    Attributes:
        name: The name in the table.
        program: The program that must be installed.
        start: Writes the configuration, and returns the command.
    """

    name: str
    program: str
    start: Callable[[Path, int, float], list[str]]


def _nginx(burst: int, how: str) -> Callable[[Path, int, float], list[str]]:
    def start(folder: Path, port: int, seconds: float) -> list[str]:
        rate = f"{_LIMIT}r/m" if seconds == 60 else f"{_LIMIT / seconds:.0f}r/s"  # noqa: PLR2004  # its two units
        (folder / "nginx.conf").write_text(
            f"""
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log crit;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                client_body_temp_path {folder}; proxy_temp_path {folder};
                fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
                limit_req_zone $binary_remote_addr zone=one:1m rate={rate};
                limit_req_status 429; keepalive_requests 1000000;
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        limit_req zone=one burst={burst} {how};
                        default_type application/json;
                        try_files /none @rows;
                    }}
                    location @rows {{
                        default_type application/json; return 200 '{_BODY}';
                    }}
                }}
            }}"""
        )
        return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]

    return start


def _haproxy(folder: Path, port: int, seconds: float) -> list[str]:
    (folder / "haproxy.cfg").write_text(
        f"""
global
    maxconn 256
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend one
    bind 127.0.0.1:{port}
    stick-table type string size 10 expire 10m store http_req_rate({seconds:.0f}s)
    http-request track-sc0 hdr(host)
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {_LIMIT} }}
    http-request return status 200 content-type application/json string '{_BODY}'
"""
    )
    return ["haproxy", "-db", "-q", "-f", str(folder / "haproxy.cfg")]


def _rack_attack(folder: Path, port: int, seconds: float) -> list[str]:
    (folder / "limited.rb").write_text(
        f"""
require 'rack'
require 'rack/attack'
require 'webrick'
require 'rack/handler/webrick'
class Store
  def initialize; @counts = {{}}; @lock = Mutex.new; end
  def increment(key, by, _ = {{}})
    @lock.synchronize {{ @counts[key] = (@counts[key] || 0) + by }}
  end
  def read(key); @counts[key]; end
  def write(key, value, _ = {{}}); @counts[key] = value; end
  def delete(key); @counts.delete(key); end
end
Rack::Attack.cache.store = Store.new
Rack::Attack.throttle('account', limit: {_LIMIT}, period: {seconds:.0f}) {{ |it| it.path }}
rows = ->(_) {{ [200, {{'Content-Type' => 'application/json'}}, ['{_BODY}']] }}
Rack::Handler::WEBrick.run(Rack::Attack.new(rows), Host: '127.0.0.1', Port: {port},
  AccessLog: [], Logger: WEBrick::Log.new(File::NULL))
"""
    )
    return ["ruby", str(folder / "limited.rb")]


SUBJECTS: Final = (
    *(
        Subject(name=f"nginx, burst {burst}, {how or 'delayed'}", program="nginx",
                start=_nginx(burst, how))
        for burst in (779, 100, 10)
        for how in ("nodelay", "")
    ),
    Subject(name="haproxy, http_req_rate", program="haproxy", start=_haproxy),
    Subject(name="rack-attack, throttle", program="ruby", start=_rack_attack),
)  # fmt: skip


@attrs.define
class Counts:
    """The outcomes of the requests of one run."""

    taken: int = 0
    refused: int = 0
    errors: int = 0
    first_refused_at: float | None = None

    def note(self, event: Event) -> None:
        """Count the end of an attempt."""
        if isinstance(event, AttemptEnded):
            self.taken += event.status == 200  # noqa: PLR2004  # OK
            if event.status == 429:  # noqa: PLR2004  # too many requests
                self.refused += 1
                self.first_refused_at = self.first_refused_at or time.monotonic()


def is_missing(subject: Subject) -> str | None:
    """Return what is not installed, or None."""
    if shutil.which(subject.program) is None:
        return subject.program
    if subject.program == "ruby":
        needed = ["ruby", "-e", "require 'rack'; require 'rack/attack'; require 'webrick'"]
        if subprocess.run(needed, capture_output=True, check=False).returncode:  # noqa: S603  # a constant
            return "ruby-rack-attack, ruby-rack or ruby-webrick"
    return None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(subject: Subject, seconds: float) -> Iterator[int]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = subject.start(Path(folder), port, seconds)
        environment = {**os.environ, "PATH": f"/usr/sbin:{os.environ['PATH']}"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:  # noqa: S603  # ours
            try:
                _wait_for(port, process)
                yield port
            finally:
                process.terminate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} did not start")


async def _run(port: int, *, windows: float, seconds: float) -> tuple[Counts, float]:
    counts = Counts()
    started = time.monotonic()
    ends = started + windows * seconds
    async with SessionManager(
        base_url=f"http://127.0.0.1:{port}/{{account}}",
        rate_limit=RateLimit(_LIMIT, per_seconds=seconds),
        timeouts=Timeouts(total_seconds=180.0),
        on_event=counts.note,
    ) as manager:
        sequences = manager.account("acme", _KEY).sequences

        async def call() -> None:
            while (left := ends - time.monotonic()) > 0:
                try:
                    await sequences.list(timeout_seconds=left)
                except InvoiceXpressError:
                    # The deadline is the end of the run; a failure well before it is an error.
                    counts.errors += time.monotonic() < ends - 0.5

        await asyncio.gather(*(call() for _ in range(_CALLERS)))
    return counts, time.monotonic() - started


async def measure(subject: Subject, *, windows: float, seconds: float) -> str:
    """Return a line of the table."""
    with _running(subject, seconds) as port:
        counts, took = await _run(port, windows=windows, seconds=seconds)
    share = counts.taken / (_LIMIT * took / seconds)
    return f"{subject.name:30}{counts.taken:9}{share:8.1%}{counts.refused:7}{counts.errors:8}"


async def main(windows: float, seconds: float) -> None:
    """Run all installed limiters side by side, and print a row for each."""
    print(f"{_LIMIT} in {seconds:.0f} s, {windows:g} windows, {_CALLERS} callers")
    print(f"{'limiter':30}{'taken':>9}{'share':>8}{'429s':>7}{'errors':>8}")
    there = []
    for subject in SUBJECTS:
        if missing := is_missing(subject):
            print(f"{subject.name:30} left out: {missing} is not installed")
        else:
            there.append(subject)
    runs = (measure(subject, windows=windows, seconds=seconds) for subject in there)
    for line in await asyncio.gather(*runs):
        print(line)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--scaled"]
    given = float(arguments[0]) if arguments else 2.0
    asyncio.run(main(given, _SCALED_SECONDS if "--scaled" in sys.argv else 60.0))
