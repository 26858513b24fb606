"""The year in the name of a serie, and the next year's name. An unclear name is not guessed."""

import datetime as dt
import re
from typing import Final, NamedTuple

from invoicexpress_async.config import check_new_serie
from invoicexpress_async.errors import ConfigurationError, StepBackwardsError
from invoicexpress_async.jobs.settings import check_day, today_in_lisbon

_PLACES: Final = re.compile(r"\{(year|yy)\}")
_FOUR_DIGITS: Final = re.compile(r"(?<!\d)20\d\d(?!\d)")
_TWO_DIGITS: Final = re.compile(r"([^\W\d_]*)(?<!\d)(\d\d)(?!\d)([^\W\d_]*)")
# "A26", "FR26" and "26A" have a year; "STUDIO27" and "26DEABRIL" are words.
_MAX_LETTERS_BESIDE: Final = 2
_WIDE: Final = 4
_CENTURY: Final = 2000


def next_serie(current: str, year: int) -> str | None:
    """Return the name with last year's number replaced by that of `year`, or None.

    `2026` becomes `2027`, `FR2026` `FR2027`, `A26` `A27`. A name that already has the number of
    `year` stays as it is. None: the name has neither number, or more than one. Two digits in a
    word, as in `STUDIO27`, are not a year.
    """
    places = [one for one in _years(current) if one.year in {year - 1, year}]
    if len(places) != 1:
        return None
    (place,) = places
    before, after = place.left_in(current)
    return before + str(year)[-place.width :] + after


def has_year(serie: str, year: int) -> bool:
    """Whether a name contains this year and no other."""
    found = _years(serie)
    # The year of "A12-2027" is 2027: two digits count only where no four digits are a year.
    wide = [one for one in found if one.width == _WIDE]
    return [one.year for one in wide or found] == [year]


def coming_year(serie: str, this_year: int) -> int | None:
    """Return the year in a name if it is a future year, or None.

    Two digits count only if they mean the next year: `A45` does not mean 2045.
    """
    later = [
        one.year
        for one in _years(serie)
        if one.year == this_year + 1 or (one.width == _WIDE and one.year > this_year)
    ]
    return later[0] if len(later) == 1 else None


def is_step_backwards(current: str, serie: str) -> bool:
    """Whether the name of a serie has an earlier year than the name of the present default."""
    old, new = _years(current), _years(serie)
    if len(old) != 1 or len(new) != 1 or new[0].year >= old[0].year:
        return False
    # Two digits are certainly a year only where the rest of the name is the same.
    has_four_digits = old[0].width == new[0].width == _WIDE
    return has_four_digits or old[0].left_in(current) == new[0].left_in(serie)


def step_backwards(account: str, current: str, to: object) -> StepBackwardsError:
    """Return the error for an account whose default has a later year than the planned serie."""
    return StepBackwardsError(
        f"Account {account}: {to} after its default {current!r} would be a step backwards."
    )


def serie_of_pattern(pattern: str, year: int) -> str:
    """Return a pattern with `{year}` (2027) and `{yy}` (27) filled in.

    Raises:
        ConfigurationError: the pattern has neither, or the result is not a valid serie.
    """
    if not _PLACES.search(pattern):
        raise ConfigurationError(f"The pattern {pattern!r:.80} has neither {{year}} nor {{yy}}.")
    serie = pattern.replace("{year}", str(year)).replace("{yy}", str(year)[-2:])
    if {"{", "}"} & {*serie}:
        raise ConfigurationError(
            f"The pattern {pattern!r:.80} has a brace that is not of {{year}} or {{yy}}."
        )
    return check_new_serie(serie)


class _Year(NamedTuple):
    start: int
    end: int
    year: int

    @property
    def width(self) -> int:
        return self.end - self.start

    def left_in(self, name: str) -> tuple[str, str]:
        return name[: self.start], name[self.end :]


def _years(name: str) -> list[_Year]:
    """Return the numbers in a name that can be a year, of four digits or two."""
    four = [_Year(*one.span(), int(one[0])) for one in _FOUR_DIGITS.finditer(name)]
    two = [
        _Year(*one.span(2), _CENTURY + int(one[2]))
        for one in _TWO_DIGITS.finditer(name)
        if len(one[1]) + len(one[3]) <= _MAX_LETTERS_BESIDE
    ]
    return four + two


_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2099


def default_day(
    year: int, *, not_before: dt.date | None = None, default_now: bool = False
) -> dt.date | None:
    """Return the day, in Lisbon, on which a roll-over makes the new series the default.

    It is 1 January of the year, or `not_before` if that is later. None means at once, and is
    returned with `default_now` only.

    Raises:
        ConfigurationError: the year or the day is invalid, or the time-zone data that give the
            start of that day are missing.
    """
    check_year(year)
    if default_now:
        if not_before is not None:
            raise ConfigurationError("A day and default_now contradict each other: give one.")
        return None
    first = dt.date(year, 1, 1)
    if not_before is not None:
        check_day("not_before", not_before)
    if not_before is not None and not_before < first:
        raise ConfigurationError(
            f"{not_before} is before {first}, when {year} begins: invoices of {year - 1} would get "
            f"numbers of {year}. Give {first} or later. To make it the default at once: "
            "--default-now, or default_now=True."
        )
    today_in_lisbon()
    return not_before or first


def check_year(year: int) -> None:
    """Refuse a year outside 2000 to 2099.

    Raises:
        ConfigurationError: the year is not an int in that range.
    """
    if type(year) is not int or not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ConfigurationError(f"year is {year!r:.20}: give that of the new serie, such as 2027.")
