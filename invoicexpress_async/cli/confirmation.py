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
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(
            f"{what} This cannot be undone, and there is no terminal to ask on: add --yes."
        )
    try:
        sys.stderr.write(f"{what} This cannot be undone. Go on? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().casefold() in _YES:
            return True
    except KeyboardInterrupt:
        sys.stderr.write("\nNothing was sent. ")
        raise
    sys.stderr.write("Nothing was sent.\n")
    return False


def warn_of_spaces(series: Iterable[str]) -> None:
    """Say so when a name that is for ever has spaces in it."""
    spaced = [serie for serie in series if any(map(str.isspace, serie))]
    if spaced:
        more = f" and {len(spaced) - 1} more" if len(spaced) > 1 else ""
        sys.stderr.write(
            f"warning: serie {spaced[0]!r}{more} has spaces in it: the provider advises against "
            "them, and a name can never be changed.\n"
        )
