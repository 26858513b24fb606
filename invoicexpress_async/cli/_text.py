"""Text that a terminal may be given."""

from datetime import UTC, datetime


def plain(text: str) -> str:
    """Replace what is not printable: a server's text must not steer the terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def next_year() -> str:
    """Return the serie of the coming year, such as "2027"."""
    return str(datetime.now(tz=UTC).year + 1)
