"""The holders of a journal's slices, and whether they still renew their leases."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import attrs

from invoicexpress_async.cli.output import data_console, new_table, print_more
from invoicexpress_async.cli.words import Language, word
from invoicexpress_async.jobs.postgres import LEASE_SECONDS, WINDOW_SECONDS, SliceLeft
from invoicexpress_async.provisioning import JournalStatus

# A holder renews its lease five times in the length of a lease.
_UNSEEN_AFTER_SECONDS: Final = LEASE_SECONDS / 2
_UNSEEN: Final = "{holder}, not seen since {since}; free at {free_at}"
_MAX_ROWS: Final = 20


@attrs.frozen(kw_only=True)
class Unseen:
    """A holder that has not renewed its lease lately: it was killed, or lost its connection."""

    since: dt.datetime
    free_at: dt.datetime


def unseen(one: SliceLeft) -> Unseen | None:
    """Return since when a slice's holder has not been seen; None if it was seen or there is none.

    Assumes the default length of the lease and of the time after it.
    """
    if one.holder is None or one.over_seconds is None:
        return None
    seconds = one.over_seconds + LEASE_SECONDS
    if seconds < _UNSEEN_AFTER_SECONDS:
        return None
    now = dt.datetime.now(tz=dt.UTC)
    free_in = WINDOW_SECONDS - one.over_seconds
    return Unseen(
        since=now - dt.timedelta(seconds=seconds), free_at=now + dt.timedelta(seconds=free_in)
    )


def is_running(status: JournalStatus) -> bool:
    """Whether a process holds the journal and still renews its lease."""
    held = [one for one in status.slices if one.holder is not None]
    return bool(status.holder) and (not held or any(unseen(one) is None for one in held))


def show_slices(held: Sequence[SliceLeft], language: Language) -> None:
    """Show the held slices with their holders."""
    rows = (
        (one.number, one.rows, _holder(one, language), short_time(one.since))
        for one in held[:_MAX_ROWS]
    )
    names = ("slice", "rows left", "held by", "since")
    table = new_table(*names, rows=rows, numbers=names[:2], language=language)
    data_console().print("", table, sep="\n")
    print_more("… {count} more", len(held) - _MAX_ROWS, language)


def _holder(one: SliceLeft, language: Language) -> str | None:
    if (gone := unseen(one)) is None:
        return one.holder
    since, free_at = clock_time(gone.since), clock_time(gone.free_at)
    return word(_UNSEEN, language, holder=one.holder, since=since, free_at=free_at)


def clock_time(moment: dt.datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"


def short_time(moment: dt.datetime | None) -> str | None:
    """Return a moment in local time, with its day unless that is today."""
    if moment is None:
        return None
    local = moment.astimezone()
    is_today = local.date() == dt.datetime.now().astimezone().date()
    return f"{local:%H:%M}" if is_today else f"{local:%m-%d %H:%M}"
