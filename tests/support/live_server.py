"""A server for plain HTTP clients, whose responses a test defines byte for byte."""

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import attrs
from conftest import ACCOUNT, API_KEY

from invoicexpress_async.live_check.description import read_description

DESCRIPTION: dict[str, Any] = dict(read_description())
JSON = ("Content-Type", "application/json; charset=utf-8")
HTML = ("Content-Type", "text/html; charset=utf-8")
COOKIE = ("Set-Cookie", "_session=1; domain=.app.invoicexpress.com; path=/; HttpOnly")
_WRONG = "live-check-wrong-key"
UNKNOWN_ID = "2147483647"


@attrs.frozen
class Response:
    status: int
    body: bytes = b" "
    headers: tuple[tuple[str, str], ...] = (JSON, COOKIE)
    is_cut: bool = False


@attrs.frozen(kw_only=True)
class Received:
    method: str
    account: str
    path: str
    query: Mapping[str, list[str]]
    body: bytes

    @property
    def key(self) -> str:
        return self.query.get("api_key", [""])[0]


Respond = Callable[[Received], Response | None]


def json_response(status: int, value: Any) -> Response:
    return Response(status, json.dumps(value).encode())


def example(name: str) -> Any:
    return DESCRIPTION["components"]["examples"][name]["value"]


class DescribedServer:
    """Responds with the examples of the OpenAPI description; a test can replace each one."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/{{account}}"
        self.received: list[Received] = []
        self.key = API_KEY
        self.account = ACCOUNT
        self.special: dict[str, Response | Respond | None] = {}
        page = b"<!DOCTYPE html><title>Moved</title>"
        self.normal: dict[str, Response] = {
            "list_sequences": json_response(200, example("list")),
            "paged": json_response(200, example("list")),
            "get_sequence": json_response(200, {"sequences": example("list")["sequences"][0]}),
            "set_current_sequence": Response(200),
            "register_sequence": json_response(409, {"errors": {"code": "005", "message": "x"}}),
            "create_sequence": json_response(
                422, {"errors": {"code": "001", "message": "not a name"}}
            ),
            "not_found": Response(404),
            "unknown_account_id": Response(404),
            "wrong_key": json_response(401, example("key")),
            "unknown_account": json_response(401, example("key")),
            "unknown_route": Response(302, page, (HTML, COOKIE, ("Location", "/login"))),
        }

    def place_of(self, request: Received) -> str:
        """Return the name of the response to a request."""
        if request.account != self.account:
            return "unknown_account"
        operation = _operation(request.method, request.path)
        if operation is None:
            return "unknown_route"
        if request.key == _WRONG:
            return "wrong_key"
        if UNKNOWN_ID in request.path:
            return "unknown_account_id" if operation == "get_account" else "not_found"
        return "paged" if "page" in request.query else operation

    def respond(self, request: Received) -> Response | None:
        self.received.append(request)
        place = self.place_of(request)
        found = self.special.get(place, self.normal[place])
        return found(request) if callable(found) else found

    def sent(self, method: str) -> list[str]:
        return [one.path for one in self.received if one.method == method]


def _operation(method: str, path: str) -> str | None:
    for template, methods in DESCRIPTION["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", r"\\d+", template), path) and method.lower() in methods:
            return str(methods[method.lower()]["operationId"])
    return None


@contextmanager
def described_server(context: ssl.SSLContext | None = None) -> Iterator[DescribedServer]:
    """Serve on loopback, from a thread, since the code under test blocks its thread."""
    servers: list[DescribedServer] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target, _, query = self.path.partition("?")
            _, account, path = target.split("/", 2)
            response = servers[0].respond(
                Received(
                    method=self.command,
                    account=account,
                    path=f"/{path}",
                    query=parse_qs(query, keep_blank_values=True),
                    body=body,
                )
            )
            self.close_connection = True
            if response is not None:
                self.wfile.write(_bytes(response))

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815  # the names of the library

        def log_message(self, *_: object) -> None:
            """Log nothing: the line would hold the key."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        servers.append(DescribedServer(server.server_port))
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            servers[0].base_url = servers[0].base_url.replace("http:", "https:")
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield servers[0]
        finally:
            server.shutdown()
            thread.join()


def _bytes(response: Response) -> bytes:
    length = len(response.body) + response.is_cut
    headers = (*response.headers, ("Content-Length", str(length)), ("Connection", "close"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {response.status} Any\r\n{lines}\r\n"
    return head.encode("latin-1", "replace") + response.body
