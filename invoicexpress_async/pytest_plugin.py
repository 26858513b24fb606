"""Fixtures for the tests of programs that use this package. pytest finds them by itself.

All three are synchronous, on purpose. The sandbox runs in its own thread and event loop, and the
manager belongs to the loop that first uses it. So pytest-asyncio (strict or auto, with any loop
scope) and anyio have nothing to run here, no fixture can be on another loop than its test, tests
without a loop can use the same fixtures, and a test that blocks its loop does not stop the server.

A project that does not use the fixtures imports only this module: all else, aiohttp above all, is
imported when a fixture is used.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioresponses import aioresponses

    from invoicexpress_async.session import SessionManager
    from invoicexpress_async.testing import SandboxThread


@pytest.fixture
def invoicexpress_sandbox() -> "Iterator[SandboxThread]":
    """A local InvoiceXpress with one account, `.account` and `.api_key`, new for each test.

    INVOICEXPRESS_BASE_URL, _ACCOUNT and _API_KEY are set to it for the test, so that a program
    that takes its settings from them uses it unchanged. `.fail_next("close_after_read")` and
    other faults break it; `.sequences()`, `.count(...)` and `.requests` show what truly happened.
    """
    from invoicexpress_async.testing import SandboxThread  # noqa: PLC0415  # see above

    with SandboxThread() as sandbox, pytest.MonkeyPatch.context() as environment:
        for name, value in sandbox.environment.items():
            environment.setenv(name, value)
        yield sandbox


@pytest.fixture
def invoicexpress_manager(invoicexpress_sandbox: "SandboxThread") -> "Iterator[SessionManager]":
    """A `SessionManager` on `invoicexpress_sandbox`, for the one event loop that uses it.

    It closes by itself, and waits for tenths of a second where an ordinary one waits for seconds.
    """
    from invoicexpress_async.testing import quick_manager  # noqa: PLC0415  # see above

    with quick_manager(invoicexpress_sandbox.base_url) as manager:
        yield manager


@pytest.fixture
def invoicexpress_aioresponses() -> "Iterator[aioresponses]":
    """An `aioresponses` that works with the installed aiohttp, for tests that mock."""
    from invoicexpress_async.testing import patched_aioresponses  # noqa: PLC0415  # see above

    with patched_aioresponses() as mocked:
        yield mocked
