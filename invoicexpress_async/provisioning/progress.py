"""How far a run is."""

from collections.abc import Mapping

import attrs

from invoicexpress_async.provisioning.report import RowState


@attrs.frozen(kw_only=True)
class Progress:
    """A run at one moment.

    Attributes:
        counts: The rows that have ended, by state, 0 included.
        total: The rows of the plan; None of a stream.
        waiting: The rows that were sent and are looked up later, or are tried again later.
        is_paused: Whether the server as a whole fails, so that one row at a time tries it.
        seconds: Since the run began.
        next_turn_in_seconds: How long the first of those that wait goes on waiting; None when
            none waits.
    """

    counts: Mapping[RowState, int]
    total: int | None
    waiting: int
    is_paused: bool
    seconds: float
    next_turn_in_seconds: float | None = None

    @property
    def ended(self) -> int:
        """How many rows have ended."""
        return sum(self.counts.values())
