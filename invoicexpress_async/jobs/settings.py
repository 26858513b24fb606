"""The settings of a run."""

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from invoicexpress_async.config import boolean, check_seconds
from invoicexpress_async.errors import ConfigurationError

# Half of a manager's connections, so that a web service that shares the manager is not starved.
DEFAULT_CONCURRENCY: Final = 50
# The tax authority's day begins in Lisbon.
_ZONE: Final = "Europe/Lisbon"
# A server can commit minutes after a lost response: sending again earlier makes a duplicate.
_MIN_RESEND_SECONDS: Final = 900.0


def _check_resend(_: object, __: object, seconds: float | None) -> None:
    if seconds is None:
        return
    if check_seconds("resend_absent_after", seconds) < _MIN_RESEND_SECONDS:
        raise ConfigurationError(
            f"resend_absent_after is {seconds} seconds: give {_MIN_RESEND_SECONDS:.0f} or "
            "more, since a server can commit minutes after a lost response."
        )


def _check_patience(_: object, __: object, seconds: float) -> None:
    check_seconds("outage_patience_seconds", seconds)


def _check_day(_: object, __: object, day: dt.date | None) -> None:
    if day is not None:
        check_day("default_not_before", day)
        today_in_lisbon()  # without time-zone data each row would fail


def check_day(name: str, day: object) -> None:
    """Refuse what is no day; a point in time is none, as it has a zone of its own.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(day, dt.date) or isinstance(day, dt.datetime):
        raise ConfigurationError(f"{name} is {day!r:.40}: give a datetime.date.")


@attrs.frozen(kw_only=True)
class RunSettings:
    """The settings of a run.

    Attributes:
        resend_absent_after: Seconds, 900 or more. A create whose response was lost is sent again
            when two complete lists do not show its sequence: the first this long after the send,
            the second this long after the first. None: it is never sent again. The caller takes
            the remaining risk that the server commits even later.
        retry_refused: Try again what an earlier run recorded as refused: the cause was removed.
        accept_changes: Continue although the plan and the journal differ.
        accept_added: Continue although the plan has rows that the journal does not have.
        outage_patience_seconds: How long the server may fail as a whole before the run ends.
        is_staged: Create the sequence without the default, check that it is registered, and only
            then make it the default, unless it would replace a later year's; as in `rollover`.
        default_not_before: The day, in Lisbon, before which no sequence becomes the default; until
            then a row ends as prepared.
    """

    resend_absent_after: float | None = attrs.field(default=None, validator=_check_resend)
    retry_refused: bool = attrs.field(default=False, validator=boolean)
    accept_changes: bool = attrs.field(default=False, validator=boolean)
    accept_added: bool = attrs.field(default=False, validator=boolean)
    outage_patience_seconds: float = attrs.field(default=3600.0, validator=_check_patience)
    is_staged: bool = attrs.field(default=False, validator=boolean)
    default_not_before: dt.date | None = attrs.field(default=None, validator=_check_day)

    def may_default(self) -> bool:
        """Whether, today in Lisbon, a new serie may become the default."""
        return self.default_not_before is None or self.default_not_before <= today_in_lisbon()


def today_in_lisbon() -> dt.date:
    """Return today's date in Lisbon, where the tax authority is.

    Raises:
        ConfigurationError: this machine has no time-zone data.
    """
    return dt.datetime.now(tz=_lisbon()).date()


def seconds_until_in_lisbon(day: dt.date) -> float:
    """Return the seconds until a day begins in Lisbon; 0 when it has begun.

    Raises:
        ConfigurationError: this machine has no time-zone data.
    """
    zone = _lisbon()
    begins = dt.datetime.combine(day, dt.time(), tzinfo=zone)
    return max(0.0, begins.timestamp() - dt.datetime.now(tz=zone).timestamp())


def _lisbon() -> ZoneInfo:
    try:
        return ZoneInfo(_ZONE)
    except ZoneInfoNotFoundError:
        pass
    raise ConfigurationError(f"There is no time-zone data for {_ZONE}: pip install tzdata.")


def check_concurrency(concurrency: object) -> int:
    """Check the number of items that may be in flight at a time, and return it.

    Raises:
        ConfigurationError: it is not a positive integer.
    """
    if type(concurrency) is not int or concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency!r:.40}: give 1 or more.")
    return concurrency
