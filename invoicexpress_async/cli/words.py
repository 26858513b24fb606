"""The texts for people, in English and Portuguese.

A text is written in English where it is used; `data/texts_pt.json` has its translation.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final, Literal, cast

Language = Literal["en", "pt"]
_FEW: Final = 3
LANGUAGES: Final[tuple[Language, ...]] = ("en", "pt")


def word(text: str, language: Language, /, **values: object) -> str:
    """Return a text in a language.

    Each line of a text is translated as a text and the lines are joined by spaces. A line without
    a translation stays as it is.
    """
    lines = text.splitlines()
    if language == "pt":
        lines = [portuguese().get(line, line) for line in lines]
    found = " ".join(lines)
    return found.format(**values) if values else found


def label(text: str, language: Language) -> str:
    """Return a state, a step or another name from the JSON output in words for people."""
    return word(text.replace("_", " "), language)


def counted(count: int, text: str, language: Language, *, one: str | None = None) -> str:
    """Return a count with its noun, such as "2 rows"; `one` is the noun for a count of 1."""
    if count == 1:
        return label(f"1 {one or text}", language)
    return label(f"{{count}} {text}", language).format(count=count)


def first_few(texts: Sequence[str], language: Language) -> str:
    """Return the first texts, and how many more there are."""
    shown, more = ", ".join(texts[:_FEW]), len(texts) - _FEW
    return f"{shown} {word('and {count} more', language, count=more)}" if more > 0 else shown


def decimal(value: float, language: Language) -> str:
    text = f"{value:.1f}"
    return text.replace(".", ",") if language == "pt" else text


def lines_of(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


@cache
def portuguese() -> Mapping[str, str]:
    path = files("invoicexpress_async") / "data" / "texts_pt.json"
    return cast("dict[str, str]", json.loads(path.read_text(encoding="utf-8")))
