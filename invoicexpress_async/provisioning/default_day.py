"""The day on which a roll-over makes the new series the default."""

import datetime as dt
from typing import Final

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.settings import today_in_lisbon

_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2099


def default_day(
    year: int, *, not_before: dt.date | None = None, default_now: bool = False
) -> dt.date | None:
    """Return the day, in Lisbon, on which a roll-over makes the new series the default.

    It is 1 January of the year, or the later day of `not_before`; None, at once, with
    `default_now` only.

    Raises:
        ConfigurationError: a year or a day that cannot be right, or no time-zone data to know
            when that day begins.
    """
    check_year(year)
    if default_now:
        if not_before is not None:
            raise ConfigurationError("A day and default_now contradict each other: give one.")
        return None
    first = dt.date(year, 1, 1)
    if not_before is not None and not_before < first:
        raise ConfigurationError(
            f"{not_before} is before {first}, when {year} begins: invoices of {year - 1} would get "
            f"numbers of {year}. Give {first} or later; at once is default_now."
        )
    today_in_lisbon()
    return not_before or first


def check_year(year: int) -> None:
    """Refuse a year that cannot be right.

    Raises:
        ConfigurationError: it cannot.
    """
    if type(year) is not int or not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ConfigurationError(f"year is {year!r:.20}: give that of the new serie, such as 2027.")
