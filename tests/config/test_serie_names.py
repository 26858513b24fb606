"""Names that are the same, names that only look so, and names that hide something."""

import unicodedata
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from conftest import ACCOUNT, API_KEY
from hypothesis import given
from hypothesis import strategies as st
from scripted import Row, Scripted, row_of, serving_scripted

from invoicexpress_async import (
    AccountSession,
    ConfigurationError,
    OutcomeUnknownError,
    RetryPolicy,
    SessionManager,
    Via,
)
from invoicexpress_async.call.reconcile import Listing
from invoicexpress_async.config import Secret, check_api_key
from invoicexpress_async.config.serie_names import canonical, fold, invisible_in
from invoicexpress_async.models import Sequence
from invoicexpress_async.provisioning import Plan, PlanRow
from invoicexpress_async.provisioning.row import summarise

COMPOSED, DECOMPOSED = (
    "S\N{LATIN SMALL LETTER E WITH ACUTE}rie27",
    "Se\N{COMBINING ACUTE ACCENT}rie27",
)
POLICY = RetryPolicy(attempts=1, read_after_seconds=(0.01, 0.02))


def listing(*series: str) -> Listing:
    return Listing(
        sequences=tuple(
            Sequence(id=number, serie=serie, is_default=False, documents={})
            for number, serie in enumerate(series, 1)
        )
    )


@pytest.mark.fault(76)
@pytest.mark.parametrize("requested", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED])
def test_a_name_is_found_in_either_unicode_form(requested: str, stored: str) -> None:
    found = listing("2026", stored).find(requested)

    assert found is not None
    assert found.serie == stored


def test_of_two_forms_of_one_name_the_exact_one_is_found() -> None:
    both = listing(COMPOSED, DECOMPOSED)

    assert [getattr(both.find(one), "id", None) for one in (COMPOSED, DECOMPOSED)] == [1, 2]


LOOK_ALIKES = [
    pytest.param("FR2027", "fr 2027", id="case and spaces"),
    pytest.param("2027", "\N{FULLWIDTH DIGIT TWO}027", id="full width"),
    pytest.param("2027-A", "2027\N{NON-BREAKING HYPHEN}A", id="another hyphen"),
    pytest.param("2027-A", "2027\N{EN DASH}A", id="a dash"),
    pytest.param("2027-A", "2027\N{MINUS SIGN}A", id="a minus"),
    pytest.param("2027 A", "2027\N{NO-BREAK SPACE}A", id="another space"),
    pytest.param("2027", "2027\N{ZERO WIDTH SPACE}", id="zero width"),
    pytest.param("2027", "20\N{SOFT HYPHEN}27", id="soft hyphen"),
    pytest.param("2027", "2027\N{POP DIRECTIONAL FORMATTING}", id="bidi"),
    pytest.param("2027", "2027\N{HANGUL FILLER}", id="filler"),
    pytest.param("STRASSE", "stra\N{LATIN SMALL LETTER SHARP S}e", id="sharp s"),
    pytest.param("Fi27", "\N{LATIN SMALL LIGATURE FI}27", id="ligature"),
    pytest.param(COMPOSED, DECOMPOSED.upper(), id="case and form"),
]


@pytest.mark.fault(77)
@pytest.mark.parametrize(("one", "other"), LOOK_ALIKES)
def test_names_that_only_look_the_same_are_similar_and_not_found(one: str, other: str) -> None:
    for there, requested in ((one, other), (other, one)):
        assert listing(there).find(requested) is None
        assert listing(there).find_similar(requested) is not None


@pytest.mark.parametrize("other", ["2026", "2027A", "2027-", "\u0662\u0660\u0662\u0667", "FR-2027"])
def test_other_names_are_not_similar(other: str) -> None:
    assert listing(other).find_similar("2027") is None


@given(st.text(max_size=35))
def test_a_fold_is_the_same_for_every_form_and_case_of_a_name(text: str) -> None:
    folded = fold(text)

    assert fold(folded) == folded
    assert {fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {folded}
    assert canonical(canonical(text)) == canonical(text)


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    ("hidden", "name"),
    [
        ("\u200b", r"ZERO WIDTH SPACE \(U\+200B\)"),
        ("\u200d", r"ZERO WIDTH JOINER \(U\+200D\)"),
        ("\u00ad", r"SOFT HYPHEN \(U\+00AD\)"),
        ("\ufeff", r"ZERO WIDTH NO-BREAK SPACE \(U\+FEFF\)"),
        ("\u202e", r"RIGHT-TO-LEFT OVERRIDE \(U\+202E\)"),
        ("\u2028", r"LINE SEPARATOR \(U\+2028\)"),
        ("\u034f", r"COMBINING GRAPHEME JOINER \(U\+034F\)"),
        ("\u3164", r"HANGUL FILLER \(U\+3164\)"),
        ("\ufe0f", r"VARIATION SELECTOR-16 \(U\+FE0F\)"),
        ("\U000e0041", r"TAG LATIN CAPITAL LETTER A \(U\+E0041\)"),
    ],
)
async def test_what_cannot_be_seen_is_refused_by_its_name_before_anything_is_sent(
    hidden: str, name: str
) -> None:
    async with serving_scripted() as (server, account), SessionManager() as manager:
        attempts: list[Callable[[], Awaitable[object]]] = [
            lambda: account.sequences.ensure(f"20{hidden}27"),
            lambda: account.sequences.create(f"2027{hidden}"),
            lambda: account.sequences.find(f"{hidden}2027"),
        ]
        for attempt in attempts:
            with pytest.raises(ConfigurationError, match=f"The serie .* {name}"):
                await attempt()
        with pytest.raises(ConfigurationError, match=f"The account name .* {name}"):
            manager.account(f"ac{hidden}me", API_KEY)
        with pytest.raises(ConfigurationError, match=f"The API key .* {name}") as caught:
            manager.account(ACCOUNT, f"{API_KEY}{hidden}")

    assert API_KEY not in str(caught.value)
    assert server.sent == {}


@pytest.mark.parametrize("text", ["2027", "S\u00e9rie 27", "A\u00a0B", "\u6f22\u5b57", "a-b_c/d"])
def test_what_can_be_seen_is_not_refused(text: str) -> None:
    assert invisible_in(text) is None
    assert check_api_key(Secret(text)).reveal() == text


class Normalising(Scripted):
    """Stores every name in NFC, as some databases do."""

    def create(self, rows: list[Row], wanted: Row) -> Row:
        return super().create(rows, wanted | {"serie": canonical(wanted["serie"])})


Verb = Callable[[AccountSession, str], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "create": lambda account, serie: account.sequences.create(serie),
    "ensure": lambda account, serie: account.sequences.ensure(serie),
}


@pytest.mark.fault(76)
@pytest.mark.parametrize("is_lost", [False, True], ids=["answered", "lost"])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
async def test_a_name_that_is_stored_in_another_form_is_the_one_that_was_sent(
    verb: Verb, *, is_lost: bool
) -> None:
    async with serving_scripted(Normalising, retry=POLICY) as (server, account):
        if is_lost:
            server.says("create", 504, does=True)

        await verb(account, DECOMPOSED)
        again = [await account.sequences.ensure(one) for one in (DECOMPOSED, COMPOSED)]
        found = await account.sequences.find(DECOMPOSED)

    assert {one.via for one in again} == {Via.LISTED}
    assert found is not None
    assert found.serie == COMPOSED
    assert account.sequences.unresolved() == ()
    assert server.count("create") == 1


@pytest.mark.fault(76)
async def test_an_unresolved_name_is_unresolved_in_its_other_form_too() -> None:
    async with serving_scripted(Normalising, retry=POLICY) as (server, account):
        server.says("create", 504)
        for form in (DECOMPOSED, COMPOSED):
            with pytest.raises(OutcomeUnknownError):
                await account.sequences.create(form)
        (intent,) = account.sequences.unresolved()
        assert server.count("create") == 1

        server.rows[ACCOUNT] = [row_of(7, COMPOSED)]
        sequence = await account.sequences.resume(intent)

    assert sequence.serie == COMPOSED
    assert account.sequences.unresolved() == ()


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    ("there", "requested"),
    [("2027", "\uff12027"), ("2027-A", "2027\u2011A"), ("SE\u0301RIE27", COMPOSED)],
)
async def test_nothing_is_created_beside_what_only_looks_the_same(
    there: str, requested: str
) -> None:
    async with serving_scripted() as (server, account):
        server.rows[ACCOUNT] = [row_of(7, there)]

        with pytest.raises(ConfigurationError, match="look-alike characters only") as caught:
            await account.sequences.ensure(requested)

    assert repr(there) in str(caught.value)
    assert server.count("create") == 0


@pytest.mark.parametrize(("one", "other"), [(COMPOSED, DECOMPOSED), ("2027-A", "2027\u2011a")])
def test_a_plan_does_not_have_one_name_twice_in_two_forms(one: str, other: str) -> None:
    rows = [PlanRow(account=ACCOUNT, api_key=API_KEY, serie=serie) for serie in (one, other)]

    with pytest.raises(ConfigurationError, match="the same account and serie"):
        summarise(rows)


@pytest.mark.fault(77)
@pytest.mark.parametrize("column", ["account", "api_key", "serie"])
def test_a_file_with_something_invisible_is_refused_with_its_line_and_the_name(
    column: str, tmp_path: Path
) -> None:
    cells = {"account": ACCOUNT, "api_key": API_KEY, "serie": "2027"}
    cells[column] = f"{cells[column]}\N{ZERO WIDTH SPACE}A"
    path = tmp_path / "accounts.csv"
    path.write_text(f"account;api_key;serie\n{';'.join(cells.values())}\n")

    with pytest.raises(ConfigurationError, match=rf"(?s)2.*{column} .*ZERO WIDTH SPACE") as caught:
        _ = Plan.from_csv(path).rows

    assert API_KEY not in str(caught.value)
