"""The question before what cannot be undone."""

import sys
from collections.abc import Iterable
from typing import Final

from invoicexpress_async.errors import ConfigurationError

_YES: Final = frozenset({"y", "yes", "s", "sim"})


def confirm(what: str) -> bool:
    """Ask on the terminal, and return the answer.

    Raises:
        ConfigurationError: there is no terminal to ask on.
    """
    if not _has_terminal():
        raise ConfigurationError(
            f"{what} This cannot be undone, and there is no terminal to ask on: add --yes."
        )
    try:
        if ask_yes_or_no(f"{what} This cannot be undone. Go on?"):
            return True
    except KeyboardInterrupt:
        sys.stderr.write("\nNothing was sent. ")
        raise
    sys.stderr.write("Nothing was sent.\n")
    return False


def require_terminal(why: str) -> None:
    """Refuse to go on where nobody can be asked.

    Raises:
        ConfigurationError: there is no terminal to ask on.
    """
    if not _has_terminal():
        raise ConfigurationError(f"{why} There is no terminal to ask on.")


def ask_yes_or_no(question: str) -> bool:
    """Ask on the terminal; anything but a yes is a no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in _YES


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def warn_of_spaces(series: Iterable[str]) -> None:
    """Say so when a name that is for ever has spaces in it."""
    spaced = [serie for serie in series if any(map(str.isspace, serie))]
    if spaced:
        more = f" and {len(spaced) - 1} more" if len(spaced) > 1 else ""
        sys.stderr.write(
            f"warning: serie {spaced[0]!r}{more} has spaces in it: the provider advises against "
            "them, and a name can never be changed.\n"
        )
