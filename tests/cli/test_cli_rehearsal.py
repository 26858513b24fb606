"""`invoicexpress sandbox`: the accounts and answers that a job is rehearsed on."""

import json
import signal
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import test_cli
from test_cli import Run, Start

from invoicexpress_async import (
    AuthenticationError,
    Registration,
    SessionManager,
    TaxAuthorityCredentialsError,
)
from invoicexpress_async.cli.commands.rehearsal import RehearsalOptions, check, describe, prepare
from invoicexpress_async.sandbox import FaultServer, Sandbox

bytecode, interruptible = test_cli.bytecode, test_cli.interruptible
run, start = test_cli.run, test_cli.start


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--serie-of", "26"), "a year such as 2026, not 26", id="year"),
        pytest.param(("--trial", "-1"), "0 or more", id="less than none"),
        pytest.param(("--latency", "-1"), "0 to 600 seconds, not -1", id="latency"),
        pytest.param(("--latency", "nan"), "0 to 600 seconds, not nan", id="no latency"),
        pytest.param(("--fault", "reset_peer"), "--fault reset_peer:0.05", id="no share"),
        pytest.param(("--fault", "timeout:some"), "--fault timeout:0.05", id="a word as share"),
        pytest.param(("--fault", "timeout:1.5"), "--fault timeout:0.05", id="too large a share"),
        pytest.param(("--fault", "timeout:nan"), "--fault timeout:0.05", id="no number"),
        pytest.param(("--fault", "reset_pear:1"), "reset_peer", id="a name like another"),
        pytest.param(("--fault", "%:1"), "close_on_accept", id="a name like none"),
        pytest.param(
            ("--fault", "timeout:0.6", "--fault", "status:0.6"), "more than 1", id="all shares"
        ),
        pytest.param(
            ("--accounts", "2", "--trial", "1", "--unregistered", "2"),
            "3 accounts are to be unlike the others, and there are 2",
            id="too few accounts",
        ),
    ],
)
async def test_a_mistake_in_what_is_asked_is_named(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    ended = await run("sandbox", "--port", "0", *arguments)

    assert ended.code == 2
    assert message in " ".join(ended.err.split())


async def test_the_last_accounts_are_unlike_the_others() -> None:
    options = RehearsalOptions(trial=1, without_at=2, not_portuguese=1, unregistered=1)
    names = [f"account-{number}" for number in range(7)]
    sandbox = Sandbox(accounts=names)

    unlike = prepare(sandbox, names, options)

    accounts = sandbox.accounts
    assert [name for name in names if accounts[name].is_trial] == names[2:3]
    assert [name for name in names if not accounts[name].has_at_credentials] == names[3:5]
    assert [name for name in names if not accounts[name].is_portuguese] == names[5:6]
    assert [row.serie for name in names for row in sandbox.sequences(name)] == ["ACCOUNT-6"]
    assert describe(unlike) == (
        "on trial: account-2\n"
        "without AT credentials: account-3, account-4\n"
        "not Portuguese: account-5\n"
        "with a series unregistered: account-6\n"
    )


async def test_each_account_has_a_series_of_the_year_as_its_default() -> None:
    sandbox = Sandbox(accounts=["a", "b"])
    sandbox.add_sequence("a", "OLD")

    prepare(sandbox, ["a", "b"], RehearsalOptions(serie_of=2026, unregistered=1))

    (of_a,), (of_b,) = sandbox.sequences("a"), sandbox.sequences("b")
    assert of_a.serie == "OLD"  # it was there, as in a state that was restored
    assert (of_b.serie, of_b.is_default, of_b.is_registered) == ("2026", True, False)


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        pytest.param(RehearsalOptions(fault=("status:1",)), {"status": 20}, id="always"),
        pytest.param(RehearsalOptions(latency=0.001), {"latency": 20}, id="latency alone"),
        pytest.param(
            RehearsalOptions(fault=("status:0.25", "empty:0.25"), latency=0.001),
            {"status": 2, "empty": 5, "latency": 13},
            id="three, by the seed",
        ),
    ],
)
async def test_faults_come_by_their_share(
    options: RehearsalOptions, faults: dict[str, int]
) -> None:
    check(options)
    async with FaultServer(accounts=["acme"]) as server, aiohttp.ClientSession() as session:
        prepare(server, ["acme"], options)
        for _ in range(20):
            async with session.get(server.base_url.format(account="acme") + "/sequences.json"):
                pass

    assert server.oracle.faults == faults


async def test_the_program_starts_all_of_it(start: Start, tmp_path: Path) -> None:
    arguments = (
        *("sandbox", "--json", "--port", "0", "--accounts", "4", "--partner", "boss"),
        *("--serie-of", "2026", "--trial", "1", "--without-at", "1", "--unregistered", "1"),
        *("--latency", "0.01", "--shapes", "older", "--state", tmp_path / "state.json"),
    )
    server = await start(*arguments)
    assert server.stdout is not None
    reported = json.loads(await server.stdout.readline())
    keys = {one["account"]: one["api_key"] for one in reported["accounts"]}

    async with SessionManager(base_url=reported["base_url"]) as manager:
        first = await manager.account("sandbox-1", keys["sandbox-1"]).sequences.ensure("2027")
        with pytest.raises(AuthenticationError):
            await manager.account("sandbox-2", keys["sandbox-2"]).sequences.create("2027")
        with pytest.raises(TaxAuthorityCredentialsError):
            await manager.account("sandbox-3", keys["sandbox-3"]).sequences.create("2027")
        (last,) = await manager.account("sandbox-4", keys["sandbox-4"]).sequences.list()
        of_partner = await manager.account("boss", keys["boss"]).sequences.list()
        made = cast(
            "Any",
            await manager.account("boss", keys["boss"]).request(
                "POST", "/sequences.json", {"sequence": {"serie": "X"}}
            ),
        )
    server.send_signal(signal.SIGINT)

    assert await server.wait() == 0
    assert reported["unlike"] == {
        "sandbox-2": "on trial",
        "sandbox-3": "without AT credentials",
        "sandbox-4": "with a series unregistered",
    }
    assert first.created
    assert (last.serie, last.registration) == ("2026", Registration.NOT_REGISTERED)
    assert of_partner == ()
    assert list(made) == ["sequence"]
