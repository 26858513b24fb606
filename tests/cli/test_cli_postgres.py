"""Jobs whose journal is in a database: the same commands, and a plan that is left to workers."""

import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import test_cli
from postgres_server import PostgresServer
from test_cli import KEY, Run, accounts_file
from test_cli_onboard import Place, states

from invoicexpress_async import OutcomeUnknownError, RetryPolicy, SessionManager
from invoicexpress_async.jobs.journal import Claim
from invoicexpress_async.provisioning import (
    PostgresJournal,
    SqliteJournal,
    slices_left,
    work_slice,
)
from invoicexpress_async.sandbox import FaultServer, Sandbox, SandboxAccount

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox
COUNT = 6


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.database()


@pytest.fixture
async def partner() -> AsyncIterator[FaultServer]:
    account = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with FaultServer(accounts=[account]) as server:
        yield server


async def key_of(_: str) -> str:
    return KEY


async def test_a_job_in_a_database_is_done_once_and_its_status_read(
    run: Run, sandbox: Sandbox, tmp_path: Path, url: str, postgres: PostgresServer
) -> None:
    accounts = accounts_file(tmp_path, sandbox, COUNT)
    line = ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url)

    first = await run(*line, "--journal", url)
    requests = len(sandbox.requests)
    looked = await run(*line, "--journal", url, "--dry-run", "--json")
    again = await run(*line, "--journal", url)
    reported = await run("status", url, "--json")
    shown = await run("status", url)

    assert (first.code, looked.code, again.code, reported.code, shown.code) == (0, 0, 0, 0, 0)
    assert len(sandbox.requests) == requests
    assert json.loads(looked.out.splitlines()[-1])["journal"] == {"done": COUNT}
    status = json.loads(reported.out)
    assert (status["counts"], status["created"], status["journal"]) == ({"done": COUNT}, COUNT, url)
    assert "100 % done or prepared" in shown.out
    assert KEY not in postgres.dump(url)


async def test_a_status_of_a_journal_that_was_never_made_is_wrong_usage(run: Run, url: str) -> None:
    ended = await run("status", url)

    assert ended.code == 2
    assert "is not there: check its name. The first run makes it." in ended.err


async def test_a_plan_is_left_to_workers_and_its_keys_stay_here(
    run: Run, sandbox: Sandbox, tmp_path: Path, url: str, postgres: PostgresServer
) -> None:
    accounts = accounts_file(tmp_path, sandbox, COUNT)
    for number in range(COUNT):
        sandbox.add_sequence(f"account-{number}", "2026", is_default=True)
    line = ("rollover", accounts, "--year", 2027, "--base-url", sandbox.base_url, "--default-now")

    planned = await run(*line, "--journal", url, "--plan-only")
    posts = sandbox.count("POST", "/sequences.json")
    status = json.loads((await run("status", url, "--json")).out)
    async with (
        PostgresJournal(url) as journal,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        for one in await slices_left(journal):
            held = await journal.take(one.number)
            report = await work_slice(manager, held, key_of)
            await journal.release(held, due_seconds=report.due_seconds)
        left = await slices_left(journal)

    assert (planned.code, posts) == (0, 0), planned
    assert "6 rows are planned" in planned.err
    assert (status["counts"], status["rollover_year"]) == ({"planned": COUNT}, 2027)
    assert sum(one["rows"] for one in status["slices"]) == COUNT
    assert left == []
    for number in range(COUNT):
        found = {one.serie: one.is_default for one in sandbox.sequences(f"account-{number}")}
        assert found == {"2026": False, "2027": True}
    assert KEY not in postgres.dump(url)


async def test_workers_do_no_row_that_a_pilot_leaves_out(
    run: Run, sandbox: Sandbox, tmp_path: Path, url: str
) -> None:
    accounts = accounts_file(tmp_path, sandbox, COUNT)
    to = ("--base-url", sandbox.base_url, "--journal", url)
    plan = ("provision", accounts, "--serie", "2027", *to, "--plan-only")
    worker = ("worker", *to, "--keys", f"file:{accounts}", "--until-done")

    pilot = await run(*plan, "--limit", 2)
    assert (await run(*worker)).code == 0
    after_pilot = sandbox.count("POST", "/sequences.json")
    again = await run(*plan, "--only", "account-0")
    rest = await run(*plan)
    assert (await run(*worker)).code == 0

    assert "on 2 accounts of 6" in pilot.err
    assert "which now has 2 planned" in pilot.err
    assert after_pilot == 2
    assert "which now has 2 done" in again.err
    assert (rest.code, sandbox.count("POST", "/sequences.json")) == (0, COUNT)


async def test_a_plan_for_workers_names_what_it_leaves_out_and_how_to_go_on(
    run: Run, sandbox: Sandbox, tmp_path: Path, url: str
) -> None:
    accounts = accounts_file(tmp_path, sandbox, 2)
    sandbox.add_sequence("account-0", "2026", is_default=True)
    sandbox.add_sequence("account-1", "shop", is_default=True)
    place = ("--base-url", sandbox.base_url, "--journal", url, "--plan-only")
    line = ("rollover", accounts, "--year", 2027, *place)

    planned = await run(*line)
    as_json = [json.loads(one) for one in (await run(*line, "--json")).out.splitlines()]
    status = await run("status", url)
    refused = [await run(*line, *more) for more in (("--retry-refused",), ("--report", "r.html"))]

    assert planned.code == 1
    assert "Planning serie '2027' on 1 account, 1 as default at" in planned.err
    assert "Ensuring" not in planned.err
    assert "Left out: line 3, account account-1." in planned.err
    assert "1 rows are planned" in planned.err
    assert "which now has 1 planned." in planned.err
    assert [(one.get("account"), one.get("left_out")) for one in as_json] == [
        ("account-1", None), (None, 1),
    ]  # fmt: skip
    assert "Next: start workers" in status.out, status
    assert f"worker --journal {shlex.quote(url)} --keys file:accounts.csv --base-url" in status.out
    assert "run the same command" not in status.out
    assert [one.code for one in refused] == [2, 2]
    assert "without --plan-only" in refused[0].err
    assert "status" in refused[1].err


async def test_a_holder_that_is_not_seen_is_no_run_that_is_under_way(
    run: Run, sandbox: Sandbox, tmp_path: Path, url: str, postgres: PostgresServer
) -> None:
    accounts = accounts_file(tmp_path, sandbox, 1)
    line = ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url)
    assert (await run(*line, "--journal", url, "--plan-only")).code == 0
    shown = list[str]()
    async with PostgresJournal(url) as journal:
        (one,) = await slices_left(journal)
        await journal.take(one.number)
        shown.append((await run("status", url)).out)
    for seconds in (20, -20):  # it was killed, and its lease runs still; then it is over
        until = f"clock_timestamp() + interval '{seconds} seconds'"
        postgres.ask(
            f"UPDATE slices SET until = {until} WHERE holder IS NOT NULL",  # noqa: S608  # a number
            schema=journal.schema,
            at=url,
        )
        shown.append((await run("status", url, COLUMNS="160")).out)

    assert "Next: a run is under way" in shown[0]
    assert "not seen" not in shown[0]
    for text in shown[1:]:
        assert "No run holds it now" in text
        assert re.search(r"not seen since [\d:]{8}; free at [\d:]{8}", text), text
        assert "free for other workers at" in text
        assert "under way" not in text


@pytest.mark.parametrize("is_file", [False, True])
async def test_what_a_service_left_unresolved_is_shown_and_resumed(
    run: Run, partner: FaultServer, url: str, tmp_path: Path, *, is_file: bool
) -> None:
    place = str(tmp_path / "service.db") if is_file else url
    made = SqliteJournal(place, shared=True) if is_file else PostgresJournal(url)
    partner.faults.next("reset_peer", operation="create", commits=False)
    quick = RetryPolicy(read_after_seconds=(0.01,))
    async with (
        made as journal,
        SessionManager(base_url=partner.base_url, retry=quick, journal=journal) as manager,
    ):
        with pytest.raises(OutcomeUnknownError):
            await manager.account("partner", KEY).sequences.create("2027")
        # An onboarding that was killed while it sent credentials leaves this.
        key = ("at_communication", "company-1", "")
        await journal.claim(Claim(key=key, token="its", intent='{"fiscal_id": "5"}', claimed_at=""))
        unresolved = await manager.read_unresolved()
    partner.add_sequence("partner", "2027", is_registered=True)  # it commits late
    variables = {"INVOICEXPRESS_API_KEY": KEY, "INVOICEXPRESS_BASE_URL": partner.base_url}

    before = await run("status", place)
    resumed = await run("sequences", "resume", place, **variables)
    again = await run("sequences", "resume", place, **variables)
    after = await run("status", place, "--json")

    assert (resumed.code, again.code) == (0, 2), resumed
    assert re.search(r"\npartner +create +2027 ", before.out), before.out
    assert f"sequences resume {shlex.quote(place)} --accounts FILE` looks them up" in " ".join(
        before.out.split()
    )
    assert (after.lines[0]["calls"], after.lines[0]["in_doubt"]) == ([], [])
    assert [one["account"] for one in unresolved] == ["partner"]
    assert "partner  2027  create: it is there" in resumed.out
    assert "no unresolved intent" in again.err
    assert partner.oracle.posts("partner") == 1


async def test_a_plan_is_left_to_workers_in_a_database_only(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    accounts = accounts_file(tmp_path, sandbox, 1)
    line = ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url)

    ended = await run(*line, "--journal", tmp_path / "job.db", "--plan-only")

    assert ended.code == 2
    assert "name a postgresql:// URL" in ended.err


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://ix:canary-77@db.example/ix", id="user"),
        pytest.param("postgres://db.example/ix?password=canary-77", id="parameter"),
        pytest.param("postgresql://ix:canary-77@[/ix", id="malformed"),
    ],
)
async def test_a_password_in_a_url_is_refused_and_not_repeated(
    run: Run, sandbox: Sandbox, tmp_path: Path, url: str
) -> None:
    accounts = accounts_file(tmp_path, sandbox, 1)
    line = ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url)

    ends = [await run(*line, "--journal", url), await run("status", url)]

    for one in ends:
        assert one.code == 2
        assert "canary" not in one.out + one.err
    assert sandbox.requests == []


async def test_companies_are_onboarded_once_with_no_secret_in_the_database(
    run: Run, partner: FaultServer, tmp_path: Path, url: str, postgres: PostgresServer
) -> None:
    place = Place(partner, tmp_path)
    place.write(COUNT)

    first = await run(*place.arguments("--json", journal=url), **place.variables)
    requests = len(partner.requests)
    again = await run(*place.arguments("--json", journal=url), **place.variables)

    assert (first.code, again.code) == (0, 0), first
    assert set(states(first).values()) == set(states(again).values()) == {"end done"}
    assert (len(partner.requests), partner.oracle.accounts.posts()) == (requests, COUNT)
    assert len(place.delivered()) == COUNT
    dump = postgres.dump(url)
    assert [secret for secret in place.secrets() if secret in dump] == []
