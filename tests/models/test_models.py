import pickle

import pytest

from invoicexpress_async import (
    ConfigurationError,
    DocumentSequenceState,
    DocumentType,
    Registration,
    Sequence,
)


def state(code: str | None, *, sequence_id: int | None = 7) -> DocumentSequenceState:
    return DocumentSequenceState(number=0, sequence_id=sequence_id, validation_code=code)


def sequence(*codes: str | None) -> Sequence:
    types = list(DocumentType)[: len(codes)]
    documents: dict[DocumentType | str, DocumentSequenceState] = {
        name: state(code) for name, code in zip(types, codes, strict=True)
    }
    return Sequence(id=1, serie="2027", is_default=False, documents=documents)


# What other programs show in the field of a code, or a server could.
NO_CODES = [
    "0", "00000000", "-", "--", ".", "N.D.", "ND", "NA", "N/ D", "N\\D", "pending", "Pendente",
    "PENDENTE", "null", "NULL", "none", "erro 4001", "ABCD 1234", " ABCD1234 ", "ABCD-1234",
    "ABCD1234-1", "\N{FULLWIDTH DIGIT ONE}234ABCD", "\N{ARABIC-INDIC DIGIT ONE}2345678",
    "C\N{LATIN CAPITAL LETTER O WITH ACUTE}DIGO12", "\N{NO-BREAK SPACE}", "ABCD1234\n",
]  # fmt: skip


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    ("code", "registration"),
    [
        pytest.param("ABCD1234", Registration.REGISTERED, id="a code"),
        pytest.param("ABCD123", Registration.REGISTERED, id="seven characters, as in the sample"),
        pytest.param("N/D", Registration.NOT_REGISTERED, id="N/D"),
        pytest.param("N/A", Registration.NOT_APPLICABLE, id="N/A"),
        pytest.param(None, Registration.UNKNOWN, id="absent"),
        pytest.param("", Registration.UNKNOWN, id="empty"),
        pytest.param(" ", Registration.UNKNOWN, id="one space"),
        pytest.param("abcd1234", Registration.REGISTERED, id="in small letters"),
        pytest.param("ABCDEFGH", Registration.REGISTERED, id="letters only"),
        pytest.param("12345678", Registration.REGISTERED, id="digits only"),
        *(
            pytest.param(one, Registration.NOT_REGISTERED, id=ascii(one))
            for one in (" N/D ", "n/d", "N/d\n", "\tn/D")
        ),
        *(
            pytest.param(one, Registration.NOT_APPLICABLE, id=ascii(one))
            for one in (" N/A ", "n/a", "N/a")
        ),
        *(pytest.param(one, Registration.UNKNOWN, id=ascii(one)) for one in NO_CODES),
    ],
)
def test_a_validation_code_gives_the_registration_of_a_type(
    code: str | None, registration: Registration
) -> None:
    assert state(code).registration is registration


@pytest.mark.parametrize(
    ("codes", "registration"),
    [
        pytest.param(["AAAA1111", "BBBB2222"], Registration.REGISTERED, id="all real"),
        pytest.param(["AAAA1111", "N/A"], Registration.REGISTERED, id="real and not needed"),
        pytest.param(["N/D", "N/D"], Registration.NOT_REGISTERED, id="all N/D"),
        pytest.param(["N/D", "N/A"], Registration.NOT_REGISTERED, id="N/D and not needed"),
        pytest.param(["N/D", None], Registration.NOT_REGISTERED, id="N/D and absent"),
        pytest.param(["AAAA1111", "N/D"], Registration.PARTIAL, id="mixed"),
        pytest.param(["AAAA1111", None], Registration.PARTIAL, id="real and absent"),
        pytest.param(["AAAA1111", ""], Registration.PARTIAL, id="real and empty"),
        pytest.param(["N/A", "N/A"], Registration.NOT_APPLICABLE, id="none needed"),
        pytest.param([None, None], Registration.UNKNOWN, id="lean"),
        pytest.param(["N/A", None], Registration.UNKNOWN, id="not needed and absent"),
        pytest.param([], Registration.UNKNOWN, id="no types"),
    ],
)
def test_the_registration_of_a_sequence_is_judged_over_its_types(
    codes: list[str | None], registration: Registration
) -> None:
    assert sequence(*codes).registration is registration


def test_a_type_that_is_not_configured_does_not_count() -> None:
    documents = {"invoice": state("AAAA1111"), "quote": state("N/D", sequence_id=0)}

    result = Sequence(id=1, serie="x", is_default=False, documents=documents)

    assert result.registration is Registration.REGISTERED
    assert result.unregistered == ()


def test_unregistered_names_the_types_that_have_no_code() -> None:
    result = sequence("AAAA1111", "N/D", "N/A", None)

    assert result.unregistered == (DocumentType.INVOICE_RECEIPT, DocumentType.CREDIT_NOTE)


def test_an_atcud_is_the_code_a_hyphen_and_the_number() -> None:
    invoice = DocumentSequenceState(number=41, sequence_id=7, validation_code="ABCD1234")

    assert invoice.next_number == 42
    assert invoice.atcud(invoice.next_number) == "ABCD1234-42"


@pytest.mark.fault(74)
@pytest.mark.parametrize("code", NO_CODES)
def test_a_sequence_with_one_code_that_is_none_is_never_registered(code: str) -> None:
    for codes, registration in (
        (["AAAA1111", code], Registration.PARTIAL),
        ([code, "N/A"], Registration.UNKNOWN),
        ([code], Registration.UNKNOWN),
        ([code, "N/D"], Registration.NOT_REGISTERED),
    ):
        result = sequence(*codes)
        assert result.registration is registration
        assert DocumentType(list(DocumentType)[codes.index(code)]) in result.unregistered


@pytest.mark.parametrize("code", ["N/D", "N/A", None, "", *NO_CODES])
def test_a_type_without_a_code_has_no_atcud(code: str | None) -> None:
    with pytest.raises(ConfigurationError, match="no validation code"):
        state(code).atcud(1)


@pytest.mark.parametrize("number", [0, -1, None, True])
def test_an_atcud_needs_a_positive_number(number: int | None) -> None:
    with pytest.raises(ConfigurationError, match="positive integer"):
        state("ABCD1234").atcud(number)


def test_the_next_number_is_unknown_when_the_last_one_is() -> None:
    assert DocumentSequenceState(number=None).next_number is None


def test_documents_are_found_by_member_and_by_name() -> None:
    result = Sequence(
        id=1,
        serie="x",
        is_default=False,
        documents={DocumentType.INVOICE: state("A"), "new_type": state("B")},
    )

    assert result.documents["invoice"] is result.documents[DocumentType.INVOICE]
    assert result.documents["new_type"].validation_code == "B"


def test_documents_and_extra_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        sequence("A").documents["invoice"] = state("B")  # type: ignore[index]  # the point


def test_a_sequence_pickles_and_hashes() -> None:
    original = sequence("AAAA1111", None)

    copy = pickle.loads(pickle.dumps(original))

    assert copy == original
    assert hash(copy) == hash(original)
