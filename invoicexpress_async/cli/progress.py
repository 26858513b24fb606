"""Progress on stderr: a bar on a terminal, otherwise a line every few seconds."""

import abc
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Self

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from invoicexpress_async.cli.words import Language, decimal, word

_WINDOW_SECONDS: Final = 30.0
_SAMPLE_SECONDS: Final = 0.5
_MINUTE: Final = 60.0

_SECONDS_BETWEEN_LINES: Final = 5.0
_LEFT: Final = "{pace}, {time} left"
_IS_PAUSED: Final = "paused: the server fails"
_PAUSED: Final = "The server fails for every account: paused, one row at a time tries it."
_GOES_ON: Final = "The server responds again: going on."


class Pace:
    """Measures the rate over the last half minute, so that an earlier pause does not count."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._samples: deque[tuple[float, int]] = deque([(now(), 0)])
        self._last = self._samples[0]

    def add(self, count: int) -> None:
        moment = self._now()
        self._last = moment, count
        if moment - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append(self._last)
        while moment - self._samples[0][0] > _WINDOW_SECONDS and len(self._samples) > 1:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """The rate per second; 0 while it is not known."""
        (began, first), (moment, count) = self._samples[0], self._last
        return (count - first) / (moment - began) if moment > began else 0.0

    def text(self, left: int, language: Language = "en") -> str:
        """Return the rate and the time for the rest, such as "12/s, 3 min left"."""
        rate = self.per_second
        if rate <= 0:
            return ""
        text = f"{rate:.0f}/s" if rate >= 1 else f"{decimal(rate, language)}/s"
        if not left:
            return text
        return word(_LEFT, language, pace=text, time=_duration(left / rate, language))


def _duration(seconds: float, language: Language) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE
    if minutes < 2 * _MINUTE:
        return f"{minutes:.0f} min"
    return f"{decimal(minutes / _MINUTE, language)} h"


@attrs.frozen(kw_only=True)
class Step:
    """The progress at one moment.

    Attributes:
        ended: How many items have ended.
        skipped: How many of these took no time, and do not count for the rate.
        text: The counts, in words.
        brief: The counts for a bar; `text` if it is empty.
        is_paused: Whether the server as a whole fails.
    """

    ended: int
    text: str
    skipped: int = 0
    brief: str = ""
    is_paused: bool = False


class ProgressView(abc.ABC):
    """Shows the progress of a run; a context manager."""

    def __init__(
        self, total: int, language: Language = "en", *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._language: Language = language
        self._total, self._now, self._pace = total, now, Pace(now=now)
        self._step, self._last_line = Step(ended=0, text=""), now()

    def update(self, step: Step) -> None:
        before, self._step = self._step, step
        self._pace.add(step.ended - step.skipped)
        if step.is_paused is not before.is_paused:
            self.print(word(_PAUSED if step.is_paused else _GOES_ON, self._language))
        self._show()

    @abc.abstractmethod
    def print(self, text: str) -> None:
        """Write a line."""

    @abc.abstractmethod
    def _show(self) -> None:
        """Show the step if it is due."""

    @property
    def _pace_text(self) -> str:
        if self._step.is_paused:
            return word(_IS_PAUSED, self._language)
        return self._pace.text(self._total - self._step.ended, self._language)

    def __enter__(self) -> Self:
        return self

    @abc.abstractmethod
    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Show the last step."""


class Bar(ProgressView):
    """A bar with the counts, the rate and the time left, or a note that the run is paused."""

    def __init__(self, total: int, language: Language = "en") -> None:
        super().__init__(total, language)
        self._progress = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            TextColumn("{task.fields[pace]}", style="dim"),
            console=Console(stderr=True),
            # Else Rich would send what is written to stdout, which is data, to this console.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=total, counts="", pace="")

    def print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def _show(self) -> None:
        step, pace = self._step, self._pace_text
        self._progress.update(
            self._task, completed=step.ended, counts=step.brief or step.text, pace=pace
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, _exc_type: type[BaseException] | None, *_: object) -> None:
        self._progress.stop()


class Lines(ProgressView):
    """Lines for logs: at most one every five seconds, and one at the end."""

    def print(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _show(self) -> None:
        if self._now() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._write()

    def _write(self) -> None:
        self._last_line, step = self._now(), self._step
        self._pace.add(step.ended - step.skipped)
        text = f"{step.ended}/{self._total} {step.text} {self._pace_text}"
        self.print(" ".join(text.split()))

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is None or self._step.ended:
            self._write()


def open_progress(total: int, language: Language = "en", *, as_json: bool) -> ProgressView:
    # A bar and JSON lines on one screen would overwrite each other.
    is_bar = sys.stderr.isatty() and not (as_json and sys.stdout.isatty())
    return Bar(total, language) if is_bar else Lines(total, language)
