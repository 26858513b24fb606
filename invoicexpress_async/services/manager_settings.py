"""The settings of a `SessionManager`, as arguments and in the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from invoicexpress_async.config import (
    MAX_CONNECTIONS_VARIABLE,
    TIMEOUT_VARIABLE,
    Timeouts,
)
from invoicexpress_async.services.arguments import number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ssl import SSLContext

    from aiohttp import TraceConfig
    from aiohttp.abc import AbstractResolver

    from invoicexpress_async.call.limiter import RateLimit
    from invoicexpress_async.call.realm import Process
    from invoicexpress_async.clock import Clock
    from invoicexpress_async.events import Event
    from invoicexpress_async.jobs.journal import Journal
    from invoicexpress_async.protocol.decision import RetryPolicy


class ManagerSettings(TypedDict, total=False):
    """The keyword arguments of a `SessionManager`, which describes them.

    Those that may contain a password, `base_url` and `proxy`, are not among them.
    """

    timeouts: Timeouts | None
    retry: RetryPolicy | None
    rate_limit: RateLimit | None
    max_connections: int | None
    ssl_context: SSLContext | None
    trace_configs: Iterable[TraceConfig]
    app_name: str | None
    resolver: AbstractResolver | None
    clock: Clock | None
    on_event: Callable[[Event], None] | None
    key_ttl_seconds: float
    journal: Journal | None
    process: Process | None


def add_environment(settings: ManagerSettings) -> None:
    """Add what the environment sets and the arguments do not."""
    text = os.environ.get(TIMEOUT_VARIABLE)
    if text and settings.get("timeouts") is None:
        settings["timeouts"] = Timeouts(total_seconds=number_of(TIMEOUT_VARIABLE, text, float))
    text = os.environ.get(MAX_CONNECTIONS_VARIABLE)
    if text and settings.get("max_connections") is None:
        settings["max_connections"] = number_of(MAX_CONNECTIONS_VARIABLE, text, int)
