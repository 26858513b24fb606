"""Calls that fail in many ways, each reported to an error tracker.

As a program it prints the events of sentry-sdk, which changes aiohttp's client for as long as its
process lives.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import sentry_sdk

from invoicexpress_async import ConfigurationError, InvoiceXpressError, SessionManager, Timeouts
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

ACCOUNT = "acme"
KEY = "canary-key-7f3a9c51d2e8"
BODY = "canary-body-51d2e87f3a9c"
FAULTS = ("close_after_read", "timeout", "echo_key", "garbage", "truncated_json")


async def broken_calls(base_url: str, fail_next: Callable[[str], object]) -> None:
    """Let calls fail in many ways, each reported to the tracker."""
    quick = Timeouts(total_seconds=0.5, attempt_seconds=0.2, connect_seconds=0.2)
    async with SessionManager(base_url=base_url, timeouts=quick) as manager:
        account = manager.account(ACCOUNT, KEY)
        for fault in FAULTS:
            fail_next(fault)
            with contextlib.suppress(InvoiceXpressError):
                await _reported(account.sequences.create(f"S{fault[:5]}"))
            fail_next(fault)
            with contextlib.suppress(InvoiceXpressError):
                await _reported(account.request("POST", "/sequences.json", {"password": BODY}))
        with contextlib.suppress(ConfigurationError):
            manager.account(ACCOUNT, KEY.encode())  # type: ignore[arg-type]  # the slip itself


async def _reported(call: Awaitable[object]) -> None:
    try:
        await call
    except InvoiceXpressError as error:
        sentry_sdk.capture_exception(error)
        raise


def _print(event: Any, _: Any) -> None:
    sys.stdout.write(json.dumps(event, default=repr) + "\n")


async def _main() -> None:
    # With the locals of every frame.
    sentry_sdk.init(
        dsn="https://public@sentry.example/1",
        before_send=_print,
        include_local_variables=True,
        max_request_body_size="always",
    )
    async with FaultServer(accounts=[SandboxAccount(name=ACCOUNT, api_key=KEY)]) as server:
        await broken_calls(server.base_url, server.faults.next)


if __name__ == "__main__":
    asyncio.run(_main())
