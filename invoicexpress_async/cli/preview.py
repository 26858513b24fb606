"""The reads of the accounts before a run, with progress, and timed for an estimate."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Final

import attrs

from invoicexpress_async import RateLimit
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.options import RunOptions
from invoicexpress_async.cli.progress import Step, open_progress
from invoicexpress_async.cli.shell import INTERRUPTED, echo
from invoicexpress_async.cli.signals import Interruption
from invoicexpress_async.cli.views.preview import CREATE, DEFAULT, PreviewLine
from invoicexpress_async.cli.words import Language, counted, word
from invoicexpress_async.config import BaseUrl
from invoicexpress_async.provisioning import AccountAudit

_LOOKING: Final = "Looking at {accounts} at {where}."
_LOOKED_AT: Final = "looked at"
_INTERRUPTED: Final = (
    "Interrupted: {seen} of {count} accounts looked at. Nothing was changed: run the same command "
    "again."
)
_SHORT: Final = "The run would take less than a minute, at the pace of these reads."
_LONG: Final = (
    "The run would take about {first} to {last} minutes, at the pace of these reads: a request "
    "that changes something may take longer."
)
# A create registers up to 16 document types at the tax authority, a read none. The provider's
# server was never measured, so the estimate is a range up to this factor.
_TIMES_SLOWER: Final = 5
_MINUTE: Final = 60.0


@attrs.frozen(kw_only=True)
class Estimate:
    """The estimated time of a run, at the pace of the reads before it."""

    shortest_seconds: float
    longest_seconds: float

    def text(self, language: Language) -> str:
        if self.longest_seconds < _MINUTE:
            return word(_SHORT, language)
        first, last = self.shortest_seconds / _MINUTE, self.longest_seconds / _MINUTE
        return word(_LONG, language, first=f"{max(first, 1):.0f}", last=f"{max(last, 2):.0f}")

    def as_object(self) -> dict[str, float]:
        return {
            "shortest_seconds": round(self.shortest_seconds, 1),
            "longest_seconds": round(self.longest_seconds, 1),
        }


@attrs.define(eq=False, kw_only=True)
class Preview:
    """The reads of a command before its run, one per account.

    Attributes:
        count: How many accounts are to be read.
        options: How many accounts are read at a time, and the language of the texts.
        as_json: Whether stdout has JSON.
        interruption: Ends the reads early.
        seen: How many accounts have been read.
        seconds: The time from the start to the last of these reads.
    """

    count: int
    options: RunOptions
    as_json: bool
    interruption: Interruption = attrs.field(factory=Interruption)
    seen: int = 0
    seconds: float = 0.0

    @contextlib.contextmanager
    def shown(self, where: BaseUrl) -> Generator[Callable[[AccountAudit], None]]:
        """Show the progress. The block must call the yielded function with each account."""
        if not self.count:
            yield lambda _: None
            return
        language, started = self.options.language, time.monotonic()
        show_looking(self.count, where, language)
        looked_at = word(_LOOKED_AT, language)
        with (
            self.interruption.catching(),
            open_progress(self.count, language, as_json=self.as_json) as progress,
        ):

            def on_account(_: AccountAudit) -> None:
                self.seen += 1
                self.seconds = time.monotonic() - started
                progress.update(Step(ended=self.seen, text=looked_at))

            yield on_account

    def print_interrupted(self) -> int:
        """Print that the reads were interrupted, and return the exit code."""
        text = self.options.said(_INTERRUPTED, seen=self.seen, count=self.count)
        print_failure(text, as_json=self.as_json)
        return INTERRUPTED

    def estimate(
        self, lines: Iterable[PreviewLine], *, is_staged: bool, reads: int = 0
    ) -> Estimate:
        """Return the estimated time of a run of these lines.

        Args:
            lines: The lines.
            is_staged: Whether a serie becomes the default only after another read of it.
            reads: How many more reads the run sends before its work.
        """
        limit, workers = RateLimit(), min(self.options.concurrency, max(self.seen, 1))
        seconds = self.seconds * workers / max(self.seen, 1)
        costs = Counter[str]()
        slower_costs = Counter[str]()
        for line in lines:
            all_requests, changes = requests_of(line, is_staged=is_staged)
            costs[line.account] += all_requests
            slower_costs[line.account] += all_requests + changes * (_TIMES_SLOWER - 1)
        # The rows of one account run one after the other, within the account's limit.
        waits = (
            (count - 1) // limit.allowed * limit.per_seconds for count in costs.values() if count
        )
        wait = max(waits, default=0.0)

        def duration(found: Counter[str]) -> float:
            together = (found.total() + reads) * seconds / workers
            one = max(found.values(), default=0) * seconds
            return max(together, one, wait)

        return Estimate(shortest_seconds=duration(costs), longest_seconds=duration(slower_costs))


def show_looking(count: int, where: BaseUrl, language: Language) -> None:
    """Show that accounts are about to be read, and from which server."""
    accounts = counted(count, "accounts", language, one="account")
    echo(word(_LOOKING, language, accounts=accounts, where=where.template))


def requests_of(line: PreviewLine, *, is_staged: bool) -> tuple[int, int]:
    """Return how many requests a row needs, and how many of them change something."""
    if line.is_settled or line.error is not None:
        return 0, 0
    actions = line.actions
    # A create can set the default itself, unless staged; else the flag is read afterwards.
    is_default_by_create = CREATE in actions and DEFAULT in actions and not is_staged
    changes = len(actions) - is_default_by_create
    reads = 1 + (CREATE in actions and not is_default_by_create)
    if DEFAULT in actions and not is_default_by_create:
        reads += 1 + is_staged
    return reads + changes, changes
