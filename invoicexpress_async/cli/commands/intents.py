"""Intents as they were kept: JSON lines, the output of --json, or a report."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from invoicexpress_async import Intent
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.protocol.intents import structure_intent
from invoicexpress_async.protocol.sequence_rows import make_converter

_REPORT_START: Final = "line,account,"
_MARKDOWN_START: Final = "# InvoiceXpress"
_MOST_CHARACTERS: Final = 256 * 1024 * 1024  # a report of a hundred thousand rows is smaller


def read_intents(path: Path) -> list[Intent]:
    """Return the intents of a file, or of stdin for `-`, each once.

    Raises:
        ConfigurationError: it cannot be read, a line is not one, or there is none.
    """
    found: list[Intent] = []
    converter = make_converter()
    for line, value in _values(_text(path)):
        try:
            intent = structure_intent(value, converter)
        except ConfigurationError:
            intent = None
        if intent is None:
            raise ConfigurationError(f"{path}, line {line}: this is not an intent.")
        if intent not in found:
            found.append(intent)
    if not found:
        raise ConfigurationError(f"{path} holds no intent: nothing of it is in doubt.")
    return found


def _text(path: Path) -> str:
    problem = ""
    try:
        if str(path) == "-":
            return sys.stdin.read(_MOST_CHARACTERS)
        with path.open(encoding="utf-8-sig") as file:
            return file.read(_MOST_CHARACTERS)
    except OSError as error:
        problem = str(error.strerror)
    except UnicodeError:
        problem = "it is not text"
    raise ConfigurationError(f"{path} cannot be read: {problem}.")


def _values(text: str) -> Iterator[tuple[int, object]]:
    if text.startswith(_REPORT_START):
        for row in csv.DictReader(io.StringIO(text)):
            if row.get("intent"):
                yield int(row["line"] or 0), _parsed(row["intent"])
        return
    is_markdown = text.startswith(_MARKDOWN_START)
    for line, content in enumerate(text.splitlines(), start=1):
        if is_markdown and not content.startswith("    {"):
            continue
        # What was printed for people has words before it.
        start = content.find("{")
        if content.strip():
            value = _parsed(content[max(start, 0) :])
            if (kept := _kept(value)) is not None:
                yield line, kept


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _kept(value: object) -> object | None:
    """Return the intent that stands in an outcome or an error, or None when it has none."""
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, object]", value)
    if "failure" in fields:
        return fields.get("intent")
    if "error" in fields:
        return fields.get("intent")
    # What else the commands write as JSON says what it is; an intent does not.
    return None if "type" in fields else fields
