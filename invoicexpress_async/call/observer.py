"""What is told of calls: events to a hook, lines to the log, counters for a health page."""

import itertools
import logging
import os
import sys
from collections.abc import Callable
from typing import Final, TypedDict

from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.events import AttemptEnded, BecameDefault, CallEnded, Event

LOG_VARIABLE: Final = "INVOICEXPRESS_LOG"
_LOGGER: Final = logging.getLogger("invoicexpress_async")
_LEVELS: Final = {"info": logging.INFO, "debug": logging.DEBUG}

EventHook = Callable[[Event], None]


class CallCounters(TypedDict):
    """How calls have ended.

    Attributes:
        seconds_since_success: None when there was none yet.
        errors: How many calls have raised each class.
        seconds_since_error: Of each class.
    """

    seconds_since_success: float | None
    errors: dict[str, int]
    seconds_since_error: dict[str, float]


class Observer:
    """Tells what happens, and lets nothing that is told harm a call."""

    def __init__(self, hook: EventHook | None, clock: Clock) -> None:
        self._hook = hook
        self._clock = clock
        self._prefix = f"{os.getpid():x}-{id(self) >> 4 & 0xFFFF:x}"
        self._numbers = itertools.count(1)
        self._last_success: float | None = None
        self._errors: dict[str, tuple[int, float]] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants to know of single attempts."""
        return self._hook is not None or _LOGGER.isEnabledFor(logging.DEBUG)

    def next_id(self) -> str:
        """Return an id for a call: of this process, never the same twice in it."""
        return f"{self._prefix}-{next(self._numbers):x}"

    def tell(self, event: Event) -> None:
        """Tell the hook; what it raises is logged, and harms nothing."""
        if _LOGGER.isEnabledFor(logging.DEBUG) and isinstance(event, AttemptEnded):
            _LOGGER.debug("%s", _attempt_line(event))
        if self._hook is None:
            return
        try:
            self._hook(event)
        except Exception:
            _LOGGER.exception("The on_event hook raised; the call goes on without it.")

    def note_success(self) -> None:
        """Count a call that ended well."""
        self._last_success = self._clock.now()

    def note_error(self, name: str) -> None:
        """Count a call that raised."""
        count, _ = self._errors.get(name, (0, 0.0))
        self._errors[name] = count + 1, self._clock.now()

    def warn_of_default(self, event: BecameDefault) -> None:
        """Report a sequence that became the default by itself, in the log too."""
        _LOGGER.warning(
            "%s %s: the new sequence %r (id %s) is the default, which was not asked for",
            event.request_id, event.account, event.serie, event.sequence_id,
        )  # fmt: skip
        self.tell(event)

    @property
    def is_listening(self) -> bool:
        """Whether anybody wants to know of the ends of calls."""
        return self._hook is not None or _LOGGER.isEnabledFor(logging.INFO)

    def tell_end(self, event: CallEnded, subject: str | None) -> None:
        """Tell of the end of a call, in the log too."""
        if _LOGGER.isEnabledFor(logging.INFO):
            _LOGGER.info("%s", _call_line(event, subject))
        self.tell(event)

    def counters(self) -> CallCounters:
        """Return how calls have ended."""
        now = self._clock.now()
        last = self._last_success
        return CallCounters(
            seconds_since_success=None if last is None else now - last,
            errors={name: count for name, (count, _) in self._errors.items()},
            seconds_since_error={name: now - when for name, (_, when) in self._errors.items()},
        )


def _call_line(event: CallEnded, subject: str | None) -> str:
    what = f"{event.operation} of {subject}" if subject else event.operation
    end = event.error or "done"
    doubt = ", in doubt" if event.is_in_doubt else ""
    return (
        f"{event.request_id} {event.account}: {what}: {end}{doubt} "
        f"in {event.seconds:.3f} s, {event.attempts} requests"
    )


def _attempt_line(event: AttemptEnded) -> str:
    status = event.status if event.error is None else event.error
    return (
        f"{event.request_id} {event.account}: {event.request} {event.attempt}: {event.evidence} "
        f"({status}) in {event.seconds:.3f} s"
    )


def set_up_logging(level: str | None) -> None:
    """Write the log to stderr as `INVOICEXPRESS_LOG` says; without it nothing is touched.

    Raises:
        ConfigurationError: it is neither info nor debug.
    """
    if not level:
        return
    if level.lower() not in _LEVELS:
        raise ConfigurationError(f"{LOG_VARIABLE} is {level!r:.20}: give info or debug.")
    _LOGGER.setLevel(_LEVELS[level.lower()])
    if not _LOGGER.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        _LOGGER.addHandler(handler)
