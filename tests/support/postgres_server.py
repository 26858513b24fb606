"""A cluster of PostgreSQL on a Unix socket in a temporary folder, run by an ordinary user.

`initdb` and the server refuse root: if the tests run as root, another user runs them. A cluster
with a network namespace listens there too, for hosts that have the password.
"""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg
from hosts import ADDRESSES, Namespace

from invoicexpress_async.jobs.postgres import PostgresJournal

_PR_SET_PDEATHSIG = 1
_MIN_FREE_BYTES = 500 * 2**20
_PASSWORD = "canary-database-password-4e"
# For many small, short-lived clusters; every commit is still synced.
_SETTINGS = {
    "max_connections": "60",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "min_wal_size": "2MB",
    "deadlock_timeout": "100ms",
    "timezone": "UTC",
    "log_min_messages": "info",
    "log_statement": "all",
}


def find_binaries() -> Path | None:
    """Return the folder of `initdb` and `postgres`: the one on PATH, else the newest of Debian."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(found, key=lambda path: int(path.parts[-3]))
    return newest[-1].parent if newest else None


def find_pooler() -> Path | None:
    """Return pgbouncer: the one on PATH, else Debian's, which is not on every user's PATH."""
    found = Path(shutil.which("pgbouncer") or "/usr/sbin/pgbouncer")
    return found if found.is_file() else None


@attrs.define(eq=False)
class PostgresServer:
    """Starts a cluster, kills it, and starts it again."""

    binaries: Path
    folder: Path
    user: str | None
    namespace: Namespace | None = None
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def started(
        cls, binaries: Path, namespace: Namespace | None = None
    ) -> Iterator["PostgresServer"]:
        folder = Path(tempfile.mkdtemp(prefix="ix-pg-", dir=_quick_folder()))
        server = cls(binaries, folder, _ordinary_user() if os.geteuid() == 0 else None, namespace)
        try:
            server._create()
            server.start()
            yield server
        finally:
            server.kill()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"postgresql://ix@/postgres?host={self.folder}"

    @property
    def log(self) -> Path:
        """The log of the server, with every statement that it received."""
        return self.folder / "log"

    def journal(self, schema: str | None = None, **options: Any) -> PostgresJournal:
        """Return a journal in a given schema or a new one."""
        return PostgresJournal(self.url, schema=schema or new_schema(), **options)

    def ask(
        self, query: str, *values: object, schema: str = "public", at: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a query in a schema, even while its journal is in use."""
        path = f"-c search_path={schema}"
        with psycopg.connect(at or self.url, autocommit=True, options=path) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def set(self, setting: str, value: str) -> None:
        """Change a setting of the whole server, and wait until it is in effect."""
        self.ask(f"ALTER SYSTEM SET {setting} = {value}")
        self.ask("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 30
        while self.ask(f"SHOW {setting}") != [(value,)]:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def connect(self, url: str) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(url, autocommit=True)

    def database(self) -> str:
        """Create a database, for clients that cannot give a schema, and return its URL."""
        name = new_schema()
        self.ask(f"CREATE DATABASE {name}")
        return f"postgresql://ix@/{name}?host={self.folder}"

    @property
    def passwords(self) -> Path:
        """The file for PGPASSFILE on hosts."""
        return self.folder / "pgpass"

    def url_on_hosts(self, url: str) -> str:
        """Return the URL of a database as hosts reach it."""
        return url.partition("?")[0].replace("@", f"@{ADDRESSES['database']}")

    def dump(self, url: str) -> str:
        """Return the content of a database and the log of the server, as text."""
        found = [self.log.read_text(errors="replace")]
        with psycopg.connect(url, autocommit=True) as connection:
            tables = connection.execute(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for (table,) in tables:
                found += map(str, connection.execute(f"TABLE {table}".encode()).fetchall())
        return "\n".join(found)

    def start(self) -> None:
        listening = {"listen_addresses": "*" if self.namespace else ""}
        pairs = (_SETTINGS | listening).items()
        settings = [part for pair in pairs for part in ("-c", "=".join(pair))]
        inside = self.namespace.entered() if self.namespace else contextlib.nullcontext()
        with self.log.open("ab") as log, inside:
            self._process = subprocess.Popen(  # noqa: S603  # Debian's own
                [self.binaries / "postgres", "-D", self._data, "-k", self.folder, *settings],
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must reach the tests only
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # it makes one system call
                **self.as_user(),
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End the postmaster as by a crash, and wait until its children have ended too."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # like a crash: buffers are not written
            process.wait(30)

    def _create(self) -> None:
        password = self.folder / "password"
        password.write_text(_PASSWORD)
        self.passwords.touch(mode=0o600)
        self.passwords.write_text(f"*:*:*:*:{_PASSWORD}\n")
        if self.user is not None:
            shutil.chown(self.folder, self.user)
            shutil.chown(password, self.user)
        subprocess.run(  # noqa: S603  # Debian's own
            [
                self.binaries / "initdb", "--no-sync", "--no-instructions", "--auth=trust",
                "--encoding=UTF8", "--locale=C", "--username=ix", "--wal-segsize=1",
                f"--pwfile={password}", "-D", self._data,
            ],
            check=True,
            capture_output=True,
            timeout=120,
            **self.as_user(),
        )  # fmt: skip
        with (self._data / "pg_hba.conf").open("a") as access:
            access.write("host all all 10.1.0.0/24 scram-sha-256\n")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def as_user(self) -> dict[str, Any]:
        """Return the arguments that start a process as the server's user."""
        if self.user is None:
            return {"cwd": self.folder}
        group = pwd.getpwnam(self.user).pw_gid
        return {"user": self.user, "group": group, "extra_groups": [], "cwd": self.folder}


@contextlib.contextmanager
def pooled(server: PostgresServer, binary: Path) -> Iterator[str]:
    """Run pgbouncer in transaction mode in front of a server, and yield its URL."""
    folder = server.folder / f"pool-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    folder.chmod(0o777)
    settings = folder / "pgbouncer.ini"
    options = {
        "unix_socket_dir": folder, "listen_port": 6432, "pool_mode": "transaction",
        "auth_type": "trust", "auth_file": folder / "users", "max_client_conn": 200,
        "default_pool_size": 2, "logfile": folder / "log", "pidfile": folder / "pid",
    }  # fmt: skip
    lines = "\n".join(f"{name} = {value}" for name, value in options.items())
    settings.write_text(f"[databases]\n* = host={server.folder}\n[pgbouncer]\n{lines}\n")
    (folder / "users").write_text('"ix" "unused"\n')
    process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603  # Debian's own
        [binary, "-q", settings], start_new_session=True, **server.as_user()
    )
    try:
        deadline = time.monotonic() + 30
        while not (folder / ".s.PGSQL.6432").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"postgresql://ix@/postgres?host={folder}&port=6432"
    finally:
        process.kill()
        process.wait()


def new_schema() -> str:
    return f"t_{uuid.uuid4().hex}"


def _end_with_parent() -> None:
    """Make the process end when the tests end, even if they are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _ordinary_user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise AssertionError("no ordinary user to run PostgreSQL as")


def _quick_folder() -> str | None:
    memory = Path("/dev/shm")  # noqa: S108  # of a folder made for this alone
    if memory.is_dir() and shutil.disk_usage(memory).free > _MIN_FREE_BYTES:
        return str(memory)
    return None
