"""`invoicexpress worker`: rows that are planned on one machine and done on others."""

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest
import test_cli
from postgres_server import PostgresServer
from test_cli import KEY, Run, Start, accounts_file
from test_cli_interruption import slow_down, wait_for

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.provisioning import KeyUnavailableError, load_keys
from invoicexpress_async.sandbox import Sandbox

bytecode, interruptible, run = test_cli.bytecode, test_cli.interruptible, test_cli.run
sandbox, start = test_cli.sandbox, test_cli.start
COUNT = 8


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.database()


@pytest.fixture
def poor_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sources of keys that have none for the accounts of the sandbox."""
    (tmp_path / "part.csv").write_text(f"account,api_key\nelsewhere,{KEY}\n")
    (tmp_path / "vault_with_none.py").write_text("async def key_of(account): return None")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


async def test_two_workers_do_what_was_planned_and_end_in_order(
    run: Run, start: Start, sandbox: Sandbox, tmp_path: Path, url: str
) -> None:
    accounts = accounts_file(tmp_path, sandbox, COUNT)
    plan = ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url)
    assert (await run(*plan, "--journal", url, "--plan-only")).code == 0
    line = (
        "worker",
        "--journal",
        url,
        "--keys",
        f"file:{accounts}",
        "--base-url",
        sandbox.base_url,
    )

    workers = [await start(*line) for _ in range(2)]
    for worker in workers:
        assert worker.stderr is not None
        assert b"Working on" in await worker.stderr.readline()
    await wait_for(sandbox, "POST", "/sequences.json", COUNT)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    said = [err.decode() for _, err in [await worker.communicate() for worker in workers]]
    again = await run(*line, "--until-done")

    assert [worker.returncode for worker in workers] == [0, 0], said
    assert sum(map(int, re.findall(r": (\d+) done", "".join(said)))) == COUNT
    assert again.code == 0
    assert "slice" not in again.err
    assert sandbox.count("POST", "/sequences.json") == COUNT
    assert KEY not in str(said)


async def test_what_is_refused_is_tried_again_when_that_is_said(
    run: Run, sandbox: Sandbox, tmp_path: Path, url: str
) -> None:
    accounts, wrong = accounts_file(tmp_path, sandbox, 2), tmp_path / "wrong.csv"
    wrong.write_text(accounts.read_text().replace(KEY, "another-key-0123456789"))
    to = ("--base-url", sandbox.base_url)
    plan = ("provision", accounts, "--serie", "2027", *to, "--journal", url, "--plan-only")
    assert (await run(*plan)).code == 0
    worker = ("worker", "--journal", url, "--until-done", *to, "--keys")

    ended = [
        await run(*worker, f"file:{wrong}"),
        await run(*worker, f"file:{accounts}"),
        await run(*worker, f"file:{accounts}", "--retry-refused"),
    ]

    counts = [re.findall(r"2 rows: ([^.]*)\.", one.err) for one in ended]
    assert [one.code for one in ended] == [1, 1, 0]
    assert counts == [["2 refused"], ["2 refused"], ["2 done"]]
    assert sandbox.count("POST", "/sequences.json") == 2


async def test_a_worker_that_is_stopped_lets_its_successor_go_on_at_once(
    run: Run, start: Start, sandbox: Sandbox, tmp_path: Path, url: str
) -> None:
    accounts = accounts_file(tmp_path, sandbox, COUNT)
    slow_down(sandbox, "account-0", seconds=60.0)
    plan = ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url)
    assert (await run(*plan, "--journal", url, "--plan-only")).code == 0
    line = (
        "worker",
        "--journal",
        url,
        "--keys",
        f"file:{accounts}",
        "--base-url",
        sandbox.base_url,
    )
    worker = await start(*line, "--drain", "0.1")
    await wait_for(sandbox, "POST", "/sequences.json", COUNT)
    while sandbox.count("GET", "/sequences.json", account="account-0") < 2:  # noqa: ASYNC110 - the sandbox has no event
        await asyncio.sleep(0.01)

    worker.send_signal(signal.SIGTERM)
    _, err = await worker.communicate()
    status = json.loads((await run("status", url, "--json")).out)

    assert worker.returncode == 0, err
    assert status["counts"]["done"] == COUNT - 1
    assert [(one["holder"], one["rows"], one["due"]) for one in status["slices"]] == [
        (None, 1, None)
    ]
    assert sandbox.count("POST", "/sequences.json") == COUNT


@pytest.mark.parametrize(
    "keys",
    [
        "file:{folder}/part.csv",
        "file:{folder}/{{account}}",
        "env:IX_{{account}}",
        "vault_with_none:key_of",
    ],
)
async def test_a_row_whose_key_one_worker_lacks_is_another_workers(
    run: Run, sandbox: Sandbox, poor_keys: Path, url: str, keys: str
) -> None:
    accounts = accounts_file(poor_keys, sandbox, 2)
    plan = ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url)
    assert (await run(*plan, "--journal", url, "--plan-only")).code == 0
    line = ("worker", "--journal", url, "--base-url", sandbox.base_url, "--until-done", "--keys")

    poor = await run(*line, keys.format(folder=poor_keys))
    rich = await run(*line, f"file:{accounts}")

    assert poor.code == 1
    assert re.search(r"1 failed, 1 left\. The key of account account-0 could not be had", poor.err)
    assert "The journal has 2 rows: 2 failed." in poor.err
    assert (rich.code, "The journal has 2 rows: 2 done." in rich.err) == (0, True), rich.err
    assert sandbox.count("POST", "/sequences.json") == 2


async def test_keys_are_found_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IX_KEY_ACME_2", "of-a-variable-0123456789")
    (tmp_path / "acme.key").write_text("of-a-file-0123456789\n")
    table = tmp_path / "accounts.csv"
    table.write_text("account,api_key\nacme,of-a-table-0123456789\n")
    (tmp_path / "vault_of_a_shop.py").write_text(
        "async def key_of(account): return f'of-{account}-0123456789'"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert await load_keys("env:IX_KEY_{account}")("acme-2") == "of-a-variable-0123456789"
    assert await load_keys(f"file:{tmp_path}/{{account}}.key")("acme") == "of-a-file-0123456789"
    of_table = load_keys(f"file:{table}")
    assert await of_table("acme") == "of-a-table-0123456789"
    assert await load_keys("vault_of_a_shop:key_of")("acme") == "of-acme-0123456789"
    table.write_text("account,api_key\nacme,of-a-newer-table-0123456789\n")
    assert await of_table("acme") == "of-a-newer-table-0123456789"
    assert "0123456789" not in repr(of_table)
    for wrong in ("a-key", "vault_of_a_shop:none", "no_such_module:key_of", "file:/no/such/file"):
        with pytest.raises(ConfigurationError, match=r"keys|Cannot|read"):
            load_keys(wrong)
    with pytest.raises(KeyUnavailableError, match="globex"):
        await of_table("globex")
