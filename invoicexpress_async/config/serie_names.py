"""Whether two names of series are the same, or only look the same."""

import functools
import re
import unicodedata
from typing import Final

# Invisible characters that no category identifies: joiners, Hangul fillers, Khmer inherent vowels
# and variation selectors (Unicode, Default_Ignorable_Code_Point).
_SHOWN_AS_NOTHING: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
# Format characters, and separators of lines and paragraphs.
_INVISIBLE_CATEGORIES: Final = frozenset({"Cf", "Zl", "Zp"})
_MINUS: Final = "\N{MINUS SIGN}"
# Texts that spreadsheets write instead of a name ("#N/D" is the Portuguese "#N/A").
_MISREAD: Final = (
    (re.compile(r"=.*", re.DOTALL), "is a formula"),
    (re.compile(r"#(N/[AD]|[^\s#]+[!?]|#+)", re.IGNORECASE), "is an error of a spreadsheet"),
    (re.compile(r"[+-]?\d+[.,]0+"), "is a number with decimals"),
    (re.compile(r"[+-]?\d+([.,]\d+)?E[+-]?\d+", re.IGNORECASE), "is a rounded number"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?"), "is a date with a time"),
    (re.compile(r"\d{1,2}/\d{1,2}/(\d{4}|\d\d)"), "is a date"),
    (re.compile(r"(-?\d+ days?, )?\d{1,2}:\d\d(:\d\d(\.\d+)?)?"), "is a time"),
)
_ROUNDED: Final = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
# The rows of a file repeat a few names of series.
remember: Final = functools.lru_cache(maxsize=256)


canonical: Final = functools.partial(unicodedata.normalize, "NFC")
"""Returns the NFC form of a name, because a server may store that form."""


@remember
def fold(serie: str) -> str:
    """Return a name without the differences that a person may overlook.

    They are case, spaces, dashes of another length, full-width and composed forms, and invisible
    characters.
    """
    if serie.isascii():
        return "".join(serie.casefold().split())
    plain = unicodedata.normalize("NFD", serie)
    for _ in range(2):  # as Unicode defines a compatibility caseless match (D146)
        plain = unicodedata.normalize("NFKD", plain.casefold())
    shown = (one for one in plain if not _is_invisible(one))
    kept = ("-" if unicodedata.category(one) == "Pd" or one == _MINUS else one for one in shown)
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


@remember
def spreadsheet_damage(serie: str) -> str | None:
    """Return what a spreadsheet or a slip made of a name, such as "is a formula"; else None.

    A series can never be deleted or renamed, so such names are refused before they are sent.
    """
    if serie != serie.strip():
        return "has spaces around it"
    return next((what for form, what in _MISREAD if form.fullmatch(serie)), None)


def is_rounded(key: str) -> bool:
    """Whether a spreadsheet made a number of a key; a key of digits and an "e" has no sign."""
    return _ROUNDED.fullmatch(key) is not None


def form_of(serie: str) -> str:
    """Return a name with every digit as 0: `FR2026` and `FR2027` have the same form."""
    return re.sub(r"\d", "0", fold(serie))
