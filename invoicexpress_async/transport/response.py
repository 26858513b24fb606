"""From the head of a response and the stream of its body to plain data, secrets redacted."""

from collections.abc import Mapping
from typing import Final

import aiohttp

from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import MOST_BODY_BYTES, Answer
from invoicexpress_async.transport.body import OVERSIZED, read_body, redact_json

_PLAIN_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8"})


async def read_answer(
    status: int, headers: Mapping[str, str], content: aiohttp.StreamReader, key: Secret
) -> Answer:
    """Read the body up to the cap, and redact the key in all that is kept.

    What is left of a body with a `problem` is not wanted, and so its connection is not, either.
    """
    problem: str | None = None
    if content.is_eof() and "Content-Encoding" not in headers:
        # It came in one piece with its headers, as a row does: nothing is left to wait for.
        body = content.read_nowait()
        if len(body) > MOST_BODY_BYTES:
            body, problem = b"", OVERSIZED
    else:
        body, problem = await read_body(
            content.iter_any(),
            length=_length(headers),
            encoding=headers.get("Content-Encoding", ""),
        )
    content_type = headers.get("Content-Type", "")
    return Answer(
        status=status,
        body=redact_json(body, key),
        content_type=content_type if content_type in _PLAIN_JSON else _redact(content_type, key),
        retry_after=_redacted_header(headers, "Retry-After", key),
        location=_redacted_header(headers, "Location", key),
        problem=problem,
    )


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else None


def _redacted_header(headers: Mapping[str, str], name: str, key: Secret) -> str | None:
    text = headers.get(name)
    return None if text is None else _redact(text, key)


def _redact(text: str, key: Secret) -> str:
    return key.redact(text.encode(errors="replace")).decode()
