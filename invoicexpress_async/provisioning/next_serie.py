"""The name of next year's serie, from that of this year's; what is not plain is not guessed."""

import re

from invoicexpress_async.config import check_serie
from invoicexpress_async.errors import ConfigurationError

_PLACES = re.compile(r"\{(year|yy)\}")


def next_serie(current: str, year: int) -> str | None:
    """Return the name with last year's number replaced by that of `year`, or None.

    `2026` becomes `2027`, `FR2026` `FR2027`, `A26` `A27`. A name that has the number of `year`
    already stays as it is. None: it has neither, or more than one of them.
    """
    for digits in (4, 2):
        new, old = str(year)[-digits:], str(year - 1)[-digits:]
        found = re.findall(rf"(?<!\d)(?:{old}|{new})(?!\d)", current)
        if len(found) == 1:
            return re.sub(rf"(?<!\d){old}(?!\d)", new, current)
        if found:
            return None
    return None


def serie_of_pattern(pattern: str, year: int) -> str:
    """Fill `{year}` (2027) and `{yy}` (27) in.

    Raises:
        ConfigurationError: the pattern has neither, or what it makes is no name of a serie.
    """
    if not _PLACES.search(pattern):
        raise ConfigurationError(f"The pattern {pattern!r:.80} has neither {{year}} nor {{yy}}.")
    serie = pattern.replace("{year}", str(year)).replace("{yy}", str(year)[-2:])
    return check_serie(serie)
