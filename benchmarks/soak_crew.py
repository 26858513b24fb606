"""Several processes of one job at the same time, killed, frozen and woken at random."""

import multiprocessing.process
import os
import random
import signal
import time
from collections.abc import Callable

import attrs

# Shorter than the time for which a process waits for the lock of another process on the file.
_LONGEST_FREEZE_SECONDS = 1.0
_FREEZES_FOR_A_KILL = 2.0
_POLL_SECONDS = 0.005
_LONGEST_WAIT_SECONDS = 30.0

Process = multiprocessing.process.BaseProcess


@attrs.define(kw_only=True)
class Crew:
    """Keeps `size` processes running. Ended processes are started again before the next kill.

    Attributes:
        size: How many processes run.
        start: Starts a process.
        creates: Returns how many creates the server has received.
        dice: Chooses the process and the moment.
        kills: How many processes were killed so far.
        kills_while_frozen: How many of them were frozen then.
        freezes: How often a process was frozen.
    """

    size: int
    start: Callable[[], Process]
    creates: Callable[[], int]
    dice: random.Random
    kills: int = 0
    kills_while_frozen: int = 0
    freezes: int = 0
    _running: list[Process] = attrs.field(factory=list[Process])
    _wake_at: dict[Process, float] = attrs.field(factory=dict[Process, float])

    def kill_one(self, *, creates: int) -> None:
        """Let all work until about `creates` more creates have come, then kill one process."""
        self._fill()
        wanted = self.creates() + self.dice.randint(1, max(1, 2 * creates))
        until = time.monotonic() + _LONGEST_WAIT_SECONDS
        while self.creates() < wanted and self._is_busy() and time.monotonic() < until:
            self._wake_those_due()
            if self.dice.random() < _FREEZES_FOR_A_KILL * _POLL_SECONDS / _LONGEST_FREEZE_SECONDS:
                self._freeze(self.dice.choice(self._running))
            time.sleep(_POLL_SECONDS)
        if self.dice.random() < 1 / self.size:
            self._freeze(self.dice.choice(self._running))
        time.sleep(self.dice.uniform(0.0, 0.03))
        alive = [one for one in self._running if one.is_alive()]
        self._kill(self.dice.choice(alive or self._running))

    def finish(self, seconds: float) -> None:
        """Wake all processes, and wait until they have ended by themselves."""
        for process in self._running:
            self._wake(process)
        for process in self._running:
            process.join(seconds)
        self._check()
        assert not self._is_busy(), "one does not end by itself"

    def _check(self) -> None:
        for process in self._running:
            assert process.exitcode in {None, 0, -signal.SIGKILL}, "one failed by itself"

    def _fill(self) -> None:
        self._check()
        self._running = [one for one in self._running if one.is_alive()]
        self._running += [self.start() for _ in range(self.size - len(self._running))]

    def _is_busy(self) -> bool:
        return any(one.is_alive() for one in self._running)

    def _wake_those_due(self) -> None:
        for process in [one for one, when in self._wake_at.items() if when < time.monotonic()]:
            self._wake(process)

    def _wake(self, process: Process) -> None:
        if self._wake_at.pop(process, None) is not None:
            _signal(process, signal.SIGCONT)

    def _freeze(self, process: Process) -> None:
        if process not in self._wake_at and process.is_alive():
            _signal(process, signal.SIGSTOP)
            seconds = self.dice.uniform(0.0, _LONGEST_FREEZE_SECONDS)
            self._wake_at[process] = time.monotonic() + seconds
            self.freezes += 1

    def _kill(self, process: Process) -> None:
        is_frozen = self._wake_at.pop(process, None) is not None
        process.kill()
        process.join()
        was_killed = process.exitcode == -signal.SIGKILL
        self.kills += was_killed
        self.kills_while_frozen += was_killed and is_frozen


def _signal(process: Process, number: signal.Signals) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)
