"""Claim tokens. A token names its process, so that other processes can see whether it has ended."""

import os
from functools import cache
from pathlib import Path
from typing import Final

from invoicexpress_async.jobs.timestamps import BOOT_ID

_RANDOM_BYTES: Final = 12


def _process_space() -> str:
    """Return an id of this boot and PID namespace; each container has its own namespace."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return BOOT_ID
    return f"{BOOT_ID}.{''.join(filter(str.isdigit, space))}" if BOOT_ID else ""


_SPACE: Final = _process_space()


def new_token() -> str:
    """Return a unique token."""
    # Random each time: a snapshot of a machine may be started several times, and all its copies
    # have the same process, the same number of tokens, and whatever was random before.
    return f"{_process_of(os.getpid())}/{os.urandom(_RANDOM_BYTES).hex()}"


def is_dead(token: str) -> bool:
    """Whether the process of a token is known to have ended.

    False when this cannot be known: the process is of another machine or container, or the system
    does not say.
    """
    space, _, rest = token.partition(":")
    process, _, _ = rest.partition("/")
    pid, _, _ = process.partition(":")
    if not space or space != _SPACE or not pid.isdecimal():
        return False
    return _started_at(int(pid)) != process.partition(":")[2]


def is_from_earlier_boot(token: str) -> bool:
    """Whether a token was made before this machine last booted, so that its process has ended.

    Valid only for tokens of this machine, such as all tokens in a file: one machine writes it.
    """
    space, _, _ = token.partition(":")
    boot, _, _ = space.partition(".")
    return bool(boot and BOOT_ID) and boot != BOOT_ID


@cache
def _process_of(pid: int) -> str:
    return f"{_SPACE}:{pid}:{_started_at(pid)}"


def _started_at(pid: int) -> str:
    """Return the start time of a process, in clock ticks since boot; "" when it is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program, in brackets, may contain any character.
    return fields.rpartition(")")[2].split()[19]


# Read at import, because a claim in an event loop must not touch the file system.
_process_of(os.getpid())
