"""Progress on stderr: a bar on a terminal, else a line every few seconds."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from invoicexpress_async.provisioning import RowOutcome, RowState

_SECONDS_BETWEEN_LINES: Final = 5.0


class ProgressView(Protocol):
    """What a run tells of its outcomes."""

    def note(self, outcome: RowOutcome) -> None:
        """Count one outcome."""
        ...

    def say(self, text: str) -> None:
        """Write a line."""
        ...


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f}/s", "dim")


class Bar:
    """The bar: count, failures, rate, time left."""

    def __init__(self, total: int) -> None:
        self._counts: Counter[RowState] = Counter()
        self._progress = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            _RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=Console(stderr=True),
            # Rich would send what is written to stdout, our data, to this console instead.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=total, counts="")

    def note(self, outcome: RowOutcome) -> None:
        """Move the bar."""
        self._counts[outcome.state] += 1
        self._progress.update(self._task, advance=1, counts=count_text(self._counts))

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


class Lines:
    """The lines, for logs: no more than one in five seconds, and one at the end."""

    def __init__(self, total: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._now = now
        self._started = self._last = now()
        self._counts: Counter[RowState] = Counter()

    def note(self, outcome: RowOutcome) -> None:
        """Count, and write a line when it is time."""
        self._counts[outcome.state] += 1
        if self._now() - self._last >= _SECONDS_BETWEEN_LINES:
            self._write()

    def say(self, text: str) -> None:
        """Write a line."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._write()

    def _write(self) -> None:
        self._last = self._now()
        count = self._counts.total()
        rate = count / max(self._last - self._started, 1e-9)
        left = f", {(self._total - count) / rate:.0f} s left" if 0 < count < self._total else ""
        text = f"{count}/{self._total} {count_text(self._counts)} {rate:.0f}/s{left}"
        sys.stderr.write(" ".join(text.split()) + "\n")
        sys.stderr.flush()


def count_text(counts: Counter[RowState]) -> str:
    """Return the counts of the states that occurred, such as "12 done, 1 refused"."""
    return ", ".join(f"{counts[state]} {state}" for state in RowState if counts[state])


def open_progress(total: int, *, is_bar: bool) -> AbstractContextManager[ProgressView]:
    """Return the bar or the lines."""
    return Bar(total) if is_bar else Lines(total)
