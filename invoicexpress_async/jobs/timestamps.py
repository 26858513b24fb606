"""Points in time that another process can measure from, whatever happens to the wall clock."""

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
        wall: Seconds since the epoch: known everywhere, and set at will.
        steady: Seconds on the monotonic clock: right, but of one start of one machine only.
        boot: Which start that was; "" where the system does not say.
    """

    wall: float
    steady: float
    boot: str

    @classmethod
    def now(cls) -> Self:
        """Return the present."""
        return cls(wall=time.time(), steady=time.monotonic(), boot=_boot())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `dump` wrote.

        Raises:
            ValueError: it is not that.
        """
        match json.loads(text):
            case [wall, steady, str(boot)] if {type(wall), type(steady)} <= {int, float}:
                if math.isfinite(wall) and math.isfinite(steady):
                    return cls(wall=wall, steady=steady, boot=boot)
            case _:
                pass
        raise ValueError("not a timestamp")

    def dump(self) -> str:
        """Return it as text."""
        return f'[{self.wall!r}, {self.steady!r}, "{self.boot}"]'

    def seconds_until(self, later: "Timestamp") -> float:
        """Return at least how much time has passed: the less of what the clocks say."""
        by_wall = later.wall - self.wall
        if self.boot and self.boot == later.boot:
            return min(by_wall, later.steady - self.steady)
        return by_wall


def _read_boot() -> str:
    # Linux counts its monotonic clock from the start of the machine, for all processes alike.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""
    return boot if _BOOT.fullmatch(boot) else ""


# Read once, at import: it is a file.
BOOT_ID: Final = _read_boot()


def _boot() -> str:
    return BOOT_ID
