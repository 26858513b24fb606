"""Sums up the lines of `preview` in sentences and counts."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from invoicexpress_async.cli.views.preview import CREATE, DEFAULT, REGISTER, PreviewLine
from invoicexpress_async.cli.words import Language, counted, first_few, word

_THERE: Final = "{there} there already, {created} to be created."
_UNREGISTERED: Final = "{count} of those there to be registered."
_WOULD_FAIL: Final = "It would fail on {accounts}: the table says why, and what to do."
_DEFAULT_NOW: Final = "The default now is {names}."
_DEFAULT_UNREAD: Final = "The default now could not be read on {accounts}."
_NOT_AGAIN: Final = "The journal has all as done or refused: the present defaults were not read."
_UNLIKE_ALL: Final = "Unlike all other names of the account: {names}."
_BACKWARDS_ON: Final = "A step backwards: {names}."
_ABROAD: Final = (
    "As if not Portuguese, without validation codes until now: {names}. Check the country of any "
    "that is."
)
_LACKS_CODES: Final = (
    "The default now lacks validation codes, and so may the new serie: {names}. Check their AT "
    "set-up first."
)


def preview_counts(lines: Iterable[PreviewLine]) -> dict[str, int]:
    """Return the counts of the lines for the summary in JSON."""
    lines = list(lines)
    done = [line for line in lines if line.is_read and line.error is None]
    return {
        "there": sum(line.registration is not None for line in lines),
        "to_create": sum(CREATE in line.actions for line in done),
        "to_register": sum(REGISTER in line.actions for line in done),
        "to_make_default": sum(DEFAULT in line.actions for line in done),
        "problems": sum(line.error is not None for line in lines),
    }


def preview_texts(lines: Sequence[PreviewLine], language: Language) -> Iterator[str]:
    """Yield sentences on the state of the accounts, and on what to check before the run."""
    counts = preview_counts(lines)
    yield word(_THERE, language, there=counts["there"], created=counts["to_create"])
    if registered := counts["to_register"]:
        yield word(_UNREGISTERED, language, count=registered)
    failing = {line.account for line in lines if line.error and not line.is_left_out}
    if failing:
        yield word(_WOULD_FAIL, language, accounts=_accounts(len(failing), language))
    yield from _default_texts(lines, language)


def question_texts(lines: Sequence[PreviewLine], language: Language) -> Iterator[str]:
    """Yield sentences that a person needs for the question whether to begin the run."""
    defaults = [line for line in lines if line.is_default]
    if defaults and not any(line.is_read for line in defaults):
        yield word(_NOT_AGAIN, language)
    if unread := sum(line.is_unread for line in defaults):
        yield word(_DEFAULT_UNREAD, language, accounts=_accounts(unread, language))
    yield from _default_texts(lines, language)


def _default_texts(lines: Sequence[PreviewLine], language: Language) -> Iterator[str]:
    """Yield sentences on the present defaults, the most frequent first, and on what is odd."""
    names = Counter(line.current for line in lines if line.is_default and line.current is not None)
    if names:
        found = [(name, str(count)) for name, count in names.most_common()]
        yield _named(_DEFAULT_NOW, found, language)
    # A wrong name can never be changed.
    for text, odd in (
        (_UNLIKE_ALL, [line for line in lines if line.is_unlike]),
        (_BACKWARDS_ON, [line for line in lines if line.is_backwards]),
    ):
        if odd:
            yield _named(text, [(line.serie or "", line.account) for line in odd], language)
    for text, accounts in (
        (_ABROAD, [line.account for line in lines if line.is_abroad]),
        (_LACKS_CODES, [line.account for line in lines if line.lacks_codes]),
    ):
        if accounts:
            yield word(text, language, names=first_few([*dict.fromkeys(accounts)], language))


def _named(text: str, found: Iterable[tuple[str, str]], language: Language) -> str:
    shown = [
        word("{name} on {count}", language, name=repr(name), count=count) for name, count in found
    ]
    return word(text, language, names=first_few(shown, language))


def _accounts(count: int, language: Language) -> str:
    return counted(count, "accounts", language, one="account")
