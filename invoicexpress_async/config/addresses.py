"""The address of an account's pages, as people paste it."""

import re
from typing import Final

_ACCOUNT_URL: Final = re.compile(
    r"(?:https?://)?([a-z0-9-]+)\.app\.invoicexpress\.com(?::443)?(?:[/?#].*)?", re.IGNORECASE
)


def account_name_in(text: str) -> str:
    """Return the account's name in the address of its pages, or the text when it is none."""
    found = _ACCOUNT_URL.fullmatch(text.strip()) if "." in text else None
    return found[1] if found else text
