"""The counts of soaks, the comparison of a journal with the server, and the final report."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Protocol, cast

import attrs
from soak_server import ask, name_of

AGAIN_SECONDS = 900.0
_SHARES = {"median": 0.5, "p95": 0.95, "p99": 0.99}


class Counts(attrs.AttrsInstance, Protocol):
    """The counts of a soak."""

    @property
    def violations(self) -> int:
        """The number of violations, which must be 0."""
        ...


@attrs.define
class Violations:
    """Counts that must be 0."""

    duplicates: int = 0
    posted_twice: int = 0
    lost: int = 0
    false_done: int = 0
    not_done_at_last: int = 0

    @property
    def violations(self) -> int:
        """The sum of these counts."""
        wrong = self.duplicates + self.posted_twice + self.lost
        return wrong + self.false_done + self.not_done_at_last


@attrs.define
class JobTally(Violations):
    """The counts of a job whose rows are one serie for each account of a server."""

    creates: int = 0
    lost_answers: int = 0
    absent_at_the_end: int = 0

    def judge(self, server: Connection, states: dict[str, str]) -> None:
        """Compare the states in the journal with the server's oracle."""
        rows = cast("list[int]", ask(server, "rows"))
        posts = cast("list[int]", ask(server, "posts"))
        self.creates = sum(posts)
        self.posted_twice = sum(one > 1 for one in posts)
        for number, count in enumerate(rows):
            state = states[name_of(number)]
            self.duplicates += count > 1
            self.lost += count > 0 and state != "done"
            self.false_done += count == 0 and state == "done"
        self.absent_at_the_end = Counter(states.values())["absent"]

    def judge_the_last_run(self, server: Connection, states: dict[str, str]) -> None:
        """Check that every account has exactly one row now."""
        rows = cast("list[int]", ask(server, "rows"))
        self.duplicates += sum(count > 1 for count in rows)
        done = sum(state == "done" for state in states.values())
        self.not_done_at_last = len(rows) - min(done, sum(count == 1 for count in rows))


def long_ago() -> str:
    """Return a time so far back that the next list without the row allows another send."""
    return json.dumps([time.time() - 3 * AGAIN_SECONDS, 0, ""])


def spread(values: Sequence[float]) -> str:
    """Return the middle and the upper end of some figures as text."""
    if not values:
        return "not measured"
    ordered = sorted(values)
    shares = (f"{ordered[int(len(ordered) * one)]:.2f} {name}" for name, one in _SHARES.items())
    return f"{', '.join(shares)}, {ordered[-1]:.1f} most"


def report(title: str, tally: Counts, **more: object) -> int:
    """Print the counts; return the exit code."""
    print(title)
    for name, value in attrs.asdict(tally).items():
        if isinstance(value, int | float):
            print(f"  {name:26} {value:.0f}")
    for name, value in more.items():
        print(f"  {name:26} {value}")
    print(f"violations: {tally.violations}")
    return 1 if tally.violations else 0
