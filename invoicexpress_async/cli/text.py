"""Text that a terminal may be given."""

import sys
import textwrap
from datetime import UTC, datetime
from typing import Final

_WIDTH: Final = 100


def plain(text: str) -> str:
    """Replace what is not printable: a server's text must not steer the terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def say(text: str) -> None:
    """Write a sentence to stderr: in one line for logs, between words on a terminal."""
    if sys.stderr.isatty():
        text = textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    sys.stderr.write(f"{text}\n")


def next_year() -> str:
    """Return the serie of the coming year, such as "2027"."""
    return str(datetime.now(tz=UTC).year + 1)
