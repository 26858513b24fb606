"""What is told of sends whose outcome is not known: in a line, however many they are."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from invoicexpress_async import Intent
from invoicexpress_async.provisioning import RowOutcome, RowState

_MOST_SHOWN: Final = 5


def show_unknown(
    outcomes: Sequence[RowOutcome], *, report: Path | None, is_on_stdout: bool
) -> None:
    """Say how many outcomes are unknown and where their intents are; a few are shown here."""
    count = sum(outcome.state in {RowState.UNKNOWN, RowState.ABSENT} for outcome in outcomes)
    if not count:
        return
    intents = [outcome.intent for outcome in outcomes if outcome.intent is not None]
    what = f"{count} outcome{'s' if count > 1 else ''} unknown"
    if not intents:
        sys.stderr.write(f"{what}: cut off, and nothing is known to be in doubt.\n")
        return
    if report is not None or is_on_stdout:
        where = f"in {report}" if report is not None else "on stdout"
        sys.stderr.write(f"{what}: {_kept(len(intents), count)} {where}.\n")
        return
    sys.stderr.write(f"{what}; --report or --json keeps all intents:\n")
    for intent in intents[:_MOST_SHOWN]:
        show_intent(intent)
    if len(intents) > _MOST_SHOWN:
        sys.stderr.write(f"  and {len(intents) - _MOST_SHOWN} more\n")


def show_left_over(intents: Iterable[Intent], outcomes: Iterable[RowOutcome]) -> None:
    """Show the intents that no outcome has told of."""
    told = [outcome.intent for outcome in outcomes if outcome.intent is not None]
    for intent in intents:
        if intent not in told:
            show_intent(intent)


def show_intent(intent: Intent) -> None:
    """Write one as a line; `sequences resume` takes what stands after the colon."""
    sys.stderr.write(f"Sent, outcome not known; keep this: {json.dumps(intent)}\n")


def _kept(intents: int, count: int) -> str:
    which = "" if intents == count else f" of {intents}"
    return f"the intents{which} are" if count > 1 else "the intent is"
