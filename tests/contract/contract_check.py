"""A proxy before a server, which holds every request and response against the description.

It knows neither the client nor the sandbox: both are judged by the description alone, with
openapi-core.
"""

import functools
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import attrs
from aiohttp import web
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse
from yarl import URL

from invoicexpress_async.live_check.description import read_description

# Those of one connection: the proxy has two.
_CONNECTION_HEADERS = {"connection", "content-length", "date", "host", "server"}


@attrs.frozen(kw_only=True)
class Exchange:
    """A request as it arrived, and its response as it left."""

    method: str
    path: str
    query: str = attrs.field(repr=False)
    content_type: str
    accept: str
    body: bytes
    status: int
    response_content_type: str
    response_body: bytes

    @property
    def code(self) -> str:
        """The code of a refusal as the tables spell it; "" if there is none."""
        try:
            document = json.loads(self.response_body)
        except ValueError:
            return ""
        inner = document.get("errors", document) if isinstance(document, dict) else None
        code = inner.get("code") if isinstance(inner, dict) else None
        return "" if code is None else str(code).zfill(3)


@functools.cache
def _api_of(description: str) -> OpenAPI:
    # Once: that the description itself is valid takes longer to see than all else in a test.
    return OpenAPI.from_dict(json.loads(description))


@attrs.define(eq=False)
class Contract:
    """The description, and what was seen of it."""

    description: dict[str, Any] = attrs.field(factory=lambda: dict(read_description()))
    checked: int = attrs.field(default=0, init=False)
    problems: list[str] = attrs.field(factory=list[str], init=False)
    seen: Counter[tuple[str, str]] = attrs.field(factory=Counter[tuple[str, str]], init=False)
    seen_codes: Counter[tuple[str, str, str]] = attrs.field(
        factory=Counter[tuple[str, str, str]], init=False
    )
    _api: OpenAPI = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._api = _api_of(json.dumps(self.description))

    @property
    def documented(self) -> set[tuple[str, str]]:
        """Every operation with every status that it has."""
        return {
            (operation["operationId"], status)
            for _, _, operation in self._operations()
            for status in operation["responses"]
        }

    @property
    def documented_codes(self) -> dict[tuple[str, str, str], str]:
        """The meaning of every operation, status and code."""
        return {
            (operation["operationId"], status, code): content["meaning"]
            for _, _, operation in self._operations()
            for status, response in operation["responses"].items()
            for code, content in response.get("x-codes", {}).items()
        }

    def check(self, exchange: Exchange) -> None:
        """Note what was seen, and all that is not as described."""
        self.checked += 1
        found = self._find(exchange)
        if found is None:
            self._object(exchange, "no such operation is described")
            return
        operation, status = found["operationId"], _status(found, exchange.status)
        self.seen[operation, status] += 1
        if exchange.code:
            self.seen_codes[operation, status, exchange.code] += 1
        for problem in (*self._request_problems(exchange), *self._problems(exchange, found)):
            self._object(exchange, problem)

    def _request_problems(self, exchange: Exchange) -> list[str]:
        problems: list[str] = []
        if exchange.accept != "application/json":
            problems.append(f"it accepts {exchange.accept!r}")
        if set(_pairs(exchange.query)) - {"api_key", "page"}:
            problems.append("its query has a parameter that is not described")
        try:
            self._api.validate_request(_request(exchange))
        except OpenAPIError as error:
            problems.append(f"the request: {_text(error)}")
        return problems

    def _problems(self, exchange: Exchange, operation: dict[str, Any]) -> list[str]:
        response = self._resolved(operation["responses"].get(_status(operation, exchange.status)))
        if _form(exchange) in response.get("x-also", ()):
            return []
        data = MockResponse(
            exchange.response_body,
            status_code=exchange.status,
            content_type=exchange.response_content_type,
        )
        try:
            self._api.validate_response(_request(exchange), data)
        except OpenAPIError as error:
            return [f"the response {exchange.status}: {_text(error)}"]
        return []

    def _find(self, exchange: Exchange) -> dict[str, Any] | None:
        for template, method, operation in self._operations():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if method == exchange.method.lower() and re.fullmatch(pattern, exchange.path):
                return operation
        return None

    def _operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [
            (path, method, operation)
            for path, methods in self.description["paths"].items()
            for method, operation in methods.items()
        ]

    def _resolved(self, response: dict[str, Any] | None) -> dict[str, Any]:
        if response is None:
            return {}
        name = str(response.get("$ref", "")).rpartition("/")[2]
        found: dict[str, Any] = self.description["components"]["responses"].get(name, response)
        return found

    def _object(self, exchange: Exchange, problem: str) -> None:
        self.problems.append(f"{exchange.method} {exchange.path}: {problem}")


@asynccontextmanager
async def watched(base_url: str, contract: Contract) -> AsyncIterator[str]:
    """Check all that passes to a server; the address to call in its place is given."""
    target = URL(base_url.replace("/{account}", ""))
    async with aiohttp.ClientSession(
        auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def forward(request: web.BaseRequest) -> web.Response:
            return await _forward(request, session, target, contract)

        runner = web.ServerRunner(web.Server(forward))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/{{account}}"
        finally:
            await runner.cleanup()


async def _forward(
    request: web.BaseRequest, session: aiohttp.ClientSession, target: URL, contract: Contract
) -> web.Response:
    body = await request.read()
    headers = {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in _CONNECTION_HEADERS
    }
    url = URL(f"{target}{request.raw_path}", encoded=True)
    async with session.request(
        request.method, url, data=body or None, headers=headers, allow_redirects=False
    ) as response:
        content = await response.read()
    path, _, query = request.raw_path.partition("?")
    exchange = Exchange(
        method=request.method,
        path="/" + path.split("/", 2)[2],
        query=query,
        content_type=request.headers.get("Content-Type", ""),
        accept=request.headers.get("Accept", ""),
        body=body,
        status=response.status,
        response_content_type=response.headers.get("Content-Type", ""),
        response_body=content,
    )
    contract.check(exchange)
    return web.Response(
        status=response.status,
        headers={"Content-Type": exchange.response_content_type},
        body=content,
    )


def _status(operation: dict[str, Any], status: int) -> str:
    if str(status) in operation["responses"]:
        return str(status)
    return f"{status // 100}XX"


def _form(exchange: Exchange) -> str:
    if not exchange.response_body.strip():
        return "empty"
    media_type = exchange.response_content_type.partition(";")[0]
    return {"text/html": "html", "text/plain": "text"}.get(media_type, "json")


def _request(exchange: Exchange) -> MockRequest:
    return MockRequest(
        "https://acme.app.invoicexpress.com",
        exchange.method,
        exchange.path,
        args=dict(_pairs(exchange.query)),
        data=exchange.body,
        content_type=exchange.content_type,
    )


def _pairs(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


def _text(error: BaseException) -> str:
    causes: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "schema_errors", ())
        causes.append(f"{type(cause).__name__}: {cause}" + "".join(f"; {one}" for one in inner))
        cause = cause.__cause__
    return " <- ".join(causes)[:600]
