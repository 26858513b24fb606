"""What is told of sends whose outcome is not known: in a line, however many they are."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

from invoicexpress_async import Intent
from invoicexpress_async.cli.failures import show_intent
from invoicexpress_async.cli.shell import say
from invoicexpress_async.cli.views.row_view import cure_of_doubt
from invoicexpress_async.provisioning import RowState

_MOST_SHOWN: Final = 5


def show_unknown(count: int, intents: Sequence[Intent], *, kept: str | None) -> None:
    """Say how many outcomes are unknown and where their intents are kept; else show a few."""
    if not count:
        return
    what = f"{count} outcome{'s' if count > 1 else ''} unknown"
    if not intents:
        sys.stderr.write(f"{what}: cut off, and nothing is known to be in doubt.\n")
        return
    if kept is not None:
        sys.stderr.write(f"{what}: {_kept(len(intents), count)} {kept}.\n")
        return
    sys.stderr.write(f"{what}; --journal, --report or --json keeps all intents:\n")
    for intent in intents[:_MOST_SHOWN]:
        show_intent(intent)
    if len(intents) > _MOST_SHOWN:
        sys.stderr.write(f"  and {len(intents) - _MOST_SHOWN} more\n")


def show_in_journal(count: int, journal: object) -> None:
    """Say that a journal has what is unknown, and what to do."""
    if count:
        what = f"{count} outcome{'s' if count > 1 else ''} unknown"
        cure = cure_of_doubt(RowState.UNKNOWN, has_journal=True)
        say(f"{what}, kept in {journal}. {cure}")


def show_left_over(intents: Iterable[Intent], told: Sequence[Intent]) -> None:
    """Show the intents that no outcome has told of."""
    for intent in intents:
        if intent not in told:
            show_intent(intent)


def _kept(intents: int, count: int) -> str:
    which = "" if intents == count else f" of {intents}"
    return f"the intents{which} are" if count > 1 else "the intent is"
