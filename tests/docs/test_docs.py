"""Every block of the README and of docs/ runs: Python on the sandbox, commands as they stand."""

import ast
import asyncio
import configparser
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer
from conftest import ACCOUNT, API_KEY
from fastapi import FastAPI
from pages import BLOCKS, DOCS, MACHINES, ROOT, WALKTHROUGHS, Block, block_with, blocks_in

from invoicexpress_async import SessionManager
from invoicexpress_async.__main__ import main
from invoicexpress_async.provisioning import AccountList
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

pytestmark = pytest.mark.one_python

README = (ROOT / "README.md").read_text()
PYTHON = blocks_in("python")
# Those of many machines need a database: test_docs_machines.py runs them.
CONSOLES = [one for one in blocks_in("console") if one.page != MACHINES]
UNITS = [one for one in blocks_in("ini") if "ExecStart" in one.code and one.page != MACHINES]
SCHEDULES = [*blocks_in("crontab"), *UNITS]
(ACCOUNTS,) = (one for one in blocks_in("csv") if one.page == "bulk-job.md")
(COMPANIES,) = (one for one in blocks_in("csv") if one.page == "onboarding.md")
# Programs of the shell blocks. What they install is checked, and not installed again.
INSTALLERS = {"pip", "pipx", "uvx", "python3.11"}


@pytest.fixture
async def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Sandbox, dict[str, Any]]]:
    """A sandbox in the environment, and the names that the pages take for granted."""
    async with Sandbox() as sandbox:
        sandbox.add_account(SandboxAccount(name=ACCOUNT, api_key=API_KEY, is_partner=True))
        sandbox.add_account(SandboxAccount(name="company", id="4711", owner=ACCOUNT))
        row = sandbox.add_sequence(ACCOUNT, "2026", is_default=True)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("INVOICEXPRESS_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("INVOICEXPRESS_ACCOUNT", ACCOUNT)
        monkeypatch.setenv("INVOICEXPRESS_API_KEY", API_KEY)
        (tmp_path / "accounts.csv").write_text(f"account,api_key\n{ACCOUNT},{API_KEY}\n")
        (tmp_path / "accounts.csv").chmod(0o600)
        (tmp_path / "companies.csv").write_text(COMPANIES.code)
        async with SessionManager() as manager:
            account = manager.account()
            names = {
                "__name__": "docs",
                "api_key": API_KEY,
                "api_keys": {ACCOUNT: API_KEY},
                "at_password": "canary-at-password",
                "user_password": "canary-user-password",
                "account": account,
            }
            yield sandbox, {**names, "row_id": row.id}


async def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    compiled = compile(code, "docs", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)  # noqa: S307  # the project's own documentation
    if inspect.isawaitable(result):
        await result
    return names


@pytest.mark.parametrize("block", PYTHON, ids=str)
async def test_every_python_block_runs(block: Block, place: tuple[Sandbox, dict[str, Any]]) -> None:
    _, names = place
    if "find(" in block.code:
        await names["account"].sequences.create("2027")

    await run(block.code, names)


async def test_the_fastapi_block_serves(place: tuple[Sandbox, dict[str, Any]]) -> None:
    sandbox, names = place
    app = (await run(block_with("FastAPI("), names))["app"]

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
    ):
        url = f"/companies/{ACCOUNT}/sequences/2027"
        responses = [await client.post(url) for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]
    assert [response.json()["created"] for response in responses] == [True, False]
    assert sandbox.count("POST", "/sequences.json", account=ACCOUNT) == 1


async def test_the_router_block_runs_a_job_over_the_rows_of_a_database(
    place: tuple[Sandbox, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox, names = place
    app = FastAPI()
    app.include_router((await run(block_with("APIRouter("), names))["router"])

    async with (
        SessionManager() as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
    ):
        app.state.invoicexpress = manager
        started = [await client.post("/sequences/2027") for _ in range(2)]
        listed = await client.get(f"/companies/{ACCOUNT}/sequences")
        unknown = await client.get("/companies/nobody/sequences")

    assert [one.status_code for one in (*started, unknown)] == [202, 202, 404]
    assert sandbox.count("POST", "/sequences.json", account=ACCOUNT) == 1
    (found,) = [one for one in listed.json() if one["serie"] == "2027"]
    assert found["is_default"] is True
    (row,) = [one for one in sandbox.sequences(ACCOUNT) if one.serie == "2027"]
    assert found["validation_codes"]["invoice"] == row.validation_codes["invoice"]
    assert "1 done" in capsys.readouterr().out


async def test_the_aiohttp_web_block_serves(place: tuple[Sandbox, dict[str, Any]]) -> None:
    _, names = place
    app = (await run(block_with("web.Application("), names))["app"]

    async with TestClient(TestServer(app)) as client:
        response = await client.get(f"/companies/{ACCOUNT}/sequences")

        assert await response.json() == ["2026"]


async def invoke(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(command)
    assert Path(program).name == "invoicexpress"

    code = await asyncio.to_thread(main, words)

    shown = "".join(capsys.readouterr())
    assert code == 0, f"{command}\n{shown}"
    assert API_KEY not in shown


@pytest.mark.parametrize("block", CONSOLES, ids=str)
async def test_every_command_runs(
    block: Block, place: tuple[Sandbox, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, names = place
    assert block.code == "".join(f"$ {command}\n" for command in block.commands)
    if "audit accounts.csv --year 2027" in block.code:
        await names["account"].sequences.ensure("2027", default=True)

    for command in block.commands:
        if " sandbox" not in command:  # it runs until Ctrl-C: see the walkthroughs
            await invoke(command.replace("1234", str(names["row_id"])), capsys)


@pytest.mark.parametrize("block", SCHEDULES, ids=str)
async def test_every_scheduled_command_runs_twice(
    block: Block, place: tuple[Sandbox, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox, _ = place
    if block.language == "ini":
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
        unit.read_string(block.code)
        command, folder = unit["Service"]["ExecStart"], unit["Service"]["WorkingDirectory"]
    else:
        found = re.fullmatch(r"(?:[\d*/,-]+ ){5}cd (\S+) && (.+)\n", block.code)
        assert found is not None
        folder, command = found.groups()

    for _ in range(2):
        await invoke(command, capsys)

    assert folder.startswith("/srv/")
    assert sandbox.count("POST", "/sequences.json", account=ACCOUNT) == 1


def test_the_file_of_accounts_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "accounts.csv"
    file.write_text(ACCOUNTS.code)
    file.chmod(0o600)
    monkeypatch.setenv("GLOBEX_API_KEY", API_KEY)

    accounts = AccountList.from_csv(file)

    assert [row.account for row in accounts.rows] == ["acme", "globex"]


def test_the_shell_blocks_install_what_the_project_offers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = re.findall(r"^\w.*$", "".join(one.code for one in blocks_in("sh")), re.MULTILINE)
    extras = re.findall(r"\.\[([\w,]+)\]", README)

    assert {line.split()[0] for line in lines} == INSTALLERS
    assert len(extras) >= 4
    assert set(",".join(extras).split(",")) <= set(project["optional-dependencies"])


def test_no_text_installs_the_package_from_an_index_that_may_have_another_of_its_name() -> None:
    texts = {path: path.read_text() for path in (ROOT / "invoicexpress_async").rglob("*.py")}
    texts |= {path: path.read_text() for path in (ROOT / "README.md", *DOCS.glob("*.md"))}
    installs = re.compile(r"(?:pip|pipx|uv) install[^\n]*invoicexpress[-_]async")

    assert [path.name for path, text in texts.items() if installs.search(text)] == []


def test_no_block_is_left_out() -> None:
    kinds = {block.language for block in BLOCKS if block.page not in WALKTHROUGHS}
    walked = {block.language for block in BLOCKS if block.page in WALKTHROUGHS}

    # The tree of errors has no language: test_errors.py looks for each class on that page.
    assert kinds == {"python", "console", "sh", "bash", "csv", "crontab", "ini", "yaml", ""}
    assert [block.page for block in BLOCKS if not block.language] == ["errors.md"]
    assert walked == {"console", "ini"}


def test_the_readme_has_the_two_commands_on_its_first_screen() -> None:
    first_screen = "\n".join(README.splitlines()[:30])

    assert "invoicexpress demo" in first_screen
    assert "pytest" in first_screen
    assert len(PYTHON) >= 8
    assert sum(len(block.commands) for block in CONSOLES) >= 6


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 250


async def test_every_python_block_passes_the_type_checker(tmp_path: Path) -> None:
    head = "from invoicexpress_async import AccountSession\n"
    names = "account: AccountSession, api_key: str, api_keys: dict[str, str], "
    names += "at_password: str, user_password: str"
    blocks = [
        f"async def block_{number}({names}) -> None:\n{textwrap.indent(block.code, '    ')}"
        for number, block in enumerate(PYTHON)
    ]
    file = tmp_path / "docs_blocks.py"
    file.write_text(head + "\n".join(blocks))
    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--strict"]
    mypy += [
        f"--disable-error-code={one}" for one in ("import-untyped", "untyped-decorator")
    ]  # of Celery

    process = await asyncio.to_thread(
        subprocess.run,
        [*mypy, "--cache-dir", str(tmp_path), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stdout
