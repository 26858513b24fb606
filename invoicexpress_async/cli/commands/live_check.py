"""`invoicexpress live-check`: checks whether a real account responds as this program assumes."""

import sys
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter
from rich.text import Text

from invoicexpress_async.cli.connection import (
    ask_yes_or_no,
    base_url_of,
    has_terminal,
    is_this_machine,
    name_of,
    read_key,
)
from invoicexpress_async.cli.options import AccountOptions
from invoicexpress_async.cli.output import data_console, new_table, write_json
from invoicexpress_async.cli.shell import DONE, FAILED, UNKNOWN, echo
from invoicexpress_async.config import Timeouts, check_seconds, check_serie
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.live_check.checks import check_reads
from invoicexpress_async.live_check.inspection import Finding, Inspection, Verdict
from invoicexpress_async.live_check.probe import Probe
from invoicexpress_async.live_check.recording import make_record_file, write_recording
from invoicexpress_async.live_check.writes import Ask, check_writes

_STYLES: Final = {
    Verdict.AS_ASSUMED: "green",
    Verdict.NEW: "yellow",
    Verdict.DIFFERS: "red",
    Verdict.NO_RESPONSE: "red",
    Verdict.UNKNOWN: "bold red",
    Verdict.SKIPPED: "dim",
}


def live_check(
    *,
    write: Annotated[
        bool, Parameter(help="Also offer the steps that write, one question each.")
    ] = False,
    serie: Annotated[
        str | None, Parameter(help="With --write: the name of a series to create, for ever.")
    ] = None,
    record: Annotated[
        Path | None,
        Parameter(help="Write what came back to this new file, with every value replaced."),
    ] = None,
    options: AccountOptions = AccountOptions(),
) -> int:
    """Compare a real account with what this program assumes of the API: what differs, what is new.

    Only reads, in eight requests, unless --write is given. Each step that writes is sent once at
    most, and only after a yes on the terminal; for a server on this machine there is no question.

    The exit code is 0 when nothing differs, 1 when something does, and 3 when the outcome of a step
    that writes is not known.
    """
    probe = _probe(options)
    ask = _ask(probe, is_writing=write, serie=serie)
    inspection = Inspection(probe=probe)
    if record is not None:
        make_record_file(record)
    try:
        rows = check_reads(inspection)
        if ask is not None:
            check_writes(inspection, rows, serie=serie, ask=ask)
    finally:
        # Also after an interruption: what was found before it is useful.
        _show(inspection.findings, as_json=options.as_json)
        if record is not None:
            _record(inspection, record)
    return _exit_code(inspection.findings)


def _record(inspection: Inspection, path: Path) -> None:
    try:
        write_recording(inspection, path)
    except OSError as error:
        echo(f"The recording {path} cannot be written: {error.strerror}.")
    else:
        echo(f"Recorded in {path}, with every value replaced. Read it before you pass it on.")


def _probe(options: AccountOptions) -> Probe:
    seconds = Timeouts().total_seconds
    if options.timeout is not None:
        seconds = check_seconds("--timeout", options.timeout)
    return Probe(
        base_url=base_url_of(options),
        account=name_of(options),
        key=read_key(options.api_key_file),
        timeout_seconds=seconds,
    )


def _ask(probe: Probe, *, is_writing: bool, serie: str | None) -> Ask | None:
    """Return the question before each step that writes; None if no such step is offered."""
    if serie is not None:
        check_serie(serie)
    if not is_writing:
        if serie is not None:
            raise ConfigurationError("--serie creates a series: add --write.")
        return None
    if is_this_machine(probe.base_url):
        return lambda _: True
    if not has_terminal():
        raise ConfigurationError(
            "live-check --write asks before each step, also where --yes would be taken. There is "
            "no terminal to ask on."
        )
    return ask_yes_or_no


def _exit_code(findings: list[Finding]) -> int:
    verdicts = {one.verdict for one in findings}
    if Verdict.UNKNOWN in verdicts:
        return UNKNOWN
    return FAILED if verdicts & {Verdict.DIFFERS, Verdict.NO_RESPONSE} else DONE


def _show(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        checks, is_as_assumed = list(map(attrs.asdict, findings)), _exit_code(findings) == DONE
        write_json({"type": "live-check", "is_as_assumed": is_as_assumed, "checks": checks})
        return
    rows = ((one.check, Text(one.verdict, _STYLES[one.verdict]), one.found) for one in findings)
    data_console().print(new_table("check", "verdict", "found", rows=rows))
    sys.stdout.flush()
