"""Hooks of a user's, kept from changing what happens and from seeing what is secret."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from frozenlist import FrozenList

from invoicexpress_async.transport.attempt import Attempt

_LOGGER: Final = logging.getLogger("invoicexpress_async")
_CHUNKS: Final = (aiohttp.TraceRequestChunkSentParams, aiohttp.TraceResponseChunkReceivedParams)
_Hook = Callable[..., Awaitable[None]]


def shield_hooks(trace: aiohttp.TraceConfig) -> aiohttp.TraceConfig:
    """Let no exception of a user's hook change the outcome of a request: it is logged apart."""
    for name in dir(trace):
        signal: FrozenList[_Hook] = getattr(trace, name) if name.startswith("on_") else FrozenList()
        for index, hook in enumerate(signal):
            if not isinstance(hook, _ShieldedHook) and not signal.frozen:
                signal[index] = _ShieldedHook(hook)
    return trace


class _ShieldedHook:
    def __init__(self, hook: _Hook) -> None:
        self._hook = hook

    async def __call__(self, session: object, context: object, params: object) -> None:
        if isinstance(params, _CHUNKS) and _may_have_secrets(context):
            params = type(params)(params.method, params.url, b"*" * len(params.chunk))
        try:
            await self._hook(session, context, params)
        except Exception:
            _LOGGER.exception("A trace hook raised; the request goes on without it.")
        if isinstance(params, aiohttp.TraceRequestHeadersSentParams):
            # It comes before the first byte, and may have waited for long.
            attempt = getattr(context, "trace_request_ctx", None)
            if isinstance(attempt, Attempt):
                attempt.note_sending()


def _may_have_secrets(context: object) -> bool:
    # A context of the user's own making may not carry the attempt.
    attempt = getattr(context, "trace_request_ctx", None)
    return not isinstance(attempt, Attempt) or attempt.has_secrets
