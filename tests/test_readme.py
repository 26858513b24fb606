"""Every block of the README runs: Python against the sandbox, commands as processes."""

import ast
import asyncio
import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer
from conftest import ACCOUNT, API_KEY

from invoicexpress_async import SessionManager
from invoicexpress_async.sandbox import Sandbox

README = (Path(__file__).parents[1] / "README.md").read_text()
# Run as a whole, in test_readme_first_minutes.py.
FIRST_MINUTES = README.partition("\n## The first ten minutes\n")[2].partition("\n## ")[0]
REHEARSAL = README.partition("\n### A rehearsal\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(
    r"```(\w+)\n(.*?)```",
    README.replace(FIRST_MINUTES, "").replace(REHEARSAL, ""),
    re.DOTALL,
)
PYTHON = [code for language, code in BLOCKS if language == "python"]
(COMPANIES,) = (code for language, code in BLOCKS if language == "csv")
COMMANDS = [
    line.removeprefix("$ ")
    for language, code in BLOCKS
    if language == "console"
    for line in code.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture
async def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Sandbox, dict[str, Any]]]:
    """A sandbox in the environment, and the names that the README takes for granted."""
    async with Sandbox() as sandbox:
        from invoicexpress_async.sandbox import SandboxAccount  # noqa: PLC0415

        sandbox.add_account(SandboxAccount(name=ACCOUNT, api_key=API_KEY, is_partner=True))
        sandbox.add_account(SandboxAccount(name="company", id="4711", owner=ACCOUNT))
        row = sandbox.add_sequence(ACCOUNT, "2026")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("INVOICEXPRESS_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("INVOICEXPRESS_ACCOUNT", ACCOUNT)
        monkeypatch.setenv("INVOICEXPRESS_API_KEY", API_KEY)
        (tmp_path / "accounts.csv").write_text(f"account,api_key\n{ACCOUNT},{API_KEY}\n")
        (tmp_path / "accounts.csv").chmod(0o600)
        (tmp_path / "companies.csv").write_text(COMPANIES)
        async with SessionManager() as manager:
            account = manager.account()
            names = {
                "__name__": "readme",
                "api_key": API_KEY,
                "api_keys": {ACCOUNT: API_KEY},
                "at_password": "canary-at-password",
                "user_password": "canary-user-password",
                "account": account,
            }
            yield sandbox, {**names, "row_id": row.id}


async def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    compiled = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)  # noqa: S307  # the README's own code
    if inspect.isawaitable(result):
        await result
    return names


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.strip().splitlines()[-1][:40])
async def test_every_python_block_runs(code: str, place: tuple[Sandbox, dict[str, Any]]) -> None:
    _, names = place
    if "find(" in code:
        await names["account"].sequences.create("2027")

    await run(code, names)


def block(word: str) -> str:
    return str(next(code for code in PYTHON if word in code))


async def test_the_fastapi_block_serves(place: tuple[Sandbox, dict[str, Any]]) -> None:
    sandbox, names = place
    app = (await run(block("FastAPI("), names))["app"]

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
    ):
        url = f"/companies/{ACCOUNT}/sequences/2027"
        answers = [await client.post(url) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["created"] for answer in answers] == [True, False]
    assert sandbox.count("POST", "/sequences.json", account=ACCOUNT) == 1


async def test_the_aiohttp_web_block_serves(place: tuple[Sandbox, dict[str, Any]]) -> None:
    _, names = place
    app = (await run(block("web.Application("), names))["app"]

    async with TestClient(TestServer(app)) as client:
        answer = await client.get(f"/companies/{ACCOUNT}/sequences")

        assert await answer.json() == ["2026"]


@pytest.mark.parametrize("command", [one for one in COMMANDS if " sandbox" not in one])
async def test_every_command_runs(command: str, place: tuple[Sandbox, dict[str, Any]]) -> None:
    _, names = place
    words = shlex.split(command.replace("1234", str(names["row_id"])))
    assert words[0] == "invoicexpress"

    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "invoicexpress_async", *words[1:]],
        capture_output=True,
        text=True,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        timeout=50,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    assert API_KEY not in process.stdout + process.stderr


def test_the_readme_has_the_two_commands_on_its_first_screen() -> None:
    first_screen = "\n".join(README.splitlines()[:30])

    assert "invoicexpress demo" in first_screen
    assert "pytest" in first_screen
    assert len(PYTHON) >= 8
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("anchor", re.findall(r"\]\(#([^)]+)\)", README))
def test_every_link_inside_the_readme_has_its_heading(anchor: str) -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)

    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor in slugs


async def test_every_python_block_passes_the_type_checker(tmp_path: Path) -> None:
    head = "from typing import Any\nfrom invoicexpress_async import AccountSession\n"
    names = "account: AccountSession, api_key: str, api_keys: dict[str, str], app: Any, "
    names += "at_password: str, user_password: str"
    blocks = [
        f"async def block_{number}({names}) -> None:\n{textwrap.indent(code, '    ')}"
        for number, code in enumerate(PYTHON)
    ]
    file = tmp_path / "readme_blocks.py"
    file.write_text(head + "\n".join(blocks))
    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--check-untyped-defs"]

    process = await asyncio.to_thread(
        subprocess.run,
        [*mypy, "--cache-dir", str(tmp_path), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stdout
