"""The fixtures for users, each in a project and process of its own, as pytest finds them there.

`.ci/plugin_project` does the same with the built wheel in clean environments.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from invoicexpress_async import SessionManager
from invoicexpress_async.testing import SandboxThread, quick_manager

PROJECT = Path(__file__).parents[1] / "plugin_project"
NO_ASYNCIO = ("-p", "no:asyncio")
# Other plugins of this environment, which take most of the time that pytest needs to start.
SLOW = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")
AUTO = (
    *("-o", "asyncio_mode=auto"),
    *("-o", "asyncio_default_fixture_loop_scope=session"),
    *("-o", "asyncio_default_test_loop_scope=session"),
)


async def run_project(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The options of the run that this test is part of are not that project's.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTEST_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SLOW, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        pytest.param(
            (*NO_ASYNCIO, "sync_case.py", "mock_case.py", "anyio_case.py"), 15, id="sync-and-anyio"
        ),
        pytest.param(
            ("-o", "asyncio_default_fixture_loop_scope=function", "strict_case.py"),
            10,
            id="asyncio-strict",
        ),
        pytest.param((*AUTO, "auto_case.py"), 2, id="asyncio-auto-session-loop"),
    ],
)
async def test_the_fixtures_work_in_a_project_of_its_own(
    arguments: tuple[str, ...], passed: int
) -> None:
    process = await run_project(*arguments)

    assert process.returncode == 0, process.stdout + process.stderr
    assert f"{passed} passed" in process.stdout


async def test_a_project_that_does_not_use_them_imports_no_aiohttp(tmp_path: Path) -> None:
    case = tmp_path / "case.py"
    case.write_text(
        "import sys\n\n\ndef test_it():\n"
        "    assert 'invoicexpress_async.pytest_plugin' in sys.modules\n"
        "    assert not {'aiohttp', 'attrs', 'cattrs'} & set(sys.modules)\n"
    )

    # Of the other plugins here, some import attrs themselves.
    process = await run_project(*NO_ASYNCIO, "-p", "no:anyio", "-p", "no:pytest_cov", str(case))

    assert process.returncode == 0, process.stdout + process.stderr


async def test_the_test_of_the_documentation_passes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
    _, _, rest = page.partition("<!-- test of the plugin -->\n```python\n")
    (tmp_path / "test_docs_block.py").write_text(rest.partition("```")[0])

    process = await run_project(
        "-c", str(PROJECT / "pytest.ini"), *AUTO, str(tmp_path / "test_docs_block.py")
    )

    assert process.returncode == 0, process.stdout + process.stderr
    assert "1 passed" in process.stdout


async def test_a_new_sandbox_on_the_port_of_an_earlier_one_starts_empty() -> None:
    first, second = SandboxThread(), SandboxThread()
    with first:
        second._server.port = first._server.port  # noqa: SLF001  # free ports are seldom reused
        assert await create_one(first)
    with second:
        assert second.base_url == first.base_url
        assert await create_one(second)


async def create_one(sandbox: SandboxThread) -> bool:
    async with SessionManager(base_url=sandbox.base_url) as manager:
        account = manager.account(sandbox.account, sandbox.api_key)
        return (await account.sequences.ensure("2027")).created


async def test_a_quick_manager_is_refused_in_a_coroutine_before_anything_is_open() -> None:
    refused = pytest.raises(RuntimeError, match="write `async with SessionManager")

    with SandboxThread() as sandbox, refused, quick_manager(sandbox.base_url):
        pass
