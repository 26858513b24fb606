"""Who has claimed something: a token names its process, so that another can see that it is dead."""

import os
import uuid
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

from invoicexpress_async.jobs.timestamps import BOOT_ID

_NUMBERS: Final = count(1)


def _process_space() -> str:
    """Return what process ids are counted in: a container has its own, on the same machine."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return BOOT_ID
    return f"{BOOT_ID}.{''.join(filter(str.isdigit, space))}" if BOOT_ID else ""


_SPACE: Final = _process_space()


def new_token() -> str:
    """Return a unique token."""
    # The random part distinguishes processes where the system does not; a UUID for each would be
    # expensive.
    return f"{_process_of(os.getpid())}/{next(_NUMBERS)}"


def is_dead(token: str) -> bool:
    """Whether the process of a token is known to have ended.

    False when it cannot be known: it is of another machine or container, or the system does not
    say.
    """
    space, _, rest = token.partition(":")
    process, _, _ = rest.partition("/")
    pid, _, _ = process.partition(":")
    if not space or space != _SPACE or not pid.isdecimal():
        return False
    return _started_at(int(pid)) != process.partition(":")[2]


def is_of_an_earlier_boot(token: str) -> bool:
    """Whether the process of a token ended with an earlier start of its machine, if that is this.

    A file is written by processes of one machine: who has claimed something in it was on this.
    """
    space, _, _ = token.partition(":")
    boot, _, _ = space.partition(".")
    return bool(boot and BOOT_ID) and boot != BOOT_ID


@cache
def _process_of(pid: int) -> str:
    return f"{_SPACE}:{pid}:{_started_at(pid)}/{uuid.uuid4().hex[:16]}"


def _started_at(pid: int) -> str:
    """Return when a process started, in the system's own count; "" when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program, in brackets, may hold anything.
    return fields.rpartition(")")[2].split()[19]


# Read at import, for a claim in an event loop must not touch the file system.
_process_of(os.getpid())
