"""`invoicexpress sequences`: the commands of one account, one request or few."""

from typing import Annotated, Final

from cyclopts import App, Parameter

from invoicexpress_async.cli._options import AccountOptions

app = App(name="sequences", help="The sequences (séries) of one account.")

_NO_OPTIONS: Final = AccountOptions()
Yes = Annotated[bool, Parameter(negative=(), help="Do not ask first.")]
Default = Annotated[bool, Parameter(negative=(), help="Make it the account's default.")]
SequenceId = Annotated[int, Parameter(help="The sequence's id, as `sequences list` shows it.")]
Serie = Annotated[
    str, Parameter(help="The name, at most 35 characters, better without spaces. For ever.")
]


@app.command(name="list")
def show_all(*, options: AccountOptions = _NO_OPTIONS) -> int:
    """List the sequences of the account."""
    from invoicexpress_async.cli import _sequence_calls  # noqa: PLC0415  # not for the help

    return _sequence_calls.show_all(options)


@app.command
def get(sequence_id: SequenceId, /, *, options: AccountOptions = _NO_OPTIONS) -> int:
    """Show one sequence: last number, id and validation code of each document type."""
    from invoicexpress_async.cli import _sequence_calls  # noqa: PLC0415  # not for the help

    return _sequence_calls.get(options, sequence_id)


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
    from invoicexpress_async.cli import _sequence_calls  # noqa: PLC0415  # not for the help

    return _sequence_calls.create(options, serie, default=default, yes=yes)


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
    from invoicexpress_async.cli import _sequence_calls  # noqa: PLC0415  # not for the help

    return _sequence_calls.ensure(options, serie, default=default, yes=yes)


@app.command
def register(
    sequence_id: SequenceId, /, *, yes: Yes = False, options: AccountOptions = _NO_OPTIONS
) -> int:
    """Register a sequence with the tax authority. It cannot be taken back."""
    from invoicexpress_async.cli import _sequence_calls  # noqa: PLC0415  # not for the help

    return _sequence_calls.register(options, sequence_id, yes=yes)


@app.command
def set_current(sequence_id: SequenceId, /, *, options: AccountOptions = _NO_OPTIONS) -> int:
    """Make a sequence the default of the account."""
    from invoicexpress_async.cli import _sequence_calls  # noqa: PLC0415  # not for the help

    return _sequence_calls.set_current(options, sequence_id)
