"""A coverage-guided fuzzer of responses: each must give a value or an error of the package.

`pip install atheris`, then `python benchmarks/fuzz_answers.py -max_total_time=300`. The first
byte chooses the request, the second the status, the third the encoding; the rest is the body.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # a tool for this file alone

with atheris.instrument_imports(include=["invoicexpress_async"]):
    from invoicexpress_async import InvoiceXpressError
    from invoicexpress_async.protocol.exchange import MAX_BODY_BYTES, Request, Response, decipher
    from invoicexpress_async.protocol.sequences import SequenceRequests, make_converter
    from invoicexpress_async.transport.attempt import read_body

import json
from collections.abc import AsyncIterator

_DATA = Path(__file__).parents[1] / "tests" / "data"
_REQUESTS = SequenceRequests(make_converter())
_KINDS: tuple[Request[object], ...] = (
    _REQUESTS.create("2023", default=True),
    _REQUESTS.get(146_090),
    _REQUESTS.list(),
    _REQUESTS.set_current(7),
)
_STATUSES = (200, 201, 302, 401, 404, 409, 422, 429, 500)
_CONTENT_TYPES = (
    "application/json; charset=utf-8",
    "application/json",
    "text/html",
    "application/json; charset=x",
    "",
)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _inflate(body: bytes) -> tuple[bytes, str | None]:
    reading = read_body(_pieces(body), length=None, encoding="deflate")
    try:
        reading.send(None)
    except StopIteration as ended:  # it waits for nothing
        result: tuple[bytes, str | None] = ended.value
        return result
    raise AssertionError("it waits")


def fuzz(data: bytes) -> None:
    """Decipher one response."""
    choice = (*data[:4], 0, 0, 0, 0)
    body = data[4:]
    if choice[2] % 4 == 1:
        body, problem = _inflate(body)
        if len(body) > MAX_BODY_BYTES:
            raise AssertionError("inflated past the cap")
        if problem is not None:
            return
    answer = Response(
        status=_STATUSES[choice[1] % len(_STATUSES)],
        body=body,
        content_type=_CONTENT_TYPES[choice[3] % len(_CONTENT_TYPES)],
        retry_after=body[:20].decode(errors="replace"),
        location=body[:40].decode(errors="replace"),
    )
    try:
        decipher(_KINDS[choice[0] % len(_KINDS)], answer, wall_seconds=0.0)
    except InvoiceXpressError as error:
        if error.__context__ is not None:
            raise AssertionError("something hangs on the error") from None


def main() -> None:
    """Fuzz, starting from the recorded samples."""
    corpus = Path(sys.argv.pop()) if not sys.argv[-1].startswith("-") else None
    arguments = [*sys.argv, *([str(corpus)] if corpus else [])]
    if corpus is not None:
        corpus.mkdir(exist_ok=True)
        for kind in range(len(_KINDS)):
            for path in sorted(_DATA.glob("create_*.json")):
                compact = json.dumps(json.loads(path.read_bytes()), separators=(",", ":"))
                seed = bytes([kind, 0, 0, 0]) + compact.encode()
                (corpus / f"{path.stem}-{kind}").write_bytes(seed)
    atheris.Setup(arguments, fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
