"""The report in a file: one row for each account, serie and document type."""

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from invoicexpress_async.cli._failures import cure_of
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.provisioning import RowOutcome

_COLUMNS: Final = (
    "line",
    "account",
    "serie",
    "state",
    "created",
    "error",
    "code",
    "cure",
    "intent",
    "id",
    "document_type",
    "document_sequence_id",
    "validation_code",
    "registration",
)


class ReportFile:
    """A CSV that is opened before anything is sent and written as outcomes come.

    Raises:
        ConfigurationError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        problem = ""
        try:
            self._file = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise ConfigurationError(f"The report {path} cannot be written: {problem}.")
        self._writer = csv.writer(self._file)
        self._writer.writerow(_COLUMNS)

    def note(self, outcome: RowOutcome) -> None:
        """Write an outcome; without a sequence it is one row."""
        row = outcome.row
        start = [row.line or None, row.account, row.serie, outcome.state, outcome.created]
        start += [outcome.error_name, outcome.code]
        start += [cure_of(outcome.error) if outcome.error else None]
        start += [json.dumps(outcome.intent) if outcome.intent else None]
        if outcome.sequence is None:
            self._writer.writerow(start)
            return
        for name, state in outcome.sequence.documents.items():
            document = [name, state.sequence_id, state.validation_code, state.registration]
            self._writer.writerow([*start, outcome.sequence.id, *document])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
