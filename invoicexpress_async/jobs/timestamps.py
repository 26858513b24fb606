"""Timestamps from which another process can measure, even when the wall clock is changed."""

import json
import math
import re
import time
from pathlib import Path
from typing import Final, Self

import attrs

_BOOT: Final = re.compile("[0-9a-f-]+")


@attrs.frozen(kw_only=True)
class Timestamp:
    """A time on two clocks.

    Attributes:
        wall: Seconds since the epoch: comparable everywhere, but anybody may set the clock.
        steady: Seconds on the monotonic clock: reliable, but valid for one boot of one machine.
        boot: The id of that boot; "" where the system has none.
    """

    wall: float
    steady: float
    boot: str

    @classmethod
    def now(cls) -> Self:
        """Return the present time."""
        return cls(wall=time.time(), steady=time.monotonic(), boot=_boot())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `dump` wrote.

        Raises:
            ValueError: the text is not a timestamp.
        """
        match json.loads(text):
            case [wall, steady, str(boot)] if {type(wall), type(steady)} <= {int, float}:
                if math.isfinite(wall) and math.isfinite(steady):
                    return cls(wall=wall, steady=steady, boot=boot)
            case _:
                pass
        raise ValueError("not a timestamp")

    def dump(self) -> str:
        """Return the timestamp as text."""
        return f'[{self.wall!r}, {self.steady!r}, "{self.boot}"]'

    def seconds_until(self, later: "Timestamp") -> float:
        """Return at least how many seconds have passed: the smaller difference of the clocks."""
        by_wall = later.wall - self.wall
        if self.boot and self.boot == later.boot:
            return min(by_wall, later.steady - self.steady)
        return by_wall


def _read_boot() -> str:
    # Linux counts its monotonic clock from the boot of the machine, the same for all processes.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""
    return boot if _BOOT.fullmatch(boot) else ""


# Read once, at import, because it is a file.
BOOT_ID: Final = _read_boot()


def _boot() -> str:
    return BOOT_ID
