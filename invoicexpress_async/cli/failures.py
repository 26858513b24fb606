"""Errors on stderr: for people as one block of text, for programs as one JSON object."""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from invoicexpress_async import Intent, errors
from invoicexpress_async.cli.shell import FAILED, UNKNOWN, USAGE, echo, printable, with_program_name
from invoicexpress_async.cli.words import word
from invoicexpress_async.jobs.journal import JournalDifferenceError
from invoicexpress_async.jobs.problems import BadRowsError

_MAX_DIFFERENCES: Final = 5
_BAD_ROWS: Final = "invoicexpress-bad-rows-"
_BAD_ROWS_SECONDS: Final = 86_400

_AS_IT_SAYS: Final = "Do as the server says."
# Only the message of the server says what to do about these.
WITHOUT_CURE: Final = frozenset(
    {errors.StatusError, errors.UnprocessableError, errors.ConflictError}
)

# Replaces cures of the library that name Python by cures that a shell user can follow.
_CURES: Final[Mapping[type[errors.InvoiceXpressError], str]] = {
    errors.DeadlineExceededError: "Give it more time with --timeout.",
    errors.OutcomeUnknownError: (
        "Do not send it again: the server may still carry it out. Give its intent to "
        "`invoicexpress sequences resume` in some minutes, and again later; it only reads."
    ),
    errors.PartialRegistrationError: (
        "Do not use the sequence yet: check the account's tax-authority set-up, then run "
        "`invoicexpress sequences register ID`."
    ),
    errors.DefaultChangedError: (
        "Make the right one the default with `invoicexpress sequences set-current ID`, at once."
    ),
    errors.RateLimitedError: "Wait a minute; leave room for other users of the account.",
    errors.MalformedResponseError: (
        "Look at the problems above; a proxy, a login page or a change of the API may be the cause."
    ),
    errors.UnexpectedRedirectError: (
        "Check --base-url and the account's name: unknown routes are redirected to a web page."
    ),
    errors.UntrustedConnectionError: (
        "Check the clock, the proxy and what certificates this machine trusts (SSL_CERT_FILE), "
        "then run it again."
    ),
    JournalDifferenceError: (
        "Take another journal for another plan; or accept the changes with --accept-changes, if "
        "this is the same job and the new input is right."
    ),
    errors.AccountNotPortugueseError: "Check the account's country: others register no sequences.",
    errors.StatusError: _AS_IT_SAYS,
    errors.UnprocessableError: _AS_IT_SAYS,
    errors.SequenceAlreadyExistsError: (
        "Take it with `invoicexpress sequences ensure`, or choose another."
    ),
}

# A new process sends a create if a list does not have it, so the list needs time to catch up.
CURE_WITHOUT_JOURNAL: Final = (
    "Give its intent to `invoicexpress sequences resume` in some minutes, and again later; it only "
    "reads. Until it shows, do not run this again: without a --journal, the next run does not know "
    "of this send, and would send another if a list does not have it."
)


def cure_of(error: errors.InvoiceXpressError) -> str:
    """Return the cure for a user of the command line, as a text for `words`."""
    if isinstance(error, errors.OutcomeUnknownError) and error.operation == "ensure":
        return CURE_WITHOUT_JOURNAL
    if isinstance(error, errors.OutcomeUnknownError):
        return _CURES.get(type(error), error.cure)  # a new process has nothing to forget
    # A cure that was set for the operation is more precise than that of the class.
    is_of_class = error.cure == type(error).cure
    return _CURES.get(type(error), error.cure) if is_of_class else error.cure


def hint_of(error: errors.InvoiceXpressError | None) -> str:
    """Return the server's message if the error has no better cure, else ""."""
    if isinstance(error, errors.StatusError) and error.messages and type(error) in WITHOUT_CURE:
        return error.messages[0]
    return ""


def cure_of_kind(kind: type[errors.InvoiceXpressError]) -> str:
    """Return the cure for an error of which only the class is known."""
    return _CURES.get(kind, kind.cure)


def message_of(error: errors.InvoiceXpressError) -> str:
    """Return the message of an error, without its context and cure."""
    return str(error.args[0]).strip() if error.args else ""


def cause_text(error: str | None, status: int | None, code: str | None) -> str:
    """Return the status and code of a response, such as "422/004", else the error's short name."""
    if status is not None:
        return f"{status}/{code}" if code else str(status)
    return (error or "").removesuffix("Error")


def cause_of(error: errors.InvoiceXpressError) -> str:
    """Return the `cause_text` of an error."""
    if isinstance(error, errors.StatusError):
        return cause_text(None, error.status, error.code)
    return cause_text(type(error).__name__, None, None)


def exit_code_of(error: errors.InvoiceXpressError) -> int:
    """Return the exit code of a command that ends with this error."""
    if isinstance(error, errors.ConfigurationError):
        return USAGE
    is_known = isinstance(error, errors.PartialRegistrationError) or bool(
        getattr(error, "sequence", None)
    )
    return UNKNOWN if error.may_have_been_processed and not is_known else FAILED


def show_error(error: errors.InvoiceXpressError, *, as_json: bool) -> int:
    """Print an error and return the exit code."""
    if as_json:
        sys.stderr.write(json.dumps(error_object(error)) + "\n")
    else:
        sys.stderr.write(
            "\n".join(printable(with_program_name(line)) for line in _block(error)) + "\n"
        )
    return exit_code_of(error)


def print_failure(text: str, *, as_json: bool) -> None:
    """Print why a command ended, if that is not one of the package's errors."""
    if as_json:
        sys.stderr.write(json.dumps({"error": None, "message": text}) + "\n")
    else:
        echo(printable(text))


def error_object(error: errors.InvoiceXpressError) -> dict[str, object]:
    """Return an error as plain data."""
    found: dict[str, object] = {
        "error": type(error).__name__,
        "message": message_of(error),
        "operation": error.operation,
        "subject": error.subject,
        "account": error.account,
        "may_have_been_processed": error.may_have_been_processed,
        "cure": word(cure_of(error), "en"),
        "anchor": error.anchor,
    }
    if isinstance(error, errors.StatusError):
        found |= {"status": error.status, "code": error.code, "messages": list(error.messages)}
    if isinstance(error, errors.OutcomeUnknownError):
        found["intent"] = error.intent
    if isinstance(error, JournalDifferenceError) and error.differences:
        found["differences"] = list(map(attrs.asdict, error.differences))
    return found


def _block(error: errors.InvoiceXpressError) -> list[str]:
    first, *others = message_of(error).splitlines() or [type(error).__name__]
    lines = [f"error: {first}", *others]
    if error.operation is not None:
        what = f"{error.operation} of {error.subject}" if error.subject else error.operation
        effect = "it may have taken effect" if error.may_have_been_processed else "no effect"
        lines.append(f"  what: {what}, account {error.account}; {effect}")
    if isinstance(error, errors.OutcomeUnknownError):
        lines.append(f"  keep: {json.dumps(error.intent)}")
    differences = error.differences if isinstance(error, JournalDifferenceError) else ()
    for one in differences[:_MAX_DIFFERENCES]:
        state = f", {one.state}" if one.state else ""
        lines.append(f"  {one.kind}: {one.account} {one.serie!r}{state}")
    if isinstance(error, BadRowsError) and not error.is_whole:
        lines.append(f"  all of them: {_write_bad_rows(error)}")
    if others or differences or not isinstance(error, errors.ConfigurationError):
        # The message of a usage error says what to do.
        lines += [f"  cure: {word(cure_of(error), 'en')}", f"  more: {error.anchor}"]
    return lines


def _write_bad_rows(error: BadRowsError) -> str:
    """Write every bad row into a new file, and return its path or why it cannot be written.

    Such files of earlier days are removed.
    """
    for old in Path(tempfile.gettempdir()).glob(f"{_BAD_ROWS}*.csv"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _BAD_ROWS_SECONDS:
                old.unlink()
    rows = "".join(f"{line},{json.dumps(problem)}\n" for line, problem in error.problems)
    try:
        descriptor, name = tempfile.mkstemp(prefix=_BAD_ROWS, suffix=".csv")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"line,problem\n{rows}")
    except OSError as failure:
        return f"they cannot be written, {failure.strerror}"
    return name


def show_intent(intent: Intent) -> None:
    """Print an intent as a line; `sequences resume` takes the JSON in it."""
    sys.stderr.write(f"Sent, outcome not known; keep this: {json.dumps(intent)}\n")
