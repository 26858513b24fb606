"""The list of commands, each with its module and its line in the help."""

import textwrap
from typing import Final, NamedTuple

from invoicexpress_async.cli.shell import MEANINGS, program

_PACKAGE: Final = "invoicexpress_async.cli.commands"


class Command(NamedTuple):
    """A command. Its module is imported only when the command is called."""

    name: str
    summary: str
    is_group: bool = False

    @property
    def import_path(self) -> str:
        module = self.name.replace("-", "_")
        return f"{_PACKAGE}.{module}:{'app' if self.is_group else module}"


COMMANDS: Final = (
    Command("demo", "See it work on 300 made-up accounts; no network."),
    Command("sandbox", "Run a local InvoiceXpress to try things on."),
    Command(
        "sequences", "One account's sequences: list, get, create, ensure and others.", is_group=True
    ),
    Command("provision", "Ensure a serie on all accounts of a file."),
    Command("rollover", "The new year's serie, each after its own."),
    Command("onboard", "An account, a key and a serie for each company."),
    Command("worker", "Do a shared journal's rows, beside others."),
    Command("accounts", "A partner's accounts, one at a time: get, update.", is_group=True),
    Command("template", "A file of accounts or companies to fill in."),
    Command("audit", "What the accounts of a file have, and lack."),
    Command("status", "How far a job is, from its journal."),
    Command("explain", "What a code or an error means, and what to do."),
    Command("doctor", "Whether everything that a call needs is there."),
    Command("live-check", "Whether a real account responds as is assumed here."),
    Command("completion", "A script for Tab in bash, zsh or fish."),
)


_EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "provision": (
        "provision accounts.csv --serie 2027 --dry-run",
        "provision accounts.xlsx --serie 2027 --journal 2027.db --report 2027.html",
        "provision accounts.csv --serie 2027 --journal 2027.db --limit 5",
    ),
    "rollover": (
        "rollover accounts.csv --year 2027 --dry-run",
        "rollover accounts.csv --year 2027 --journal 2027.db --report 2027.html",
    ),
    "demo": ("demo",),
    "sandbox": (
        "sandbox --accounts 20 --serie-of 2026 --write-accounts accounts.csv",
        "sandbox --partner acme",
    ),
    "sequences": (
        "sequences list",
        "sequences ensure 2027 --default",
        "sequences get 2027",
        "sequences resume report.csv --accounts accounts.csv",
    ),
    "accounts": ("accounts get 4711", "accounts update 4711 --city Porto"),
    "doctor": ("doctor", "doctor --journal postgresql://ix@db/ix"),
    "live-check": ("live-check", "live-check --record recording.json"),
    "onboard": (
        "onboard companies.csv --partner me --journal jobs.db --keys-out keys.csv --dry-run",
    ),
    "worker": (
        "worker --journal postgresql://ix@db/ix --keys file:accounts.csv",
        "worker --journal postgresql://ix@db/ix --keys vault:key_of --until-done",
    ),
    "audit": (
        "audit accounts.csv --year 2027",
        "audit accounts.csv --report audit.xlsx --language pt",
    ),
    "status": ("status 2027.db", "status 2027.db --report 2027.html"),
    "template": ("template accounts", "template companies --out new.csv"),
    "explain": ("explain 422/004", "explain OutcomeUnknownError", "explain 3"),
}


def examples_of(name: str) -> str:
    """Return examples of a command for its help; "" if it has none."""
    lines = ""
    for example in _EXAMPLES.get(name, ()):
        wrapped = textwrap.wrap(f"{program()} {example}", 74, break_on_hyphens=False)
        lines += "\n  " + " \\\n    ".join(wrapped)  # each line can be copied
    return lines and f"Examples:{lines}\n"


def overview() -> str:
    """Return the help of the whole program."""
    commands = "\n".join(f"  {one.name:<10} {one.summary}" for one in COMMANDS)
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items())
    called = program()
    return f"""\
Usage: {called} COMMAND [OPTIONS]

Document sequences (séries) of InvoiceXpress accounts, created and registered
once, on one account or on thousands; and accounts for the companies that you
invoice for.
Begin with: {called} demo

Commands:
{commands}

  --help     This text; after a command, that command's own.
  --version  The version.

Options of sequences, provision, rollover, onboard, accounts and audit:
  --base-url URL       The API's address with {{account}} in it, or
                       INVOICEXPRESS_BASE_URL.
  --timeout SECONDS    The deadline of each call, or
                       INVOICEXPRESS_TIMEOUT_SECONDS.
  --json               JSON on stdout, errors as JSON on stderr.
and of sequences, for the one account:
  --account NAME       As in https://NAME.app.invoicexpress.com, or
                       INVOICEXPRESS_ACCOUNT.
  --api-key-file FILE  A file that holds the key, or
                       INVOICEXPRESS_API_KEY, the key itself.
and of onboard and accounts, for the partner's account:
  --partner NAME       The account that creates the others, or
                       INVOICEXPRESS_ACCOUNT.
  --api-key-file FILE  As above.

Exit codes:
{codes}
"""
