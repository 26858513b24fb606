"""Hosts: network namespaces, each with a cable to the database and to the API, which can be cut.

A namespace has no name, so it disappears with the last process and descriptor that uses it,
however the tests end. The database and the API are in a third namespace, which has nothing else
of this machine.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import attrs

Cable: TypeAlias = Literal["database", "api"]

_CLONE_NEWNET: Final = 0x40000000
_OF_THIS_PROCESS: Final = "/proc/self/ns/net"
_NETWORKS: Final[dict[Cable, str]] = {"database": "10.1.0", "api": "10.2.0"}
ADDRESSES: Final[dict[Cable, str]] = {cable: f"{network}.1" for cable, network in _NETWORKS.items()}
"""The addresses of the database and the API on every host."""


@attrs.frozen
class Namespace:
    """A network namespace."""

    _file: int

    @classmethod
    def made(cls) -> "Namespace | None":
        """Make a namespace, or return None: that needs root and the program `ip`."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            return None
        with _returning():
            if ctypes.CDLL(None).unshare(_CLONE_NEWNET) != 0:
                return None
            made = cls(os.open(_OF_THIS_PROCESS, os.O_RDONLY))
            made.ip("link set lo up")
        return made

    @property
    def path(self) -> str:
        """The path that another process opens, to `enter` it, or for `nsenter --net=`."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Enter the namespace for the block; what the thread opens or starts in it stays there."""
        with _returning():
            _enter(self._file)
            yield

    def ip(self, *commands: str) -> None:
        """Run commands of `ip` in the namespace."""
        with self.entered():
            subprocess.run(
                ["ip", "-batch", "-"],  # noqa: S607  # the program of the system
                input="\n".join(commands),
                text=True,
                check=True,
            )

    def close(self) -> None:
        os.close(self._file)


@attrs.frozen
class Host:
    """A simulated machine, with a network of its own for its processes."""

    number: int
    namespace: Namespace
    _centre: Namespace

    @classmethod
    @contextlib.contextmanager
    def connected(cls, centre: Namespace, number: int) -> Iterator["Host"]:
        """Make a host with both cables."""
        namespace = Namespace.made()
        assert namespace is not None
        host = cls(number, namespace, centre)
        try:
            for cable, there in ADDRESSES.items():
                end, here = f"{cable}{number}", f"{_NETWORKS[cable]}.{number + 2}"
                centre.ip(
                    f"link add {end} type veth peer name {cable} netns {namespace.path}",
                    f"addr add {there} peer {here} dev {end}",
                )
                namespace.ip(f"addr add {here} peer {there} dev {cable}", f"link set {cable} up")
                host.heal(cable)
            yield host
        finally:
            for cable in ADDRESSES:
                with contextlib.suppress(subprocess.CalledProcessError):  # the link was not made
                    centre.ip(f"link del {cable}{number}")
            namespace.close()

    def cut(self, cable: Cable) -> None:
        """Cut a cable in both directions."""
        self._centre.ip(f"link set {cable}{self.number} down")

    def heal(self, cable: Cable) -> None:
        self._centre.ip(f"link set {cable}{self.number} up")

    def program(self, *arguments: str) -> tuple[str, ...]:
        """Return the command that starts a program on the host."""
        return ("nsenter", f"--net={self.namespace.path}", *arguments)


def enter(path: str) -> None:
    """Enter a namespace for the rest of the process, which must have only one thread."""
    file = os.open(path, os.O_RDONLY)
    _enter(file)
    os.close(file)


def _enter(file: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def _returning() -> Iterator[None]:
    """Return to the present namespace of this thread after the block."""
    own = os.open(_OF_THIS_PROCESS, os.O_RDONLY)
    try:
        yield
    finally:
        _enter(own)
        os.close(own)
