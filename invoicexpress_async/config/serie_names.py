"""When two names of series are the same, and when they only look so."""

import unicodedata
from typing import Final

# Characters that show nothing and are of no category of their own: joiners, Hangul fillers, Khmer
# inherent vowels and variation selectors (Unicode, Default_Ignorable_Code_Point).
_SHOWN_AS_NOTHING: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
# Format characters, and separators of lines and paragraphs.
_INVISIBLE_CATEGORIES: Final = frozenset({"Cf", "Zl", "Zp"})


def canonical(serie: str) -> str:
    """Return the one form of a name that Unicode has in several: a server may store it (NFC)."""
    return unicodedata.normalize("NFC", serie)


def fold(serie: str) -> str:
    """Return a name without everything that a person may overlook.

    Case, spaces, dashes of another length, full-width and composed forms, invisible characters.
    """
    if serie.isascii():
        return "".join(serie.casefold().split())
    plain = unicodedata.normalize("NFD", serie)
    for _ in range(2):  # as Unicode defines a compatibility caseless match (D146)
        plain = unicodedata.normalize("NFKD", plain.casefold())
    kept = ("-" if _is_dash(one) else one for one in plain if not _is_invisible(one))
    return unicodedata.normalize("NFKD", "".join("".join(kept).split()))


def invisible_in(text: str) -> str | None:
    """Return the name of the first invisible character of `text`, or None when there is none."""
    if text.isascii():
        return None
    found = next((one for one in text if _is_invisible(one)), None)
    if found is None:
        return None
    number = f"U+{ord(found):04X}"
    name = unicodedata.name(found, "")
    return f"{name} ({number})" if name else number


def _is_invisible(character: str) -> bool:
    is_format = unicodedata.category(character) in _INVISIBLE_CATEGORIES
    return is_format or character in _SHOWN_AS_NOTHING


def _is_dash(character: str) -> bool:
    return unicodedata.category(character) == "Pd" or character == "\N{MINUS SIGN}"
