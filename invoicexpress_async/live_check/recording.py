"""The recording of a run: every exchange and finding, without any value of the account."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.live_check.inspection import Exchange, Inspection
from invoicexpress_async.live_check.probe import BodyKind, Reply
from invoicexpress_async.live_check.redaction import Redactor
from invoicexpress_async.models.json_value import JsonValue

FORMAT: Final = "invoicexpress-live-check/1"


def make_record_file(path: Path) -> None:
    """Create the file, to find out before anything is sent whether it can be written."""
    problem = ""
    try:
        path.open("x").close()
    except OSError as error:
        problem = str(error.strerror)
    if problem:
        raise ConfigurationError(f"{path} cannot be made: {problem}. Give --record a new file.")


def write_recording(inspection: Inspection, path: Path) -> None:
    """Write the recording into the file."""
    text = json.dumps(recording_of(inspection), indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def recording_of(inspection: Inspection) -> JsonValue:
    """Return the recording as plain data."""
    probe = inspection.probe
    redactor = Redactor(key=probe.key, account=probe.account, own_host=probe.host())
    return {
        "format": FORMAT,
        "recorded_on": datetime.now(tz=UTC).date().isoformat(),
        "version": version("invoicexpress-async"),
        "exchanges": list(_exchanges(redactor, inspection.exchanges)),
        "findings": [
            {"check": one.check, "verdict": one.verdict, "found": one.found}
            for one in inspection.findings
        ],
    }


def _exchanges(redactor: Redactor, exchanges: Iterable[Exchange]) -> Iterable[JsonValue]:
    for one in exchanges:
        request = one.request
        yield {
            "check": one.check,
            "request": {
                "method": request.method,
                "path": request.path,
                "id": redactor.value(request.identifier, "id"),
                "query": request.query,
                "body": redactor.value(request.body),
                "has_wrong_key": request.has_wrong_key,
                "is_to_unknown_account": request.is_to_unknown_account,
            },
            "response": None if one.reply is None else _response(redactor, one.reply),
        }


def _response(redactor: Redactor, reply: Reply) -> JsonValue:
    body: JsonValue = None
    if reply.kind is BodyKind.JSON:
        body = redactor.value(reply.document)
    elif reply.kind is BodyKind.EMPTY:
        body = reply.body.decode()  # only white space, and its exact bytes matter
    return {
        "status": reply.status,
        "headers": [redactor.header(name, value) for name, value in reply.headers],
        "kind": reply.kind,
        "body": body,
    }
