"""The shell side of every command: exit codes, the program's name, texts, a guarded stdout."""

import codecs
import contextlib
import io
import os
import shlex
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells

MEANINGS: Final = {
    DONE: "all done",
    FAILED: "something was refused or failed",
    USAGE: "wrong usage or configuration; nothing was sent",
    UNKNOWN: "something was sent whose outcome is not known",
    INTERRUPTED: "interrupted",
}


_NAME: Final = "invoicexpress"
_PACKAGE: Final = "invoicexpress_async"

# The environment variables that a repeated command needs, and that hold no secret.
_KEPT: Final = ("INVOICEXPRESS_BASE_URL", "INVOICEXPRESS_TIMEOUT_SECONDS")
_KEPT_OF_PARTNER: Final = ("INVOICEXPRESS_ACCOUNT", *_KEPT)
_PROGRAM: Final = "{program} "
_TYPED: Final[ContextVar[tuple[str, ...]]] = ContextVar("typed")
_WIDTH: Final = 100
_NARROW: Final = 80
_ERRORS: Final = "invoicexpress-plain"
_PLAIN: Final[Mapping[str, str]] = {
    "\N{CHECK MARK}": "+",
    "\N{BALLOT X}": "x",
    "\N{MIDDLE DOT}": ".",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
}


def program(argv: Sequence[str] | None = None, python: str | None = None) -> str:
    """Return the program as it was typed; its bare name if the shell finds it by that."""
    given = (sys.argv if argv is None else argv)[0]
    path = Path(given)
    if path.name == "__main__.py" and path.parent.name == _PACKAGE:
        interpreter = python or (sys.orig_argv or [sys.executable])[0]
        return f"{shlex.quote(_as_found(interpreter))} -m {_PACKAGE}"
    if path.stem != _NAME:
        return _NAME  # called from another program
    return shlex.quote(_as_found(given))


def with_program_name(text: str) -> str:
    """Return a text in which the commands have the program's name as it can be typed."""
    start = f"`{_NAME} "
    return text.replace(start, f"`{program()} ") if start in text else text


def _as_found(given: str) -> str:
    # argv[0] of a script is its whole path, even if the shell found it by its name.
    path = Path(given)
    return path.name if shutil.which(path.name) == given else given


@contextlib.contextmanager
def typed(tokens: Iterable[str]) -> Generator[None]:
    """Make the typed arguments available to `typed_command`."""
    before = _TYPED.set(tuple(tokens))
    try:
        yield
    finally:
        _TYPED.reset(before)


def typed_command() -> str:
    """Return the typed command, after the environment variables that it needs, for `as_typed`."""
    typed_tokens = _TYPED.get()
    names = _KEPT_OF_PARTNER if typed_tokens[0] == "onboard" else _KEPT
    given = (f"{name}={shlex.quote(os.environ[name])}" for name in names if os.environ.get(name))
    # A proxy's URL may hold a password: it goes into INVOICEXPRESS_PROXY.
    kept: list[str] = []
    for one in (tokens := iter(typed_tokens)):
        if not one.startswith("--proxy"):
            kept.append(one)
        elif "=" not in one:
            next(tokens, None)
    return f"{''.join(f'{one} ' for one in given)}{_PROGRAM}{shlex.join(kept)}"


def as_typed(command: str) -> str:
    """Return the text of a `typed_command` with the program's name."""
    return command.replace(_PROGRAM, f"{program()} ", 1)


def printable(text: str) -> str:
    """Replace characters that are not printable: a server's text must not control the terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def echo(*texts: str) -> None:
    """Write texts to stderr: each as one line for logs, wrapped between words on a terminal."""
    for text in map(with_program_name, texts):
        line = text
        if sys.stderr.isatty():
            width = min(_WIDTH, os.get_terminal_size(sys.stderr.fileno()).columns or _WIDTH)
            line = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
        sys.stderr.write(f"{line}\n")


def filled(text: str, indent: str = "") -> str:
    """Return a sentence wrapped to 80 columns, with the lines after the first indented."""
    return textwrap.fill(
        with_program_name(text),
        _NARROW,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def next_year() -> str:
    """Return the serie of the coming year, such as "2027"."""
    return str(datetime.now(tz=UTC).year + 1)


def guarded(work: Callable[[], int]) -> int:
    """Run a command. If stdout cannot be written, end it without a traceback."""
    _open_closed()
    _survive_narrow_encodings()
    try:
        code = work()
        # Otherwise Python flushes at exit, and prints an error text of its own.
        sys.stdout.flush()
    except BrokenPipeError as error:
        silence_broken(error)
        return DONE  # the reader, such as `head`, has read enough
    except OSError as error:
        silence_broken(error)
        sys.stderr.write(f"error: stdout cannot be written: {error.strerror}\n")
        return FAILED
    return code


def silence_broken(error: OSError | None) -> None:
    """Discard the rest of the output, including what Python flushes at exit."""
    if error is None:
        return
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # a stdout without a descriptor has nothing to flush


def _open_closed() -> None:
    # After `>&-` a socket must not become descriptor 1. Nothing reads the output then.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for life


def _survive_narrow_encodings() -> None:
    # A pipe on Windows, or an old locale, cannot encode check marks: write "+" instead.
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    bare = (unicodedata.normalize("NFKD", one).encode("ascii", "ignore").decode() for one in found)
    plain = (_PLAIN.get(one) or text or "?" for one, text in zip(found, bare, strict=True))
    return "".join(plain), error.end
