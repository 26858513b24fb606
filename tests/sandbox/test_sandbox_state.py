# ruff: noqa: ASYNC240 - small local files
import asyncio
import json
from pathlib import Path

import aiohttp
import attrs
import pytest

from invoicexpress_async.sandbox import Sandbox, SandboxAccount, serve
from invoicexpress_async.sandbox.admin import respond_to_admin
from invoicexpress_async.sandbox.storage import StateStore, dump, save

ACME = SandboxAccount(name="acme", api_key="canary", refusals={"register": (403, "X42")})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


async def test_a_restart_forgets_nothing(path: Path) -> None:
    async with Sandbox(accounts=[ACME, "beta"], state_file=path) as sandbox:
        sandbox.add_sequence("acme", "2026", is_default=True)
        sandbox.add_sequence("acme", 2027, is_registered=False)
        rows, accounts = sandbox.sequences("acme"), dict(sandbox.accounts)

    again = Sandbox(accounts=["acme", "beta"], state_file=path)

    assert again.sequences("acme") == rows
    assert again.accounts == accounts
    later = again.add_sequence("acme", "2028", is_default=True)
    assert later.id > max(row.id for row in rows)
    assert [row.is_default for row in again.sequences("acme")] == [False, False, True]


async def test_a_whole_account_overrules_the_file_and_keeps_its_series(path: Path) -> None:
    async with Sandbox(accounts=[ACME], state_file=path) as sandbox:
        sandbox.add_sequence("acme", "2026")

    again = Sandbox(accounts=[attrs.evolve(ACME, api_key="new")], state_file=path)

    assert again.accounts["acme"].api_key == "new"
    assert len(again.sequences("acme")) == 1


async def test_only_its_owner_can_read_the_file_and_nothing_lies_beside_it(path: Path) -> None:
    path.write_text(dump(Sandbox().engine))
    path.chmod(0o644)

    async with Sandbox(accounts=[ACME], state_file=path):
        pass

    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


async def test_a_registration_under_way_begins_again_after_a_restart(path: Path) -> None:
    account = SandboxAccount(name="acme", api_key="k")
    async with Sandbox(accounts=[account], state_file=path, registration_seconds=30.0) as sandbox:
        url = f"{sandbox.base_url.format(account='acme')}/sequences.json?api_key=k"
        async with aiohttp.ClientSession() as session:
            content = {"sequence": {"serie": "2027"}}
            async with session.post(url, json=content) as response:
                assert response.status == 409

    now = 0.0
    again = Sandbox(state_file=path, registration_seconds=30.0, clock=lambda: now)
    (before,) = again.sequences("acme")
    now = 30.0
    (after,) = again.sequences("acme")

    assert (before.is_registering, before.is_registered) == (True, False)
    assert (after.is_registering, after.is_registered) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="nothing in it"),
        pytest.param('{"version": 2}', id="another version"),
        pytest.param('{"version": 1, "next_id": 1, "next_code": 1, "accounts": [5]}', id="bad"),
    ],
)
def test_a_file_that_is_not_a_state_is_refused(path: Path, text: str) -> None:
    path.write_text(text)

    with pytest.raises(ValueError, match="is not the state of a sandbox"):
        Sandbox(state_file=path)


async def test_changes_are_saved_while_it_runs(path: Path) -> None:
    sandbox = Sandbox(accounts=[ACME])
    store = StateStore(sandbox.engine, path, delay_seconds=0.0)
    store.note_change()
    sandbox.add_sequence("acme", "2027")
    store.note_change()

    while not path.exists() or "2027" not in path.read_text():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0)

    store.note_change()
    await store.close()
    assert json.loads(path.read_text())["accounts"][0]["settings"]["api_key"] == "canary"


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(OSError, match="taken"):
        save(tmp_path / "taken", "{}")

    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


async def test_a_sandbox_comes_back_on_its_port_with_its_state() -> None:
    sandbox = Sandbox(accounts=[ACME])
    await sandbox.start()
    url = sandbox.base_url
    sandbox.add_sequence("acme", "2027")
    await sandbox.close()
    await sandbox.close()

    async with sandbox:
        assert sandbox.base_url == url
        assert len(sandbox.sequences("acme")) == 1


async def test_a_port_that_is_taken_is_refused() -> None:
    async with Sandbox() as first:
        with pytest.raises(OSError, match="address already in use"):
            await Sandbox(port=first.port).start()


async def test_it_serves_until_it_is_cancelled(path: Path) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()
    sandbox = Sandbox(accounts=[ACME], state_file=path)
    task = asyncio.create_task(serve(sandbox, on_start=lambda s: started.put_nowait(s.base_url)))
    url = await started.get()

    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url.format(account='acme')}/sequences.json?api_key=canary") as response,
    ):
        assert response.status == 200
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert path.exists()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("remote", ["192.0.2.1", "2001:db8::1", ""])
def test_keys_are_for_the_sandboxs_own_machine(method: str, remote: str) -> None:
    sandbox = Sandbox(accounts=[ACME])

    answer = respond_to_admin(
        sandbox.engine, method=method, path="/_sandbox/accounts.json", body=b"", remote=remote
    )

    assert answer.status == 403
    assert b"canary" not in answer.body
