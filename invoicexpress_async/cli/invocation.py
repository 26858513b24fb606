"""How this program was called, so that what it tells to type can be typed."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_NAME: Final = "invoicexpress"
_PACKAGE: Final = "invoicexpress_async"


def program(argv: Sequence[str] | None = None, python: str | None = None) -> str:
    """Return the command as it was typed: the name alone where a shell finds it.

    Args:
        argv: Instead of `sys.argv`.
        python: Instead of the interpreter as it was typed.
    """
    given = (sys.argv if argv is None else argv)[0]
    path = Path(given)
    if path.name == "__main__.py" and path.parent.name == _PACKAGE:
        interpreter = python or (sys.orig_argv or [sys.executable])[0]
        return f"{shlex.quote(_as_found(interpreter))} -m {_PACKAGE}"
    if path.stem != _NAME:
        return _NAME  # called from another program
    return shlex.quote(_as_found(given))


def in_place(text: str) -> str:
    """Return a text with the commands in it as they can be typed."""
    return text.replace(f"`{_NAME} ", f"`{program()} ")


def _as_found(given: str) -> str:
    # A script's first argument is its whole path, also when the shell looked it up.
    path = Path(given)
    return path.name if shutil.which(path.name) == given else given
