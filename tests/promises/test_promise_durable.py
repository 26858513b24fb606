"""On the disk before it counts, shown by the system calls of real processes.

Each test takes the moment of a request or of a report, and looks at the files as a loss of power
just before it would have left them.
"""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import test_cli
from system_calls import SystemCall, Trace, trace
from test_cli import KEY
from test_cli_onboard import Place
from test_onboarding import nif

from invoicexpress_async.sandbox import FaultServer, SandboxAccount

bytecode = test_cli.bytecode

NAMES = ("a0", "a1", "a2")
SERIE = "2027"
NUMBERS = {nif(number) for number in (1, 2, 3)}
PROGRAM = ("-m", "invoicexpress_async")
_SERVICE = """
import asyncio, sys
from invoicexpress_async import SessionManager
from invoicexpress_async.provisioning import SqliteJournal

async def main(base_url, key, path, *names):
    async with (
        SqliteJournal(path, shared=True) as journal,
        SessionManager(base_url=base_url, journal=journal) as manager,
    ):
        sequences = [manager.account(name, key).sequences for name in names]
        await asyncio.gather(*(one.ensure("2027") for one in sequences))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=name, api_key=KEY) for name in NAMES]
    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with FaultServer(accounts=[*accounts, partner], is_name_check_atomic=False) as server:
        yield server


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.csv"
    rows = "".join(f"{name};{KEY};{SERIE}\n" for name in NAMES)
    path.write_text(f"account;api_key;serie\n{rows}")
    return path


def ask_disk(
    calls: Trace, journal: Path, before: SystemCall, query: str
) -> list[tuple[object, ...]]:
    """Ask the journal as a loss of power just before a call would have left it."""
    folder = journal.parent / "after-power-loss"
    folder.mkdir(exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        (folder / f"job.db{suffix}").unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        original = journal.with_name(f"{journal.name}{suffix}")
        (folder / f"job.db{suffix}").write_bytes(calls.on_disk(original, before))
    connection = sqlite3.connect(folder / "job.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def check_intents(calls: Trace, journal: Path) -> None:
    for name in NAMES:
        post = calls.first(f"POST /{name}/sequences.json")
        query = f"SELECT kind, subject, state FROM intents WHERE account = '{name}'"  # noqa: S608  # a constant
        assert ask_disk(calls, journal, post, query) == [("create", SERIE, "intent")]


async def test_an_intent_is_on_the_disk_before_the_first_byte_of_its_request(
    server: FaultServer, plan: Path
) -> None:
    journal = plan.with_name("job.db")
    command = (*PROGRAM, "provision", plan, "--journal", journal)

    calls, code = await trace(command, plan.parent, {"INVOICEXPRESS_BASE_URL": server.base_url})

    assert code == 0
    check_intents(calls, journal)


async def test_an_intent_of_a_service_is_on_the_disk_before_the_first_byte_of_its_request(
    server: FaultServer, tmp_path: Path
) -> None:
    journal = tmp_path / "service.db"

    calls, code = await trace(("-c", _SERVICE, server.base_url, KEY, journal, *NAMES), tmp_path, {})

    assert code == 0
    check_intents(calls, journal)


async def test_an_outcome_is_on_the_disk_before_it_is_reported(
    server: FaultServer, plan: Path
) -> None:
    journal = plan.with_name("job.db")
    server.add_sequence("a1", SERIE, is_registered=True)
    server.faults.next("status", operation="create", account="a2", status=422, commits=False)
    command = (*PROGRAM, "provision", plan, "--journal", journal, "--json")

    calls, code = await trace(command, plan.parent, {"INVOICEXPRESS_BASE_URL": server.base_url})

    assert code == 1
    for name, state in zip(NAMES, ("done", "done", "refused"), strict=True):
        report = calls.first(f'"account": "{name}"', f'"state": "{state}"', to="pipe:")
        query = f"SELECT state FROM rows WHERE account = '{name}'"  # noqa: S608  # a constant
        assert ask_disk(calls, journal, report, query) == [(state,)]


async def test_a_new_key_is_on_the_disk_before_it_is_delivered(
    server: FaultServer, tmp_path: Path
) -> None:
    place = Place(server, tmp_path)
    place.write(3)

    calls, code = await trace((*PROGRAM, *place.arguments()), tmp_path, place.variables)

    assert code == 0
    spool = place.keys.with_name("keys.csv.spool")
    for number, key in place.delivered().items():
        delivery = calls.first(key, to=place.keys)
        lines = calls.on_disk(spool, delivery).splitlines()
        spooled = {one["fiscal_id"]: one["api_key"] for one in map(json.loads, lines)}
        assert spooled[number] == key
    assert set(place.delivered()) == NUMBERS


async def test_intents_of_accounts_and_credentials_are_on_the_disk_before_they_are_sent(
    server: FaultServer, tmp_path: Path
) -> None:
    place = Place(server, tmp_path)
    place.write(3)

    calls, code = await trace((*PROGRAM, *place.arguments()), tmp_path, place.variables)

    assert code == 0
    for account in place.server.accounts.values():
        if (number := account.fiscal_id) not in NUMBERS:
            continue
        post = calls.first("organization_name", number)
        credentials = calls.first("at_subuser", f"{number}/1")
        query = "SELECT kind, state FROM intents WHERE account = '{}'"
        before = ask_disk(calls, place.journal, post, query.format(number))
        assert before == [("create_account", "intent")]
        before = ask_disk(calls, place.journal, credentials, query.format(account.name))
        assert before == [("at_communication", "intent")]
        counted = f"SELECT at_sends FROM companies WHERE fiscal_id = '{number}'"  # noqa: S608  # a constant
        assert ask_disk(calls, place.journal, credentials, counted) == [(1,)]
