"""The page of many machines: its commands on a real database, its recipes on real queues."""

import asyncio
import configparser
import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # it comes with mkdocs, without types
from conftest import API_KEY, account_of
from pages import BLOCKS, MACHINES, block_with
from postgres_server import PostgresServer
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from invoicexpress_async.provisioning import Plan, PlanRow, PostgresJournal, enter_plan, slices_left
from invoicexpress_async.sandbox import Sandbox

URL = "postgresql://ix@db.example/ix"
NAMES = tuple(f"a{number}" for number in range(6))
PAGE = [block for block in BLOCKS if block.page == MACHINES]
(UNIT,) = (block.code for block in PAGE if "ExecStart" in block.code)
(COMPOSE,) = (block.code for block in PAGE if block.language == "yaml")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(accounts=[account_of(name) for name in NAMES]) as server:
        yield server


@pytest.fixture
def place(
    sandbox: Sandbox, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A folder, variables and a database; its URL."""
    monkeypatch.chdir(tmp_path)
    lines = "".join(f"{name},{API_KEY}\n" for name in NAMES)
    (tmp_path / "accounts.csv").write_text(f"account,api_key\n{lines}")
    (tmp_path / "accounts.csv").chmod(0o600)
    url = postgres.database()
    variables = {"INVOICEXPRESS_BASE_URL": sandbox.base_url, "IX_JOURNAL": url}
    keys = {f"IX_KEY_{name.upper()}": API_KEY for name in NAMES}
    for name, value in {**variables, **keys}.items():
        monkeypatch.setenv(name, value)
    return url


async def enter(url: str) -> None:
    async def keys(_: str) -> str:
        return API_KEY

    rows = [PlanRow(account=name, api_key=keys, serie="2027") for name in NAMES]
    async with PostgresJournal(url, slices=2) as journal:
        await enter_plan(journal, Plan(rows=rows))


async def all_done(url: str) -> None:
    async with PostgresJournal(url) as journal:
        while await slices_left(journal):  # noqa: ASYNC110  # a database has no event
            await asyncio.sleep(0.05)


async def type_in(command: str, url: str) -> str:
    program, *words = shlex.split(command.replace(URL, url))
    assert Path(program).name == "invoicexpress"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "invoicexpress_async", *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, f"{command}\n{out.decode()}"
    assert API_KEY not in out.decode()
    return out.decode()


async def test_the_commands_of_the_page_do_the_job(place: str, sandbox: Sandbox) -> None:
    commands = [command for block in PAGE for command in block.commands]
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(UNIT)
    compose = yaml.safe_load(COMPOSE)["services"]["worker"]["command"]

    said = [await type_in(command, place) for command in commands]
    for service in (unit["Service"]["ExecStart"], compose.replace("@db/ix", "@db.example/ix")):
        line = service.replace("/run/secrets/accounts", "accounts.csv")
        await type_in(f"{line} --until-done", place)

    assert [command.split()[1] for command in commands] == [
        "doctor", "provision", "worker", "status",
    ]  # fmt: skip
    assert "Nothing to fix" in said[0]
    assert "100 % done" in said[3]
    assert sandbox.count("POST", "/sequences.json") == len(NAMES)


@contextlib.asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[str]:
    found = shutil.which("redis-server")
    if found is None and not os.environ.get("REQUIRE_POSTGRES"):
        pytest.skip("Redis is not on this machine: apt-get install redis-server")
    assert found is not None, "apt-get install redis-server"
    socket = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        found, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not socket.exists():  # a file has no event
            assert process.returncode is None
            await asyncio.sleep(0.01)
        yield f"redis+socket://{socket}"
    finally:
        process.kill()
        await process.wait()


async def test_the_recipe_for_celery_does_the_job(
    place: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    recipe = block_with("Celery(").replace('"schedule": 10.0', '"schedule": 0.5')
    (tmp_path / "sequences.py").write_text(recipe)
    await enter(place)
    async with redis(tmp_path) as broker:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "celery", "-A", "sequences", "worker", "--beat",
            "--pool", "solo", "--loglevel", "warning",
            env={**os.environ, "IX_BROKER": broker, "C_FORCE_ROOT": "1"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            await all_done(place)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the beat is a process of its own
            await process.wait()

    assert [sandbox.count("POST", "/sequences.json", account=one) for one in NAMES] == [1] * 6


async def test_the_recipe_for_temporal_does_the_job(
    place: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe_of_temporal.py"
    recipe.write_text(block_with("temporalio").replace(URL, place))
    spec = importlib.util.spec_from_file_location(recipe.stem, recipe)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    await enter(place)
    server = str(Path(sys.executable).parent / "temporal")

    async with (
        await WorkflowEnvironment.start_local(dev_server_existing_path=server) as environment,
        Worker(
            environment.client,
            task_queue="sequences",
            workflows=[module.Sequences],
            activities=[module.slices_to_do, module.work_on],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        await environment.client.execute_workflow(
            module.Sequences.run, id="sequences", task_queue="sequences"
        )

    assert [sandbox.count("POST", "/sequences.json", account=one) for one in NAMES] == [1] * 6
