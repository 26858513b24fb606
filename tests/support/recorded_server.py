"""Recordings of `live-check` as responses. Each placeholder becomes an invented value."""

import json
import re
from pathlib import Path
from typing import Any

from conftest import DATA

RECORDINGS = sorted((DATA / "recordings").glob("*.json"))
_PLACEHOLDER = re.compile(r"<(?P<kind>[a-z]+):(?P<number>[0-9]+)>")


class Recording:
    """The exchanges of a recording, by check."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["format"] == "invoicexpress-live-check/1"
        self._exchanges = {one["check"]: one for one in document["exchanges"]}

    def has(self, check: str) -> bool:
        return bool(self._exchanges.get(check, {}).get("response"))

    def request(self, check: str) -> Any:
        return restored(self._exchanges[check]["request"])

    def response(self, check: str) -> tuple[int, str, bytes]:
        """Return the status, the content type and the body of the response to a check."""
        response = self._exchanges[check]["response"]
        types = [value for name, value in response["headers"] if name == "content-type"]
        return response["status"], (types or ["application/json"])[0], _body(response)


def restored(value: Any) -> Any:
    """Return a recorded value with invented values for its placeholders."""
    if isinstance(value, dict):
        return {restored(name): restored(one) for name, one in value.items()}
    if isinstance(value, list):
        return [restored(one) for one in value]
    match = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return value if match is None else _made_up(match["kind"], int(match["number"]))


def _made_up(kind: str, number: int) -> Any:
    made_up: dict[str, Any] = {
        "integer": 900_000 + number,
        "number": 0.5 + number,
        "digits": f"{900_000 + number}",
        "code": f"JFX7K{number:03}",
        "email": f"person{number}@example.com",
        "url": f"https://example{number}.app.invoicexpress.com",
    }
    return made_up.get(kind, f"{kind} {number}")


def _body(response: dict[str, Any]) -> bytes:
    if response["kind"] == "json":
        return json.dumps(restored(response["body"])).encode()
    if response["kind"] == "empty":
        return str(response["body"]).encode()
    return b"<html></html>" if response["kind"] == "html" else b"a text"
