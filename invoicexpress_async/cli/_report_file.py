"""The report in a file: one row for each account, serie and document type."""

import csv
import json
import os
from pathlib import Path
from typing import Final

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
        ConfigurationError: the file cannot be written, or must not be.
    """

    def __init__(self, path: Path, *, accounts: Path | None = None) -> None:
        check_report(path, accounts=accounts)
        problem = ""
        try:
            # No key is in it, but who the customers are is nobody else's business.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
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

    def close(self) -> None:
        """Write the rest, and close."""
        self._file.close()


def check_report(path: Path, *, accounts: Path | None = None) -> None:
    """Refuse to write over anything but an earlier report.

    Raises:
        ConfigurationError: it is the file of the accounts, or another file that is there.
    """
    if not path.is_file():
        return  # new, or a device
    if accounts is not None and accounts.exists() and path.samefile(accounts):
        raise ConfigurationError(f"The report {path} is the file of the accounts: name another.")
    if not _is_report(path):
        raise ConfigurationError(
            f"{path} is there already and is not a report: it is kept. Name another file."
        )


def _is_report(path: Path) -> bool:
    header = ",".join(_COLUMNS).encode()
    try:
        with path.open("rb") as file:
            start = file.read(len(header))
    except OSError:
        return False
    return start in {b"", header}
