"""The commands: where each is, and its line in the help."""

from typing import Final, NamedTuple


class Command(NamedTuple):
    """A command that is imported only when it is asked for."""

    name: str
    import_path: str
    summary: str


_PACKAGE: Final = "invoicexpress_async.cli"

COMMANDS: Final = (
    Command("demo", f"{_PACKAGE}.demo:demo", "See it work on 300 made-up accounts; no network."),
    Command(
        "sandbox", f"{_PACKAGE}.sandbox:sandbox", "Run a local InvoiceXpress to try things on."
    ),
    Command(
        "sequences",
        f"{_PACKAGE}.sequences:app",
        "One account's sequences: list, get, create, ensure, register, set-current, resume.",
    ),
    Command(
        "provision", f"{_PACKAGE}.provision:provision", "Ensure a serie on all accounts of a CSV."
    ),
    Command(
        "rollover", f"{_PACKAGE}.rollover:rollover", "The new year's serie, each after its own."
    ),
    Command(
        "onboard", f"{_PACKAGE}.onboard:onboard", "An account, a key and a serie for each company."
    ),
    Command(
        "accounts", f"{_PACKAGE}.accounts:app", "A partner's accounts, one at a time: get, update."
    ),
    Command("audit", f"{_PACKAGE}.audit:audit", "What the accounts of a CSV have, and lack."),
    Command("status", f"{_PACKAGE}.status:status", "How far a job is, from its journal."),
    Command("doctor", f"{_PACKAGE}.doctor:doctor", "Whether all is there that a call needs."),
    Command(
        "live-check",
        f"{_PACKAGE}.live_check:live_check",
        "Whether a real account responds as is assumed here.",
    ),
    Command(
        "completion", f"{_PACKAGE}.completion:completion", "A script for Tab in bash, zsh or fish."
    ),
)
