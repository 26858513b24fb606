"""stdout as it is found: closed, full, without a reader, or too narrow for a check mark."""

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from invoicexpress_async.cli.exit_codes import DONE, FAILED

_ERRORS: Final = "invoicexpress-plain"
_PLAIN: Final[Mapping[str, str]] = {
    "\N{CHECK MARK}": "+",
    "\N{BALLOT X}": "x",
    "\N{MIDDLE DOT}": ".",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
}


def guarded(work: Callable[[], int]) -> int:
    """Run a command; a stdout that cannot be written to is its end, and never a traceback."""
    _open_closed()
    _survive_narrow_encodings()
    try:
        code = work()
        # Else Python does so after the last line of ours, and shows its own text.
        sys.stdout.flush()
    except BrokenPipeError as error:
        silence_broken(error)
        return DONE  # the reader has what it wanted, as `head`
    except OSError as error:
        silence_broken(error)
        sys.stderr.write(f"error: stdout cannot be written: {error.strerror}\n")
        return FAILED
    return code


def silence_broken(error: OSError | None) -> None:
    """Let what is left of the output, and Python's own last flush, go nowhere."""
    if error is None:
        return
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # a stdout without a descriptor has nothing to flush


def _open_closed() -> None:
    # `>&-`: a socket must not become descriptor 1, and nobody wants to read what is written.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for life


def _survive_narrow_encodings() -> None:
    # A pipe on Windows, or an old locale, has no check marks: better a "+" than a traceback.
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(character: str) -> str:
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _PLAIN.get(character) or bare or "?"
