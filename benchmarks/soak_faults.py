"""Creates under random faults, counted by an oracle: 0 duplicates, 0 lost, 0 false successes.

Every create has its own account and serie, on a local server with faults at every step: before
reading, while reading, after committing, with late commits, and in its responses. The soak runs
once with a server whose name check is atomic and once with one whose check is not. Time is virtual,
so schedules of minutes take no time. Afterwards every unknown outcome is resumed.

`python benchmarks/soak_faults.py [creates] [seed]` prints the counts and exits 1 on a violation.
"""

import asyncio
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    InvoiceXpressError,
    OutcomeUnknownError,
    Sequence,
    SessionManager,
    Timeouts,
)
from invoicexpress_async.sandbox import Fault, FaultServer, SandboxAccount, make_fault

_KEY = "soak-key-0123456789"
_ACCOUNTS = 500
_CONCURRENCY = 50
_SHARE = 0.2
_LATE_SECONDS = (0.5, 3.0, 20.0, 60.0, 300.0)

# A response that reports success must be true, so these always commit; others commit, or late, or
# not at all.
_ANSWERS = (
    "limit_data", "cut_chunk", "cut_without_length", "truncated_json", "invalid_json", "empty",
    "one_space", "null", "empty_object", "without_id", "status_line_only", "garbage",
    "two_lengths", "bad_gzip", "login_page", "byte_order_mark", "other_envelope",
)  # fmt: skip
_SILENCES = ("close_after_read", "reset_peer")
_UNREAD = ("close_unread", "reset_unread", "reset_half_body")


@attrs.define
class Tally:
    """The counts of one run."""

    creates: int = 0
    answered: int = 0
    unknown: int = 0
    refused: int = 0
    resumed: int = 0
    still_unknown: int = 0
    faults: int = 0
    duplicates: int = 0
    posted_twice: int = 0
    lost: int = 0
    false_successes: int = 0
    errors: Counter[str] = attrs.field(factory=Counter[str])

    @property
    def violations(self) -> int:
        """The number of violations, which must be 0."""
        return self.duplicates + self.posted_twice + self.lost + self.false_successes


def _plan(server: FaultServer) -> None:
    faults: dict[Fault, float] = {make_fault(name): 1.0 for name in (*_ANSWERS, *_UNREAD)}
    for name in _SILENCES:
        for commits in (True, False):
            faults[make_fault(name, commits=commits)] = 2.0
    for seconds in _LATE_SECONDS:
        late = {"commits": "late", "late_seconds": seconds}
        faults[make_fault("reset_peer", **late)] = 1.0
        faults[make_fault("status", status=504, **late)] = 1.0
    for status in (500, 502, 503):
        for commits in (True, False):
            faults[make_fault("status", status=status, commits=commits)] = 1.0
    server.faults.randomly(faults, share=_SHARE, operations=("create", "list"))


async def _create(
    account: AccountSession, serie: str, tally: Tally
) -> Sequence | InvoiceXpressError:
    try:
        result: Sequence | InvoiceXpressError = await account.sequences.create(serie)
        tally.answered += 1
    except OutcomeUnknownError as error:
        result = error
        tally.unknown += 1
    except InvoiceXpressError as error:
        result = error
        tally.refused += 1
        tally.errors[type(error).__name__] += 1
    return result


async def soak(creates: int, *, seed: int, is_name_check_atomic: bool) -> Tally:
    """Send `creates` creates, and compare their results with the server's oracle."""
    clock, tally = FakeClock(), Tally(creates=creates)
    accounts = [SandboxAccount(name=f"account-{n}", api_key=_KEY) for n in range(_ACCOUNTS)]
    server = FaultServer(
        accounts=accounts,
        seed=seed,
        clock=clock.now,
        sleep=clock.sleep,
        requests_per_minute=None,
        is_name_check_atomic=is_name_check_atomic,
    )
    numbers = iter(range(creates))
    results: dict[tuple[str, str], Sequence | InvoiceXpressError] = {}
    async with (
        server,
        SessionManager(
            base_url=server.base_url,
            clock=clock,
            rate_limit=None,
            timeouts=Timeouts(total_seconds=10_000),
        ) as manager,
    ):
        _plan(server)

        async def work() -> None:
            for number in numbers:
                name, serie = f"account-{number % _ACCOUNTS}", f"S{number // _ACCOUNTS}"
                account = manager.account(name, _KEY)
                results[name, serie] = await _create(account, serie, tally)

        await asyncio.gather(*(work() for _ in range(_CONCURRENCY)))
        tally.faults = sum(server.oracle.faults.values())
        server.faults.clear()
        clock.advance(1_000)  # by now every late commit has come, or never will
        await server.commit_late()
        await _resume(manager, results, tally)
        _judge(server, results, tally)
    return tally


async def _resume(
    manager: SessionManager,
    results: dict[tuple[str, str], Sequence | InvoiceXpressError],
    tally: Tally,
) -> None:
    for key, result in results.items():
        if not isinstance(result, OutcomeUnknownError) or result.intent is None:
            continue
        sequences = manager.account(key[0], _KEY).sequences
        try:
            results[key] = await sequences.resume(result.intent, timeout_seconds=0.5)
            tally.resumed += 1
        except OutcomeUnknownError:
            tally.still_unknown += 1


def _judge(
    server: FaultServer,
    results: dict[tuple[str, str], Sequence | InvoiceXpressError],
    tally: Tally,
) -> None:
    tally.duplicates = len(server.oracle.duplicates())
    for (name, serie), result in results.items():
        rows = server.oracle.commits(name, serie)
        tally.posted_twice += server.oracle.posts(name, serie) > 1
        if isinstance(result, Sequence):
            tally.false_successes += rows == 0
        else:
            # Lost: it is on the server, but neither a sequence nor an open intent was reported.
            tally.lost += rows > 0


def main(creates: int, seed: int) -> int:
    """Run both kinds of server and print their tallies."""
    violations = 0
    for is_atomic in (True, False):
        started = time.perf_counter()
        tally = asyncio.run(soak(creates // 2, seed=seed, is_name_check_atomic=is_atomic))
        seconds = time.perf_counter() - started
        print(f"name check atomic: {is_atomic}; seed {seed}; {seconds:.0f} s")
        for field in attrs.fields(Tally):
            print(f"  {field.name:16} {getattr(tally, field.name)}")
        print(f"  faulty           {tally.faults / tally.creates:.1%}")
        violations += tally.violations
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"violations: {violations}; peak memory of server and client together: {peak:.0f} MiB")
    return 1 if violations else 0


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(given[0] if given else 100_000, given[1] if given[1:] else 1))
