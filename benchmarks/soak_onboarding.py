"""Companies onboarded under random faults by a process that is killed with -9, again and again.

The partner's local server has faults at every call: it closes before and after committing, cuts
responses, and responds with 5xx to requests that it applied or not. The onboarding runs in its own
process, killed at random instants and started again with the same journal and spool; then once more
to its end. Its report on each company is compared with the server's oracle.

`python benchmarks/soak_onboarding.py [companies] [kills] [seed]` prints the counts and exits 1 on a
violation.
"""

import asyncio
import contextlib
import csv
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
from soak_tally import report

from invoicexpress_async import (
    AtCredentials,
    NewAccount,
    RetryPolicy,
    SessionManager,
    Timeouts,
)
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyOutcome,
    CsvSink,
    KeySpool,
    onboard,
)
from invoicexpress_async.provisioning import PostgresJournal, SqliteJournal
from invoicexpress_async.sandbox import Fault, FaultServer, SandboxAccount, make_fault

KEY = "soak-partner-key"
USER_PASSWORD = "soak-user-password"  # noqa: S105  # a made-up one
AT_PASSWORD = "soak-at-password"  # noqa: S105  # a made-up one
_SHARE = 0.03
_CUT_ANSWERS = ("limit_data", "truncated_json", "empty", "status_line_only", "bad_gzip")
_SETTLING_RUNS = 2
_AT_PATH = "/api/v3/accounts/at_communication.json"
# The same credentials are sent at most this often without a known outcome, over all runs.
_MOST_AT_SENDS = 3


def nif(number: int) -> str:
    """Return the fiscal number of an invented company, with its check digit."""
    digits = f"5{number:07d}"
    rest = sum(int(one) * weight for one, weight in zip(digits, range(9, 1, -1), strict=True)) % 11
    return f"{digits}{(11 - rest) % 11 % 10}"


def companies(count: int, *, all_are_right: bool = False) -> CompanyList:
    """Return `count` companies; each tenth has a wrong AT password, unless all are right."""
    return CompanyList(
        companies=[
            Company(
                account=NewAccount(
                    organization_name=f"Company {number}",
                    email=f"company-{number}@example.com",
                    password=USER_PASSWORD,
                    accepts_terms=True,
                    fiscal_id=nif(number),
                ),
                serie="2027",
                at=AtCredentials(
                    subuser=f"{nif(number)}/1",
                    password=AT_PASSWORD if all_are_right or number % 10 else "wrong",
                ),
            )
            for number in range(count)
        ]
    )


async def job(base_url: str, folder: Path, count: int, url: str | None = None) -> None:
    """Run the onboarding, as the main function of its own process; print each outcome.

    With the URL of a database, the journal is in it, and the first series are left to workers.
    """

    def note(outcome: CompanyOutcome) -> None:
        reported = {
            "fiscal_id": outcome.company.fiscal_id,
            "step": outcome.step,
            "state": outcome.state,
            "name": outcome.account_name,
            "error": outcome.error_name,
        }
        print(json.dumps(reported), flush=True)

    quick = RetryPolicy(read_after_seconds=(0.1, 0.3, 1.0))
    async with (
        PostgresJournal(url) if url else SqliteJournal(folder / "onboarding.db") as journal,
        SessionManager(
            base_url=base_url, rate_limit=None, retry=quick, timeouts=Timeouts(total_seconds=20)
        ) as manager,
    ):
        print("started", flush=True)
        await onboard(
            manager,
            manager.account("partner", KEY),
            companies(count, all_are_right=url is not None),
            journal=journal,
            key_spool=KeySpool(folder / "keys.spool"),
            secret_sink=CsvSink(folder / "keys.csv"),
            # A kill parks all companies in flight, so few of a small number are in flight.
            concurrency=max(1, min(50, count // 5)),
            on_outcome=note,
            series_by_workers=url is not None,
        )


@attrs.define
class Tally:
    """The counts of a soak."""

    companies: int = 0
    kills: int = 0
    faults: int = 0
    done: int = 0
    keys_lost: int = 0
    duplicate_accounts: int = 0
    posted_twice: int = 0
    unreported: int = 0
    not_as_reported: int = 0
    keys_lost_unreported: int = 0
    locked_sub_users: int = 0
    credentials_sent_too_often: int = 0
    ends: Counter[str] = attrs.field(factory=Counter[str])

    @property
    def violations(self) -> int:
        """The number of violations, which must be 0."""
        return (
            self.duplicate_accounts
            + self.posted_twice
            + self.unreported
            + self.not_as_reported
            + self.keys_lost_unreported
            + self.locked_sub_users
            + self.credentials_sent_too_often
        )


def _break(server: FaultServer) -> None:
    faults: dict[Fault, float] = {make_fault(name): 1.0 for name in _CUT_ANSWERS}
    for commits in (True, False):
        faults[make_fault("close_after_read", commits=commits)] = 2.0
        faults[make_fault("reset_peer", commits=commits)] = 1.0
        faults[make_fault("status", status=503, commits=commits)] = 1.0
    faults[make_fault("close_unread")] = 1.0
    server.faults.randomly(faults, share=_SHARE)


async def start(*arguments: object, stderr: int | None = None) -> asyncio.subprocess.Process:
    """Start a `job`."""
    command = (sys.executable, __file__, "--job", *map(str, arguments))
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=stderr)


def ends_of(out: bytes) -> dict[str, dict[str, Any]]:
    """Return how each company ended, from the output of a job."""
    return {one["fiscal_id"]: one for one in map(json.loads, out.splitlines()[1:])}


async def _kill(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Let a process run for a while, then kill it; return whether it was still running."""
    assert process.stdout is not None
    await process.stdout.readline()  # then it has opened its journal
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await process.stdout.readline():
                pass
    is_running = process.returncode is None
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    await process.communicate()
    return is_running


async def soak(count: int, kills: int, seed: int, folder: Path) -> Tally:
    """Onboard `count` companies through `kills` kills, and check the result."""
    tally, instants = Tally(companies=count), random.Random(seed)
    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    server = FaultServer(accounts=[partner], seed=seed, requests_per_minute=None)
    async with server:
        _break(server)
        for number in range(kills):
            process = await start(server.base_url, folder, count)
            # Spread over the whole job, on a fast or slow machine.
            seconds = instants.uniform(0.02, 0.6) if number % 3 else instants.uniform(0.0, 0.05)
            tally.kills += await _kill(process, seconds)
        tally.faults = sum(server.oracle.faults.values())
        server.faults.clear()
        ends: dict[str, dict[str, Any]] = {}
        for _ in range(_SETTLING_RUNS):
            process = await start(server.base_url, folder, count)
            out, _ = await process.communicate()
            ends = ends_of(out)
        judge(server, ends, folder, tally)
    return tally


def judge(server: FaultServer, ends: dict[str, dict[str, Any]], folder: Path, tally: Tally) -> None:
    """Compare the reports and delivered keys of a job with the server's oracle."""
    oracle = server.oracle.accounts
    tally.duplicate_accounts = len(oracle.duplicates())
    accounts = {one.fiscal_id: one for one in server.accounts.values() if one.fiscal_id}
    with (folder / "keys.csv").open(newline="") as file:
        delivered = {row["fiscal_id"]: row["api_key"] for row in csv.DictReader(file)}
    for number in range(tally.companies):
        fiscal_id = nif(number)
        end, account = ends.get(fiscal_id), accounts.get(fiscal_id)
        tally.posted_twice += oracle.posts(f"company-{number}@example.com") > 1
        if end is None:
            tally.unreported += 1
            continue
        tally.ends[f"{end['step']} {end['state']} {end['error'] or ''}".strip()] += 1
        has_key = account is not None and delivered.get(fiscal_id) == account.api_key
        if account is not None and not has_key:
            tally.keys_lost += 1
            tally.keys_lost_unreported += end["state"] not in {"unknown", "key_lost"}
        if account is not None:
            wrong = oracle.at_communications(account.name, "locked")
            tally.locked_sub_users += wrong > 0
            sends = server.count("POST", _AT_PATH, account=account.name)
            tally.credentials_sent_too_often += sends > _MOST_AT_SENDS
        if end["state"] == "done":
            tally.done += 1
            rows = server.sequences(account.name) if account is not None else ()
            # A new account already has a series, which is not registered.
            series = [row for row in rows if row.is_registered]
            is_right = has_key and account is not None and account.has_at_credentials
            tally.not_as_reported += not (is_right and len(series) == len(rows) - 1 == 1)


def main(count: int, kills: int, seed: int) -> int:
    """Run the soak and print the counts."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(soak(count, kills, seed, Path(folder)))
    seconds = time.perf_counter() - started
    ends = "; ".join(f"{number} {end}" for end, number in tally.ends.most_common())
    return report(f"seed {seed}; {seconds:.0f} s", tally, ends=ends)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        asyncio.run(job(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:]))
        sys.exit(0)
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + [1000, 100, 1][len(given) :])))
