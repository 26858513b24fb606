"""Ctrl-C, SIGTERM, and a reader or a disk that goes away: every row is accounted for."""

import asyncio
import csv
import json
import os
import re
import signal
from pathlib import Path
from typing import cast

import attrs
import pytest
import test_cli
from test_cli import KEY, Json, Start, accounts_file

from invoicexpress_async.sandbox import Sandbox, SandboxAccount

acme, bytecode, interruptible = test_cli.acme, test_cli.bytecode, test_cli.interruptible
sandbox, start = test_cli.sandbox, test_cli.start

AGAIN = "Run the same command again: it looks first, and creates nothing twice."


@attrs.frozen
class Reported:
    """What a run that was interrupted said of its rows."""

    code: int
    states: dict[str, str]
    intents: dict[str, Json]
    summary: Json
    err: str

    @property
    def may_be_there(self) -> set[str]:
        return {name for name, state in self.states.items() if state in {"done", "unknown"}}


async def reported_by(process: asyncio.subprocess.Process, before: bytes = b"") -> Reported:
    out, err = await process.communicate()
    assert b"Traceback" not in err
    assert KEY.encode() not in before + out + err
    *rows, summary = [cast("Json", json.loads(line)) for line in (before + out).splitlines()]
    return Reported(
        code=process.returncode or 0,
        states={str(row["account"]): str(row["state"]) for row in rows},
        intents={str(row["account"]): cast("Json", row["intent"]) for row in rows if row["intent"]},
        summary=summary,
        err=err.decode(),
    )


def slow_down(sandbox: Sandbox, *names: str, seconds: float) -> None:
    for name in names:
        sandbox.update_account(SandboxAccount(name=name, api_key=KEY, registration_seconds=seconds))


def on_server(sandbox: Sandbox) -> set[str]:
    return {name for name in sandbox.accounts if sandbox.sequences(name)}


async def wait_for(sandbox: Sandbox, method: str, path: str, count: int) -> None:
    while sandbox.count(method, path) < count:  # noqa: ASYNC110 - the sandbox has no event
        await asyncio.sleep(0.01)


async def test_ctrl_c_during_create_hands_over_what_was_sent(
    start: Start, acme: dict[str, str], sandbox: Sandbox
) -> None:
    slow_down(sandbox, "acme", seconds=60.0)
    process = await start("sequences", "create", "2027", variables=acme)
    # The first read after the send: by then the other process knows that it does not know.
    await wait_for(sandbox, "GET", "/sequences.json", 1)

    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()

    assert process.returncode == 130
    assert b"Traceback" not in err
    intent = json.loads(err.splitlines()[0].partition(b"keep this: ")[2])
    assert (intent["account"], intent["serie"]) == ("acme", "2027")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
async def test_a_signal_lets_rows_in_flight_end_and_begins_no_other(
    start: Start, sandbox: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    path = accounts_file(tmp_path, sandbox, 60)
    slow_down(sandbox, *(f"account-{one}" for one in range(60)), seconds=0.3)
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)
    process = await start(*arguments, "--json", "--concurrency", 20)
    await wait_for(sandbox, "POST", "/sequences.json", 5)

    process.send_signal(number)
    reported = await reported_by(process)

    assert reported.code == 130
    assert set(reported.states.values()) == {"done"}
    assert on_server(sandbox) == reported.may_be_there
    assert reported.summary["not_run"] == 60 - len(reported.states)
    assert 5 <= len(reported.states) < 60
    assert reported.err.splitlines()[-1].endswith(f'{AGAIN}"}}')


async def test_a_second_ctrl_c_cuts_off_at_once_and_hands_over_every_intent(
    start: Start, sandbox: Sandbox, tmp_path: Path
) -> None:
    path, report = accounts_file(tmp_path, sandbox, 40), tmp_path / "report.csv"
    slow = ("account-7", "account-8")
    slow_down(sandbox, *slow, seconds=60.0)
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)
    process = await start(*arguments, "--json", "--report", report)
    assert process.stdout is not None
    before = b"".join([await process.stdout.readline() for _ in range(38)])

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while b"Ctrl-C again" not in await process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    reported = await reported_by(process, before)

    assert reported.code == 130
    assert {name for name, state in reported.states.items() if state == "unknown"} == set(slow)
    assert set(reported.intents) == set(slow)
    assert (reported.summary["not_run"], reported.summary["is_complete"]) == (0, False)
    assert on_server(sandbox) - {"acme"} <= reported.may_be_there
    assert "Wait some minutes" in reported.err
    with report.open(newline="") as file:
        kept = [row for row in csv.DictReader(file) if row["intent"]]
    assert {row["account"]: json.loads(row["intent"]) for row in kept} == reported.intents


@pytest.mark.parametrize("posts", [1, 15, 30])
async def test_whenever_two_signals_come_no_row_goes_unmentioned(
    start: Start, sandbox: Sandbox, tmp_path: Path, posts: int
) -> None:
    path = accounts_file(tmp_path, sandbox, 200)
    arguments = ("provision", path, "--serie", "2027", "--default", "--base-url", sandbox.base_url)
    process = await start(*arguments, "--json")
    await wait_for(sandbox, "POST", "/sequences.json", posts)

    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    reported = await reported_by(process)

    assert reported.code == 130
    assert on_server(sandbox) <= reported.may_be_there
    assert reported.summary["not_run"] == 200 - len(reported.states)


async def test_people_see_the_same_in_a_line(
    start: Start, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 200)
    slow_down(sandbox, *(f"account-{one}" for one in range(200)), seconds=0.3)
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)
    process = await start(*arguments, "--concurrency", 3)
    await wait_for(sandbox, "POST", "/sequences.json", 1)

    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()

    assert process.returncode == 130
    # Rows that are read for later make room: more than three may have begun.
    reported = re.search(r"Interrupted: (\d+) done, (\d+) not started", err.decode())
    assert reported is not None, err.decode()
    done, left = map(int, reported.groups())
    assert done >= 3
    assert left > 0
    assert done + left == 200
    assert f"{left} not started  of 200 rows".encode() in out
    assert err.decode().splitlines()[-1] == (
        f"Interrupted: {done} done, {left} not started, of 200 rows. {AGAIN}"
    )


async def test_a_reader_that_goes_away_stops_the_run_and_every_row_is_counted(
    start: Start, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 60)
    arguments = ("provision", path, "--serie", "2027", "--json", "--base-url", sandbox.base_url)
    reading, writing = os.pipe()
    os.close(reading)
    process = await start(*arguments, "--concurrency", "4", stdout=writing)
    os.close(writing)

    _, err = await process.communicate()

    count = len(on_server(sandbox))
    last = err.decode().splitlines()[-1]
    assert process.returncode == 0
    assert f"went away: {count} done, {60 - count} not started" in last
    assert 4 <= count < 60
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


async def test_a_full_disk_stops_the_run_with_1_and_every_row_is_counted(
    start: Start, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 60)
    arguments = ("provision", path, "--serie", "2027", "--json", "--base-url", sandbox.base_url)
    full = os.open("/dev/full", os.O_WRONLY)
    process = await start(*arguments, "--concurrency", "4", stdout=full)
    os.close(full)

    _, err = await process.communicate()

    count = len(on_server(sandbox))
    assert process.returncode == 1
    assert f"No space left on device: {count} done, {60 - count} not started" in err.decode()
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err
