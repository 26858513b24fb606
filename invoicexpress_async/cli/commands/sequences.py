"""`invoicexpress sequences`: the commands for one account; each sends only a few requests."""

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from cyclopts import App, Parameter

from invoicexpress_async import Sequence, SequenceService
from invoicexpress_async.cli.commands import examples_of
from invoicexpress_async.cli.commands.resume import resume
from invoicexpress_async.cli.connection import (
    base_url_of,
    confirm,
    is_this_machine,
    name_of,
    run_call,
    warn_of_spaces,
)
from invoicexpress_async.cli.options import AccountOptions, Yes
from invoicexpress_async.cli.output import (
    sequence_object,
    show_sequence,
    show_sequences,
    write_json,
)
from invoicexpress_async.cli.shell import DONE, FAILED, printable, program
from invoicexpress_async.config import check_id, check_new_serie
from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.errors import ConfigurationError

T = TypeVar("T")
app: App = App(
    name="sequences",
    help="The sequences (séries) of one account.",
    help_epilogue=examples_of("sequences"),
)

Default = Annotated[bool, Parameter(help="Make it the account's default.")]
SequenceId = Annotated[int, Parameter(help="The sequence's id, as `sequences list` shows it.")]
NameOrId = Annotated[
    str, Parameter(help="The sequence's name, or its id, as `sequences list` shows them.")
]
Serie = Annotated[
    str,
    Parameter(help="The name, at most 35 characters, better without spaces; never to be changed."),
]


@app.command(name="list")
def show_all(*, options: AccountOptions = AccountOptions()) -> int:
    """List the sequences of the account."""
    show_sequences(_run(options, lambda service: service.list()), as_json=options.as_json)
    return DONE


@app.command
def get(sequence: NameOrId, /, *, options: AccountOptions = AccountOptions()) -> int:
    """Show one sequence: last number, id and validation code of each document type."""
    found = _run(options, lambda service: _find(service, sequence))
    show_sequence(found, as_json=options.as_json)
    return DONE


@app.command
def create(
    serie: Serie,
    /,
    *,
    default: Default = False,
    yes: Yes = False,
    options: AccountOptions = AccountOptions(),
) -> int:
    """Create a sequence and register it with the tax authority. It can never be deleted.

    Sent once at most: when the response is lost, it is looked for and never sent again.
    """
    warn_of_spaces([check_new_serie(serie)])
    if not _may(options, f"Sequence {serie!r} will be created", yes=yes):
        return FAILED
    sequence = _run(options, lambda service: service.create(serie, default=default))
    return _show_result(options, sequence, "Created.")


@app.command
def ensure(
    serie: Serie,
    /,
    *,
    default: Default = False,
    yes: Yes = False,
    options: AccountOptions = AccountOptions(),
) -> int:
    """Create a sequence unless it is there; register it and make it the default as needed."""
    warn_of_spaces([check_new_serie(serie)])
    if not _may(options, f"Sequence {serie!r} will be created unless it is there", yes=yes):
        return FAILED
    ensured = _run(options, lambda service: service.ensure(serie, default=default))
    if options.as_json:
        found = {"created": ensured.created, "via": ensured.via}
        write_json(sequence_object(ensured.sequence) | found)
        return DONE
    return _show_result(
        options, ensured.sequence, "Created." if ensured.created else "It was there already."
    )


@app.command
def register(
    sequence_id: SequenceId, /, *, yes: Yes = False, options: AccountOptions = AccountOptions()
) -> int:
    """Register a sequence with the tax authority. It cannot be taken back."""
    check_id(sequence_id)
    if not _may(options, f"Sequence {sequence_id} will be registered", yes=yes):
        return FAILED
    sequence = _run(options, lambda service: service.register(sequence_id))
    return _show_result(options, sequence, "Registered.")


@app.command
def set_current(sequence: NameOrId, /, *, options: AccountOptions = AccountOptions()) -> int:
    """Make a sequence the default of the account."""
    found = _run(options, lambda service: _set_current(service, sequence))
    if options.as_json:
        write_json({"id": found.id, "serie": found.serie, "is_default": True})
    else:
        name = printable(found.serie)
        sys.stdout.write(f"Sequence {name} (id {found.id}) is the default of the account now.\n")
    return DONE


app.command(resume)


async def _find(service: SequenceService, name_or_id: str) -> Sequence:
    """Return the sequence with this name or id; raise ConfigurationError if it is not just one."""
    listed = await service.list()
    named = [one for one in listed if canonical(one.serie) == canonical(name_or_id)]
    by_id = [one for one in listed if str(one.id) == name_or_id]
    found = {one.id: one for one in (*named, *by_id)}
    if len(found) == 1:
        return next(iter(found.values()))
    shown = printable(name_or_id)
    if not found:
        raise ConfigurationError(
            f"The account has no sequence with the name or the id {shown!r}: "
            f"`{program()} sequences list` shows what it has."
        )
    others = ", ".join(f"id {one.id}, name {one.serie!r}" for one in found.values())
    raise ConfigurationError(f"{shown!r} is more than one sequence ({others}): give the other one.")


async def _set_current(service: SequenceService, name_or_id: str) -> Sequence:
    found = await _find(service, name_or_id)
    await service.set_current(found.id)
    return found


def _show_result(options: AccountOptions, sequence: Sequence, what: str) -> int:
    if not options.as_json:
        sys.stdout.write(f"{what}\n")
        sys.stdout.flush()
    show_sequence(sequence, as_json=options.as_json)
    return DONE


def _may(options: AccountOptions, what: str, *, yes: bool) -> bool:
    base_url = base_url_of(options)
    address = base_url.for_account(name_of(options))
    return yes or is_this_machine(base_url) or confirm(f"{what} on {address}.")


def _run(options: AccountOptions, call: Callable[[SequenceService], Awaitable[T]]) -> T:
    return run_call(options, lambda account: call(account.sequences))
