import inspect
import pickle
import re
import traceback
from collections import Counter
from pathlib import Path

import pytest

import invoicexpress_async
from invoicexpress_async import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
    Sequence,
    SessionClosedError,
    StatusError,
    onboarding,
    provisioning,
)

PAGE = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()
PUBLIC = [
    getattr(module, name)
    for module in (invoicexpress_async, provisioning, onboarding)
    for name in module.__all__
]
ERRORS = sorted(
    (one for one in PUBLIC if inspect.isclass(one) and issubclass(one, InvoiceXpressError)),
    key=lambda one: one.__name__,
)


@pytest.mark.parametrize("error_class", ERRORS)
def test_every_error_pickles_with_all_that_it_knows(error_class: type[InvoiceXpressError]) -> None:
    original = error_class(
        "what happened",
        operation="create",
        subject="sequence '2027'",
        account="acme",
        attempts=2,
        may_have_been_processed=True,
    )

    copy = pickle.loads(pickle.dumps(original))

    assert type(copy) is error_class
    assert vars(copy) == vars(original)
    assert str(copy) == str(original)


@pytest.mark.parametrize("error_class", ERRORS)
def test_every_text_says_what_where_its_effect_and_a_cure(
    error_class: type[InvoiceXpressError],
) -> None:
    error = error_class(
        "What happened.", operation="create", subject="sequence '2027'", account="acme"
    )

    text = str(error)

    assert text.startswith("What happened. [create of sequence '2027' on account acme: it ")
    assert error_class.cure in text
    assert (error_class is InvoiceXpressError) or error_class.cure != InvoiceXpressError.cure


def test_every_error_has_its_line_in_the_documentation() -> None:
    names = {one: one.__name__ for one in ERRORS}

    rows = Counter(re.findall(r'^\| <a id="(\w+)"></a>`(\w+)` \| .+ \|$', PAGE, re.MULTILINE))

    wrong = [one for one, name in names.items() if rows[(name.lower(), name)] != 1]
    wrong += [one for one, name in names.items() if one.anchor != f"docs/errors.md#{name.lower()}"]
    assert wrong == []


def test_no_anchor_of_the_page_is_of_an_error_that_is_no_more() -> None:
    names = {one.__name__.lower() for one in ERRORS}

    assert set(re.findall(r'<a id="(\w+)">', PAGE)) == names


def test_a_traceback_ends_with_where_the_error_is_documented() -> None:
    error = SessionClosedError("x")

    shown = traceback.format_exception_only(error)

    assert shown[-1] == "See docs/errors.md#sessionclosederror\n"
    assert "docs/" not in str(error)  # short, for logs and answers


@pytest.mark.parametrize(
    ("error_class", "built_in"),
    [
        (ConfigurationError, ValueError),
        (SessionClosedError, RuntimeError),
        (ConnectionFailedError, ConnectionError),
        (DeadlineExceededError, TimeoutError),
    ],
)
def test_some_errors_are_built_in_errors_too(
    error_class: type[InvoiceXpressError], built_in: type[Exception]
) -> None:
    assert issubclass(error_class, built_in)


def test_an_unknown_outcome_and_a_partial_registration_have_taken_effect() -> None:
    assert OutcomeUnknownError("x").may_have_been_processed
    assert PartialRegistrationError("x").may_have_been_processed
    assert not StatusError("x").may_have_been_processed


def test_a_partial_registration_pickles_with_its_sequence() -> None:
    sequence = Sequence(id=1, serie="2027", is_default=False, documents={})

    copy = pickle.loads(pickle.dumps(PartialRegistrationError("x", sequence=sequence)))

    assert copy.sequence == sequence


@pytest.mark.parametrize(
    ("error_class", "is_transient"),
    [(one, one.__name__ in {"RateLimitedError", "ServerError", "SequenceBeingRegisteredError"})
     for one in ERRORS if issubclass(one, StatusError)],
)  # fmt: skip
def test_an_error_is_transient_when_the_same_request_could_succeed_later(
    error_class: type[StatusError], is_transient: bool
) -> None:
    assert error_class("x").is_transient is is_transient
