"""From the arguments to a command. Help and version cost no import of cyclopts or rich."""

import sys

from invoicexpress_async.cli._commands import COMMANDS
from invoicexpress_async.cli._exit_codes import DONE, MEANINGS
from invoicexpress_async.cli._invocation import program
from invoicexpress_async.cli._stdout import guarded


def run(tokens: list[str]) -> int:
    """Run the command that the arguments name and return its exit code."""
    return guarded(lambda: _run(tokens))


def _run(tokens: list[str]) -> int:
    if not tokens or tokens in (["--help"], ["-h"]):
        sys.stdout.write(overview())
        return DONE
    if tokens == ["--version"]:
        from importlib.metadata import version  # noqa: PLC0415  # a third of the help's time

        sys.stdout.write(f"invoicexpress-async {version('invoicexpress-async')}\n")
        return DONE
    from invoicexpress_async.cli._app import dispatch  # noqa: PLC0415  # not for the help

    return dispatch(tokens)


def overview() -> str:
    """Return the help of the whole program."""
    commands = "\n".join(f"  {one.name:<10} {one.summary}" for one in COMMANDS)
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items())
    called = program()
    return f"""\
Usage: {called} COMMAND [OPTIONS]

Document sequences (séries) of InvoiceXpress accounts, created and registered once, on one account
or on thousands; and accounts for the companies that you invoice for.
Begin with: {called} demo

Commands:
{commands}

  --help     This text; after a command, that command's.
  --version  The version.

Options of sequences, provision, rollover, onboard, accounts and audit:
  --base-url URL       The API's address with {{account}} in it.   INVOICEXPRESS_BASE_URL
  --timeout SECONDS    The deadline of each call.                INVOICEXPRESS_TIMEOUT_SECONDS
  --json               JSON on stdout, errors as JSON on stderr.
and of sequences, for the one account:
  --account NAME       As in https://NAME.app.invoicexpress.com. INVOICEXPRESS_ACCOUNT
  --api-key-file FILE  A file that holds the key; never the key. INVOICEXPRESS_API_KEY (the key)
and of onboard and accounts, for the partner's account, with --api-key-file as above:
  --partner NAME       The account that creates the others.      INVOICEXPRESS_ACCOUNT

Exit codes:
{codes}
"""
