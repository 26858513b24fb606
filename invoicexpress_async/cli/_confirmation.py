"""The question before what cannot be undone."""

import sys
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
    sys.stderr.write(f"{what} This cannot be undone. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().casefold() in _YES:
        return True
    sys.stderr.write("Nothing was sent.\n")
    return False
