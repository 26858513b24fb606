"""A job with a journal from the command line: killed, stopped, resumed, looked at, refused."""

import asyncio
import csv
import json
import re
import shlex
import signal
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest
import test_cli
from test_cli import KEY, Json, Run, Start, accounts_file

from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, interruptible = test_cli.bytecode, test_cli.interruptible
run, sandbox, start = test_cli.run, test_cli.sandbox, test_cli.start


class Line:
    """The command of a job, to be given again as it is."""

    def __init__(self, sandbox: Sandbox, folder: Path, count: int) -> None:
        self.accounts = accounts_file(folder, sandbox, count)
        self.journal = folder / "job.db"
        self.to = ("--base-url", sandbox.base_url)
        self.names = [f"account-{number}" for number in range(count)]

    def __call__(self, *more: object) -> tuple[object, ...]:
        head = ("provision", self.accounts, "--serie", "2027", "--journal", self.journal)
        return (*head, *self.to, *more)


@pytest.fixture
def job(sandbox: Sandbox, tmp_path: Path) -> Line:
    return Line(sandbox, tmp_path, 12)


def change(sandbox: Sandbox, names: Iterable[str], **settings: object) -> None:
    for name in names:
        reported: Json = {"name": name, "api_key": KEY, **settings}
        sandbox.update_account(SandboxAccount(**reported))  # type: ignore[arg-type]  # a test's


async def wait_for_posts(sandbox: Sandbox, count: int) -> None:
    while sandbox.count("POST", "/sequences.json") < count:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)


def made(sandbox: Sandbox, job: Line) -> list[int]:
    return [len(sandbox.sequences(name)) for name in job.names]


async def test_a_finished_job_sends_nothing_when_it_is_run_again(
    run: Run, sandbox: Sandbox, job: Line
) -> None:
    first = await run(*job())
    requests = len(sandbox.requests)

    again = await run(*job())
    machine = await run(*job("--json"))

    assert (first.code, again.code, machine.code) == (0, 0, 0)
    assert len(sandbox.requests) == requests
    assert "12 done (12 created)  of 12 rows" in first.out
    assert again.out.startswith("12 done (0 created, 12 by an earlier run)  of 12 rows")
    *rows, summary = machine.lines
    assert [row["is_recorded"] for row in rows] == [True] * 12
    assert (summary["recorded"], summary["is_complete"], summary["problem"]) == (12, True, None)
    assert KEY.encode() not in job.journal.read_bytes()


async def test_a_run_killed_in_the_middle_is_ended_by_the_same_command(
    run: Run, start: Start, sandbox: Sandbox, job: Line
) -> None:
    change(sandbox, job.names, registration_seconds=0.4)
    process = await start(*job("--concurrency", 4))
    await wait_for_posts(sandbox, 6)
    await asyncio.sleep(0.1)

    process.send_signal(signal.SIGKILL)
    await process.communicate()
    change(sandbox, job.names)
    before = await run("status", job.journal, "--json")
    for_people = await run("status", job.journal)
    ended = await run(*job("--timeout", 3))

    (status,) = before.lines
    counts = cast("dict[str, int]", status["counts"])
    unresolved = counts.get("intent", 0) + counts.get("unknown", 0)
    assert unresolved
    assert re.search(r"^unknown +\d", for_people.out, re.MULTILINE)
    assert not re.search(r"^intent\b", for_people.out, re.MULTILINE)
    assert status["holder"] is None
    assert sum(counts.values()) == 12
    # Killed after the intent and before the send, a row is never sent again.
    lost = made(sandbox, job).count(0)
    assert ended.code == (3 if lost else 0)
    assert lost <= unresolved
    assert max(made(sandbox, job)) == 1
    assert sandbox.count("POST", "/sequences.json") == 12 - lost


async def test_sigterm_ends_it_in_10_seconds_and_status_shows_it_before_and_after(
    run: Run, start: Start, sandbox: Sandbox, job: Line
) -> None:
    slow = job.names[:3]
    change(sandbox, slow, registration_seconds=60.0)
    options = ("--concurrency", 3, "--resend-absent-after", 900)
    process = await start(*job(*options))
    await wait_for_posts(sandbox, 3)

    held = await run("status", job.journal)
    second = await run(*job())
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    took = time.monotonic() - began
    after = await run("status", job.journal)
    for name in slow:
        sandbox.add_sequence(name, "2027")
    resumed = await run(*job())

    assert (held.code, second.code, process.returncode) == (0, 1, 130)
    assert f"Held now by process {process.pid}" in held.out
    assert "Next: a run is under way; wait for its end." in held.out
    # Those that the tax authority still has are in flight, or wait for a later look.
    assert re.search(r"^(in flight|unknown) +\d", held.out, re.MULTILINE)
    assert f"is in use by process {process.pid}" in second.err
    assert took < 30  # 10 s by design; the registrations in flight take 60 s
    last = err.decode().splitlines()[-1]
    assert re.match(
        r"Interrupted: (\d done, )?3 (unknown|absent), \d not started, of 12 rows\. Wait some", last
    )
    assert last.endswith(
        "Run the same command again: it goes on where this ended, and creates nothing twice."
    )
    assert "No run holds it now." in after.out
    # When it was sent, and when it is looked at again.
    assert re.search(r"account-0 +2027 +\d\d:\d\d +- +\d\d:\d\d", after.out)
    assert time.strftime("%Y-%m-%d") in after.out
    assert "Next: Run the same command again in some minutes: it reads first" in after.out
    # Only a path and a command, which are to be copied, are never broken into lines.
    shown = held.out.splitlines()[1:] + after.out.splitlines()[1:-1]
    assert max(map(len, shown)) <= 100
    assert after.out.splitlines()[-1].endswith(shlex.join(map(str, job(*options))))
    assert resumed.code == 0
    assert "12 done" in resumed.out
    assert sandbox.count("POST", "/sequences.json") == 12


async def test_what_is_unknown_is_said_to_be_in_the_journal(
    run: Run, sandbox: Sandbox, job: Line
) -> None:
    change(sandbox, ["account-1"], refusals={"create": (500, "")})

    ended = await run(*job("--timeout", 0.9))

    assert ended.code == 3
    assert ended.err.splitlines()[-1] == (
        f"1 unknown: kept in {job.journal}. Run the same command again in some minutes: "
        "it reads first, and sends none twice."
    )
    assert "keep this" not in ended.err


async def test_a_refusal_is_tried_again_only_when_that_is_said(
    run: Run, sandbox: Sandbox, job: Line
) -> None:
    change(sandbox, ["account-1"], has_at_credentials=False)
    first = await run(*job())
    change(sandbox, ["account-1"])
    requests = len(sandbox.requests)

    without = await run(*job())
    status = await run("status", job.journal)
    unasked = len(sandbox.requests) - requests
    retried = await run(*job("--retry-refused"))

    assert (first.code, without.code, retried.code) == (1, 1, 0)
    assert unasked == 0
    for ended in (first, without, status):
        assert "422/004" in ended.out
        assert "--retry-refused" in ended.out
    assert (
        "1 refused: correct the causes, then run the same command with --retry-refused."
        in status.out
    )
    assert "12 done (1 created, 11 by an earlier run)" in retried.out


async def test_a_dry_run_says_what_the_journal_has_settled_and_changes_nothing(
    run: Run, sandbox: Sandbox, job: Line
) -> None:
    fresh = await run(*job("--dry-run"))
    was_made = job.journal.exists()
    change(sandbox, ["account-1"], has_at_credentials=False)
    change(sandbox, ["account-2"], refusals={"create": (500, "")})
    await run(*job("--timeout", 0.9))
    requests, before = len(sandbox.requests), job.journal.read_bytes()

    people, machine = await run(*job("--dry-run")), await run(*job("--dry-run", "--json"))

    assert (fresh.code, was_made) == (0, False)
    assert "has nothing yet: all 12 rows are new." in fresh.err
    assert "has settled 10 done, 1 refused; 1 unknown would be read first; 0" in people.err
    # The one that is not settled is looked at, by each.
    assert people.code == 0
    assert [(one.account, one.method) for one in sandbox.requests[requests:]] == [
        ("account-2", "GET")
    ] * 2
    assert job.journal.read_bytes() == before
    *rows, summary = machine.lines
    assert [row["journal"] for row in rows][:2] == ["done", "refused"]
    assert summary["differences"] == 0


async def test_another_plan_is_refused_before_anything_is_sent_or_overwritten(
    run: Run, sandbox: Sandbox, job: Line, tmp_path: Path
) -> None:
    report = tmp_path / "report.csv"
    await run(*job("--report", report))
    before, requests = report.read_text(), len(sandbox.requests)
    lines = job.accounts.read_text().splitlines()
    job.accounts.write_text("\n".join(lines[:-2]))

    dry = await run(*job("--dry-run"))
    people = await run(*job("--report", report))
    machine = await run(*job("--json"))
    unsent = len(sandbox.requests) == requests
    accepted = await run(*job("--json", "--accept-changes"))

    assert (dry.code, people.code, machine.code, accepted.code) == (1, 2, 2, 0)
    assert "Rows that differ: 2. Without --accept-changes the run would be refused." in dry.err
    assert "  removed: account-10 '2027', done" in people.err
    assert "--accept-changes" in people.err
    assert len(cast("list[Json]", machine.failure["differences"])) == 2
    assert unsent
    assert report.read_text() == before
    assert len(cast("list[Json]", accepted.lines[-1]["differences"])) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(("--retry-refused",), "--retry-refused needs a journal", id="retry"),
        pytest.param(("--accept-changes",), "name it with --journal", id="accept"),
        pytest.param(("--resend-absent-after", "60"), "give 900 or more", id="resend"),
        pytest.param(("--journal", "/nowhere/job.db"), "Nothing was sent", id="folder"),
    ],
)
async def test_what_a_journal_cannot_do_is_reported_before_anything_is_sent(
    run: Run, sandbox: Sandbox, job: Line, options: tuple[str, ...], message: str
) -> None:
    ended = await run("provision", job.accounts, "--serie", "2027", *job.to, *options)

    assert ended.code == (1 if "--journal" in options else 2)
    assert message in ended.err
    assert sandbox.requests == []


async def test_a_journal_that_fails_ends_the_run_with_1_and_the_way_to_go_on(
    run: Run, start: Start, sandbox: Sandbox, job: Line
) -> None:
    change(sandbox, job.names, registration_seconds=0.3)
    process = await start(*job("--concurrency", 2, "--json"))
    await wait_for_posts(sandbox, 3)

    blocker = sqlite3.connect(job.journal, isolation_level=None)
    blocker.execute("ALTER TABLE rows RENAME TO elsewhere")
    out, err = await process.communicate()
    blocker.execute("ALTER TABLE elsewhere RENAME TO rows")
    blocker.close()
    change(sandbox, job.names)
    resumed = await run(*job())

    summary = cast("Json", json.loads(out.splitlines()[-1]))
    assert process.returncode in {1, 3}  # 3 when a send was unknown just then
    assert cast("Json", summary["problem"])["error"] == "JournalError"
    assert summary["is_complete"] is False
    assert summary["not_run"]
    assert "Ended early" in err.decode().splitlines()[-1]
    assert "it goes on where this ended" in err.decode().splitlines()[-1]
    assert resumed.code == 0
    assert made(sandbox, job) == [1] * 12


async def test_a_server_that_fails_is_reported_once_and_the_run_goes_on_by_itself(
    start: Start, sandbox: Sandbox, job: Line
) -> None:
    change(sandbox, job.names, refusals={"list": (503, "")})
    process = await start(*job("--json"))
    assert process.stderr is not None
    err = b""
    while b"paused" not in err:
        err += await process.stderr.readline()

    change(sandbox, job.names)
    out, rest = await process.communicate()

    lines = [cast("Json", json.loads(line)) for line in out.splitlines()]
    pauses = [line["is_paused"] for line in lines if line["type"] == "pause"]
    assert process.returncode == 0
    assert pauses == [True, False]
    assert b"The server responds again: going on." in rest
    assert b"12/12 12 done" in rest
    assert made(sandbox, job) == [1] * 12


@pytest.mark.parametrize("suffix", [".md", ".csv"])
async def test_a_report_is_laid_out_by_its_suffix_and_resume_takes_either(
    run: Run, sandbox: Sandbox, job: Line, tmp_path: Path, suffix: str
) -> None:
    report = tmp_path / f"report{suffix}"
    change(sandbox, ["account-1"], refusals={"create": (500, "")})
    change(sandbox, ["account-2"], has_at_credentials=False)

    ended = await run(*job("--timeout", 0.9, "--report", report))
    text = report.read_text()
    sandbox.add_sequence("account-1", "2027")
    resumed = await run("sequences", "resume", report, "--accounts", job.accounts, *job.to)

    assert ended.code == 3
    assert KEY not in text
    if suffix == ".md":
        assert "\n| 3 | account-1 | 2027 | unknown |" in text
        assert "\n10 done, 1 unknown, 1 refused, 10 created.\n" in text
        assert "\n- 1 refused, 422/004: Set the AT" in text
    else:
        with report.open(newline="") as file:
            assert {row["state"] for row in csv.DictReader(file)} == {"done", "refused", "unknown"}
    assert resumed.code == 0
    assert "account-1  2027  create: it is there" in resumed.out


async def test_status_refuses_what_is_no_journal_and_sends_nothing(
    run: Run, job: Line, tmp_path: Path
) -> None:
    absent = await run("status", tmp_path / "nowhere.db")
    other = await run("status", job.accounts)

    assert (absent.code, other.code) == (2, 1)
    assert "is not there" in absent.err
    assert "not a database" in other.err


@pytest.mark.parametrize("command", ["provision", "rollover"])
async def test_runs_that_share_a_journal_do_the_job_together(
    start: Start, sandbox: Sandbox, job: Line, command: str
) -> None:
    if command == "rollover":
        for name in job.names:
            sandbox.add_sequence(name, "2026", is_default=True)
        arguments = ("rollover", job.accounts, "--year", "2027", "--journal", job.journal)
    else:
        arguments = ("provision", job.accounts, "--serie", "2027", "--journal", job.journal)
    sandbox.registration_seconds = 0.2

    both = [await start(*arguments, *job.to, "--shared-journal") for _ in range(2)]
    ends = [await one.communicate() for one in both]

    assert [one.returncode for one in both] == [0, 0], ends
    series = [[one.serie for one in sandbox.sequences(name)] for name in job.names]
    assert [names.count("2027") for names in series] == [1] * len(job.names)
    assert sandbox.count("POST", "/sequences.json") == len(job.names)
