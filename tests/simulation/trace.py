"""The trace of a history, line by line."""

import hashlib
from collections import Counter

from simulation.loop import SimulatedLoop


class Trace:
    """The lines of a history; equal seeds give equal lines.

    Attributes:
        lines: All lines.
        troubles: The number of troubles, by kind.
    """

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.lines: list[str] = []
        self.troubles: Counter[str] = Counter()

    def trouble(self, kind: str, detail: str = "") -> None:
        """Add a line for a trouble, and count it."""
        self.troubles[kind] += 1
        self.note(f"{kind} {detail}".rstrip())

    def note(self, text: str, *, process: str | None = None) -> None:
        """Add a line, with the time and the name of the process."""
        name = process or self._loop.process.name
        self.lines.append(f"{self._loop.now - 1000:14.6f} {name:<10} {text}")

    def digest(self) -> str:
        """Return a hash of all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]
