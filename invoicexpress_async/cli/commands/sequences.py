"""`invoicexpress sequences`: the commands of one account, one request or few."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from invoicexpress_async.cli.options import AccountOptions, ConnectionOptions

app: App = App(name="sequences", help="The sequences (séries) of one account.")

_NO_OPTIONS: Final = AccountOptions()
_NO_CONNECTION_OPTIONS: Final = ConnectionOptions()
Yes = Annotated[bool, Parameter(negative=(), help="Do not ask first.")]
Default = Annotated[bool, Parameter(negative=(), help="Make it the account's default.")]
SequenceId = Annotated[int, Parameter(help="The sequence's id, as `sequences list` shows it.")]
Serie = Annotated[
    str, Parameter(help="The name, at most 35 characters, better without spaces. For ever.")
]


@app.command(name="list")
def show_all(*, options: AccountOptions = _NO_OPTIONS) -> int:
    """List the sequences of the account."""
    from invoicexpress_async.cli.commands import sequence_calls  # noqa: PLC0415  # not for the help

    return sequence_calls.show_all(options)


@app.command
def get(sequence_id: SequenceId, /, *, options: AccountOptions = _NO_OPTIONS) -> int:
    """Show one sequence: last number, id and validation code of each document type."""
    from invoicexpress_async.cli.commands import sequence_calls  # noqa: PLC0415  # not for the help

    return sequence_calls.get(options, sequence_id)


@app.command
def create(
    serie: Serie,
    /,
    *,
    default: Default = False,
    yes: Yes = False,
    options: AccountOptions = _NO_OPTIONS,
) -> int:
    """Create a sequence and register it with the tax authority. It can never be deleted.

    Sent once at most: when the answer is lost, it is looked for and never sent again.
    """
    from invoicexpress_async.cli.commands import sequence_calls  # noqa: PLC0415  # not for the help

    return sequence_calls.create(options, serie, default=default, yes=yes)


@app.command
def ensure(
    serie: Serie,
    /,
    *,
    default: Default = False,
    yes: Yes = False,
    options: AccountOptions = _NO_OPTIONS,
) -> int:
    """Create a sequence unless it is there; register it and make it the default as needed."""
    from invoicexpress_async.cli.commands import sequence_calls  # noqa: PLC0415  # not for the help

    return sequence_calls.ensure(options, serie, default=default, yes=yes)


@app.command
def register(
    sequence_id: SequenceId, /, *, yes: Yes = False, options: AccountOptions = _NO_OPTIONS
) -> int:
    """Register a sequence with the tax authority. It cannot be taken back."""
    from invoicexpress_async.cli.commands import sequence_calls  # noqa: PLC0415  # not for the help

    return sequence_calls.register(options, sequence_id, yes=yes)


@app.command
def set_current(sequence_id: SequenceId, /, *, options: AccountOptions = _NO_OPTIONS) -> int:
    """Make a sequence the default of the account."""
    from invoicexpress_async.cli.commands import sequence_calls  # noqa: PLC0415  # not for the help

    return sequence_calls.set_current(options, sequence_id)


@app.command
def resume(
    intents: Annotated[
        Path,
        Parameter(
            help="What was kept: intents as JSON lines, a report, or output of --json.",
            allow_leading_hyphen=True,  # for the "-" of stdin
        ),
    ] = Path("-"),
    /,
    *,
    accounts: Annotated[
        Path | None, Parameter(help="Take the keys from this CSV, as `provision` does.")
    ] = None,
    api_key_file: Annotated[
        Path | None, Parameter(help="A file that holds the one key. Else INVOICEXPRESS_API_KEY.")
    ] = None,
    options: ConnectionOptions = _NO_CONNECTION_OPTIONS,
) -> int:
    """Find out what became of sends whose outcome was not known. Only reads; - is stdin.

    Each intent is resumed on the account that it names.
    """
    from invoicexpress_async.cli.commands import resume as resume_run  # noqa: PLC0415  # not for the help

    return resume_run.resume(intents, options, api_key_file=api_key_file, accounts=accounts)
