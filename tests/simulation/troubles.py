"""The troubles of a history and their moments, all decided by the seed."""

import random
from enum import StrEnum
from typing import Final

import attrs

from simulation.loop import Process, SimulatedLoop
from simulation.trace import Trace


class Fate(StrEnum):
    """The fate of one request."""

    ANSWERED = "answered"
    LOST_RESET = "lost, reset"
    LOST_SILENT = "lost, silence"
    DONE_RESET = "done, reset"
    DONE_SILENT = "done, silence"
    DONE_CUT = "done, answer cut"
    DONE_5XX = "done, 5xx"
    DONE_GARBLED = "done, garbled 2xx"
    FAILED_5XX = "not done, 5xx"
    REFUSED_429 = "not done, 429"
    LATE_504 = "done later, 504 now"
    LATE_SILENT = "done later, silence"


LATE: Final = frozenset({Fate.LATE_504, Fate.LATE_SILENT})
LOST: Final = frozenset({Fate.LOST_RESET, Fate.LOST_SILENT})
_FAULTS: Final = tuple(one for one in Fate if one is not Fate.ANSWERED)
MAX_LATE_SECONDS: Final = 600.0
# Between a durable claim and its first byte: others may then read, and in the end send it.
_CLAIM_IS_WON: Final = "a claim is won"


@attrs.frozen(kw_only=True)
class Rates:
    """The rate of each kind of trouble in one history."""

    request: float
    connect: float
    kill: float
    freeze: float
    freeze_claimer: float
    clock_jump: float
    disk_full: float

    @classmethod
    def freezing(cls) -> "Rates":
        """Return the rates of a history in which processes freeze and little else goes wrong."""
        return cls(
            request=0.05,
            connect=0.0,
            kill=0.0,
            freeze=0.003,
            freeze_claimer=0.4,
            clock_jump=0.0,
            disk_full=0.0,
        )

    @classmethod
    def draw(cls, chance: random.Random, *, may_set_clocks: bool) -> "Rates":
        """Choose rates. Most histories have few kinds of trouble, so that each is seen clearly.

        Two machines have only their wall clocks in common, so these are right in that case.
        """

        def rate(share: float, most: float) -> float:
            return chance.uniform(0.0, most) if chance.random() < share else 0.0

        return cls(
            request=rate(0.85, 0.6),
            connect=rate(0.4, 0.3),
            kill=rate(0.7, 0.06),
            freeze=rate(0.7, 0.08),
            freeze_claimer=rate(0.5, 0.2),
            clock_jump=rate(0.3 * may_set_clocks, 0.03),
            disk_full=rate(0.25, 0.04),
        )


@attrs.define(kw_only=True)
class Troubles:
    """Decides at each moment whether something goes wrong.

    Attributes:
        is_calm: Whether nothing goes wrong any more.
        kills_left: How many processes may still be killed.
        disk_full_until: Until when the disk is full, on the loop's clock.
        strikes_responses: Whether it also strikes as a response arrives.
    """

    chance: random.Random
    loop: SimulatedLoop
    trace: Trace
    rates: Rates
    is_calm: bool = False
    kills_left: int = 6
    disk_full_until: float = 0.0
    strikes_responses: bool = False

    def _happens(self, rate: float) -> bool:
        return not self.is_calm and rate > 0 and self.chance.random() < rate

    def strike(self, moment: str) -> None:
        """Maybe kill or freeze the running process, or set its clock, at a critical moment."""
        process, rates = self.loop.process, self.rates
        if process is self.loop.world or not process.is_alive:
            return
        if self.kills_left and self._happens(rates.kill):
            self.kills_left -= 1
            self.trace.trouble(f"KILLED as {moment}")
            process.kill()
        elif self._happens(rates.freeze_claimer if moment == _CLAIM_IS_WON else rates.freeze):
            self._freeze(process, moment)
        elif self._happens(rates.clock_jump):
            process.machine.wall_offset += self.chance.choice(
                (-3600.0, -90.0, 90.0, 3600.0, 86_400.0)
            )
            self.trace.trouble("CLOCK SET", f"to be {process.machine.wall_offset:+.0f} s off")

    def _freeze(self, process: Process, moment: str) -> None:
        # Often long enough for others to find its claim absent, and to send it themselves.
        seconds = self.chance.choice((0.5, 20.0, 70.0, 400.0, 3_000.0, 8_000.0, 8_000.0))
        seconds *= self.chance.uniform(0.5, 1.5)
        is_asleep = self.chance.random() < 0.3
        if is_asleep:
            self.loop.sleep(process.machine, seconds)
        else:
            # Its machine may be asleep already: the later of both times counts.
            process.frozen_until = max(process.frozen_until, self.loop.now + seconds)
        how = "ASLEEP" if is_asleep else "FROZEN"
        self.trace.trouble(f"{how} as {moment}", f"for {seconds:.1f} s")

    def fate(self) -> Fate:
        """Return the fate of a request."""
        return self.chance.choice(_FAULTS) if self._happens(self.rates.request) else Fate.ANSWERED

    def connect_fails(self) -> bool:
        """Whether a connection is refused."""
        return self._happens(self.rates.connect)

    def is_disk_full(self) -> bool:
        """Whether nothing can be written at present."""
        if self._happens(self.rates.disk_full):
            self.disk_full_until = self.loop.now + self.chance.uniform(1.0, 300.0)
            self.trace.trouble("DISK FULL")
        return not self.is_calm and self.loop.now < self.disk_full_until

    def latency(self) -> float:
        """Return a latency in seconds."""
        if self._happens(0.05):
            return self.chance.uniform(0.5, 8.0)
        return self.chance.uniform(0.002, 0.06)

    def late_seconds(self) -> float:
        """Return how many seconds an effect comes after its request."""
        return self.chance.choice((1.0, 15.0, 80.0, MAX_LATE_SECONDS)) * self.chance.uniform(0.3, 1)
