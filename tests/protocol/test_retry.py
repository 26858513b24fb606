import itertools
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicexpress_async import (
    AccountNotPortugueseError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    InvalidSequenceError,
    InvoiceXpressError,
    MalformedResponseError,
    NoOpenActivityError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RetryPolicy,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceBeingRegisteredError,
    SequenceNameNotAllowedError,
    ServerError,
    StatusError,
    TaxAuthorityCredentialsError,
    TransportError,
    UnexpectedRedirectError,
    UnknownSequenceError,
    UnprocessableError,
)
from invoicexpress_async.call.limiter import RetryBudget
from invoicexpress_async.protocol.decision import (
    Action,
    Decision,
    Evidence,
    Operation,
    classify,
    decide,
    parse_retry_after,
    pause_seconds,
)

POLICY = RetryPolicy()
(
    LIST, GET, SET_CURRENT, REGISTER, CREATE, ACCOUNT_CREATE, ACCOUNT_UPDATE, AT_COMMUNICATION,
    WRITE,
) = Operation  # fmt: skip
RETRY, READ, READ_ONCE, RAISE = Action.RETRY, Action.READ, Action.READ_ONCE, Action.RAISE


def look_up(
    operation: Operation,
    evidence: Evidence,
    error: InvoiceXpressError | None,
    *,
    attempt: int = 1,
    seconds_left: float = 1_000.0,
    jitter: float = 1.0,
) -> Decision:
    return decide(
        operation,
        evidence,
        error,
        attempt=attempt,
        seconds_left=seconds_left,
        policy=POLICY,
        jitter=jitter,
    )


def same(action: Action) -> dict[Operation, Action]:
    return dict.fromkeys(Operation, action)


UNKNOWN = {
    LIST: RETRY, GET: RETRY, SET_CURRENT: READ, REGISTER: READ, CREATE: READ, WRITE: RAISE,
    ACCOUNT_CREATE: RAISE, ACCOUNT_UPDATE: RAISE, AT_COMMUNICATION: RAISE,
}  # fmt: skip
UNREADABLE = UNKNOWN | {LIST: RAISE, GET: RAISE}
REFUSED = same(RAISE) | {REGISTER: READ_ONCE, CREATE: READ_ONCE}

# The table of the design, row by row: what was seen, and what each operation does next.
ROWS: list[tuple[str, InvoiceXpressError, Mapping[Operation, Action]]] = [
    ("401", AuthenticationError("x"), same(RAISE)),
    ("403", PermissionDeniedError("x"), same(RAISE)),
    ("404", NotFoundError("x"), same(RAISE)),
    ("name not allowed", SequenceNameNotAllowedError("x"), same(RAISE)),
    ("invalid sequence", InvalidSequenceError("x"), same(RAISE)),
    ("not Portuguese", AccountNotPortugueseError("x"), same(RAISE)),
    ("429", RateLimitedError("x"), same(RETRY) | {REGISTER: RAISE, WRITE: RAISE}),
    (
        "being registered",
        SequenceBeingRegisteredError("x"),
        same(RAISE) | {REGISTER: READ, CREATE: READ},
    ),
    ("already registered", SequenceAlreadyRegisteredError("x"), REFUSED),
    ("exists", SequenceAlreadyExistsError("x"), same(RAISE)),
    ("AT credentials", TaxAuthorityCredentialsError("x"), same(RAISE) | {CREATE: READ_ONCE}),
    ("no open activity", NoOpenActivityError("x"), same(RAISE) | {CREATE: READ_ONCE}),
    ("422/000", UnknownSequenceError("x"), UNREADABLE),
    ("422 of no table", UnprocessableError("x", status=422, code="X42"), REFUSED),
    ("409 of no table", ConflictError("x", status=409), REFUSED),
    ("400", StatusError("x", status=400), REFUSED),
    ("405", StatusError("x", status=405), REFUSED),
    ("418", StatusError("x", status=418), REFUSED),
    ("success of false", StatusError("x", status=200), REFUSED),
    ("408", StatusError("x", status=408), UNREADABLE),
    ("500", ServerError("x"), UNKNOWN | {AT_COMMUNICATION: RETRY}),
    ("timeout or reset after sending", TransportError("x"), UNKNOWN),
    ("a malformed 2xx", MalformedResponseError("x"), UNKNOWN),
    ("HTML", MalformedResponseError("x", is_html=True), UNREADABLE),
    ("a redirect", UnexpectedRedirectError("x"), UNREADABLE),
]
STATUSES = [status for status in range(400, 500) if status not in {401, 403, 404, 408, 429}]


@given(
    st.sampled_from([CREATE, REGISTER]),
    st.sampled_from(STATUSES),
    st.integers(1, 10),
    st.floats(0, 1e6),
)
def test_a_4xx_of_no_table_is_read_for_once_and_never_sent_again(
    operation: Operation, status: int, attempt: int, left: float
) -> None:
    error = StatusError("x", status=status)

    decision = look_up(
        operation,
        classify(operation, error, is_sent=True),
        error,
        attempt=attempt,
        seconds_left=left,
    )

    assert decision == Decision(action=READ_ONCE)


@given(
    st.sampled_from([one for one in Operation if one not in {CREATE, REGISTER, WRITE}]),
    st.sampled_from(STATUSES),
)
def test_a_4xx_says_of_every_other_operation_that_it_had_no_effect(
    operation: Operation, status: int
) -> None:
    error = StatusError("x", status=status)

    evidence = classify(operation, error, is_sent=True)

    assert evidence is Evidence.REFUSED
    assert look_up(operation, evidence, error).action is RAISE


@given(st.sampled_from(STATUSES))
def test_what_a_request_of_the_callers_own_left_behind_is_not_known(status: int) -> None:
    error = StatusError("x", status=status)

    assert classify(WRITE, error, is_sent=True) is Evidence.UNKNOWN
    assert look_up(WRITE, Evidence.UNKNOWN, error).action is RAISE


@pytest.mark.parametrize(("error", "actions"), [pytest.param(*row, id=name) for name, *row in ROWS])
def test_each_row_of_the_decision_table(
    error: InvoiceXpressError, actions: dict[Operation, Action]
) -> None:
    found = {
        operation: look_up(operation, classify(operation, error, is_sent=True), error).action
        for operation in Operation
    }

    assert found == {operation: actions[operation] for operation in Operation}


@pytest.mark.parametrize("operation", Operation)
def test_what_never_left_is_sent_again_whatever_it_is(operation: Operation) -> None:
    error = ConnectionFailedError("x")

    assert classify(operation, error, is_sent=False) is Evidence.NOT_SENT
    assert look_up(operation, Evidence.NOT_SENT, error).action is RETRY


@pytest.mark.parametrize("operation", Operation)
def test_a_server_that_cannot_be_trusted_gets_no_second_request(operation: Operation) -> None:
    error = ConnectionFailedError("x")

    assert classify(operation, error, is_sent=False, is_untrusted=True) is Evidence.UNTRUSTED
    assert look_up(operation, Evidence.UNTRUSTED, error).action is RAISE


@pytest.mark.parametrize("operation", Operation)
def test_the_response_that_was_requested_is_accepted(operation: Operation) -> None:
    assert classify(operation, None, is_sent=True) is Evidence.APPLIED
    assert look_up(operation, Evidence.APPLIED, None).action is Action.ACCEPT


@given(
    st.sampled_from([CREATE, REGISTER, ACCOUNT_CREATE, ACCOUNT_UPDATE, WRITE]),
    st.sampled_from([row[1] for row in ROWS if row[0] != "429"]),
    st.integers(1, 10),
    st.floats(0, 1e6),
    st.floats(0, 1),
)
def test_what_may_have_reached_the_server_is_never_sent_again(
    operation: Operation, error: InvoiceXpressError, attempt: int, left: float, jitter: float
) -> None:
    decision = look_up(
        operation,
        classify(operation, error, is_sent=True),
        error,
        attempt=attempt,
        seconds_left=left,
        jitter=jitter,
    )

    assert decision.action is not RETRY


@given(
    st.sampled_from([row[1] for row in ROWS if row[0] not in {"429", "500"}]),
    st.integers(1, 10),
    st.floats(0, 1e6),
    st.floats(0, 1),
)
def test_credentials_that_may_have_been_checked_are_sent_again_after_5xx_only(
    error: InvoiceXpressError, attempt: int, left: float, jitter: float
) -> None:
    decision = look_up(
        AT_COMMUNICATION,
        classify(AT_COMMUNICATION, error, is_sent=True),
        error,
        attempt=attempt,
        seconds_left=left,
        jitter=jitter,
    )

    assert decision == Decision(action=RAISE)


@pytest.mark.parametrize(
    ("attempts", "actions"),
    [
        (1, [RAISE, RAISE, RAISE, RAISE]),
        (2, [RETRY, RAISE, RAISE, RAISE]),
        (3, [RETRY, RETRY, RAISE, RAISE]),
        (9, [RETRY, RETRY, RAISE, RAISE]),
    ],
)
def test_credentials_are_repeated_at_most_twice_whatever_the_policy(
    attempts: int, actions: list[Action]
) -> None:
    decisions = [
        decide(
            AT_COMMUNICATION,
            Evidence.UNKNOWN,
            ServerError("x"),
            attempt=attempt,
            seconds_left=1_000.0,
            policy=RetryPolicy(attempts=attempts),
            jitter=1.0,
        )
        for attempt in (1, 2, 3, 4)
    ]

    assert [decision.action for decision in decisions] == actions


def test_attempts_are_counted_up_to_the_policy() -> None:
    error = ServerError("x")

    actions = [
        look_up(LIST, Evidence.UNKNOWN, error, attempt=attempt).action for attempt in (1, 2, 3, 4)
    ]

    assert actions == [RETRY, RETRY, RAISE, RAISE]


def test_a_retry_that_would_pass_the_deadline_is_not_waited_for() -> None:
    error = ServerError("x")

    assert look_up(LIST, Evidence.UNKNOWN, error, seconds_left=0.26).action is RETRY
    assert look_up(LIST, Evidence.UNKNOWN, error, seconds_left=0.25).action is RAISE


def test_back_off_doubles_up_to_its_cap_under_full_jitter() -> None:
    waits = [POLICY.back_off_seconds(attempt, 1.0) for attempt in range(1, 9)]

    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert POLICY.back_off_seconds(3, 0.0) == 0.0
    assert POLICY.back_off_seconds(3, 0.5) == 0.5
    assert POLICY.back_off_seconds(10_000, 1.0) == 8.0


@pytest.mark.parametrize(
    ("requested", "waited"),
    [
        pytest.param(None, 5.0, id="bare"),
        pytest.param(0.0, 0.5, id="0"),
        pytest.param(-5.0, 0.5, id="negative"),
        pytest.param(1.0, 1.0, id="1"),
        pytest.param(120.0, 120.0, id="the longest"),
        pytest.param(120.1, None, id="longer"),
        pytest.param(86_400.0, None, id="a day"),
    ],
)
def test_a_retry_after_is_honoured_inside_its_clamp(
    requested: float | None, waited: float | None
) -> None:
    error = RateLimitedError("x", retry_after_seconds=requested)

    decision = look_up(CREATE, Evidence.REFUSED, error)

    expected = (
        Decision(action=RAISE) if waited is None else Decision(action=RETRY, after_seconds=waited)
    )
    assert decision == expected


def test_a_server_error_with_retry_after_waits_for_it() -> None:
    error = ServerError("x", retry_after_seconds=7.0)

    assert look_up(GET, Evidence.UNKNOWN, error).after_seconds == 7.0


def test_bare_429s_are_waited_for_ever_longer_and_not_for_ever() -> None:
    error = RateLimitedError("x")

    waits = [look_up(LIST, Evidence.REFUSED, error, attempt=attempt) for attempt in range(1, 9)]

    assert [wait.after_seconds for wait in waits[:-1]] == [5, 10, 20, 40, 60, 60, 60]
    assert waits[-1].action is RAISE


WALL = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("1", 1.0),
        (" 1.5 ", 1.5),
        ("-5", -5.0),
        ("86400", 86_400.0),
        ("1e309", None),
        ("NaN", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:12:50 GMT", -30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue Nov 14 22:13:50 2023", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Wed, 32 Foo 2023 99:99:99 GMT", None),
    ],
)
def test_a_retry_after_is_read_in_every_form_and_zone(
    text: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        read = parse_retry_after(text, wall_seconds=WALL)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert read == seconds


@given(st.text(max_size=60))
def test_no_retry_after_can_break_the_parser(text: str) -> None:
    seconds = parse_retry_after(text, wall_seconds=WALL)

    assert seconds is None or abs(seconds) < 1e12


def test_an_outage_costs_at_most_a_tenth_more_requests() -> None:
    budget = RetryBudget()
    spent = 0

    for _ in range(10_000):
        budget.deposit()
        spent += sum(budget.withdraw() for _ in range(2))

    assert 1_000 <= spent <= 1_050


def test_a_budget_is_spent_to_its_last_retry_and_refilled_by_tenths() -> None:
    budget = RetryBudget()

    assert [budget.withdraw() for _ in range(51)] == [True] * 50 + [False]
    for _ in range(11):
        budget.deposit()
    assert [budget.withdraw() for _ in range(2)] == [True, False]


def test_ordinary_trouble_does_not_empty_the_budget() -> None:
    budget = RetryBudget()

    for call in range(5_000):
        budget.deposit()
        if call % 20 == 0:
            assert budget.withdraw()


@pytest.mark.parametrize(
    "settings", [{"attempts": 0}, {"attempts": True}, {"base_seconds": 0}, {"cap_seconds": -1.0}]
)
def test_a_policy_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        RetryPolicy(**settings)


def test_the_smallest_policy_is_one_attempt() -> None:
    policy = RetryPolicy(attempts=1)

    decision = decide(
        LIST,
        Evidence.NOT_SENT,
        TransportError("x"),
        attempt=1,
        seconds_left=1_000.0,
        policy=policy,
        jitter=0.0,
    )

    assert decision == Decision(action=RAISE, after_seconds=0.0)


def test_a_wait_far_past_the_deadline_is_not_begun() -> None:
    error = ServerError("x", retry_after_seconds=60.0)

    assert look_up(LIST, Evidence.UNKNOWN, error, seconds_left=1.0).action is RAISE


@pytest.mark.parametrize(
    ("requested", "paused"),
    [(None, 5.0), (0.0, 0.5), (30.0, 30.0), (120.0, 120.0), (86_400.0, 120.0)],
)
def test_a_429_that_is_reported_pauses_the_account_inside_the_clamp(
    requested: float | None, paused: float
) -> None:
    assert pause_seconds(RateLimitedError("x", retry_after_seconds=requested)) == paused


def test_every_pair_of_evidence_and_operation_has_an_action() -> None:
    for operation, evidence in itertools.product(Operation, Evidence):
        assert look_up(operation, evidence, TransportError("x")).action in Action


@pytest.mark.parametrize(
    ("schedule", "reported"),
    [
        pytest.param([1.0], "give a tuple", id="a list"),
        pytest.param((1.0, 1.0), "later than the one before", id="twice the same"),
        pytest.param((4.0, 1.0), "later than the one before", id="backwards"),
        pytest.param((0.0,), "read_after_seconds", id="at once"),
        pytest.param((float("nan"),), "read_after_seconds", id="not a number"),
        pytest.param(("1",), "read_after_seconds", id="a text"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(schedule: object, reported: str) -> None:
    with pytest.raises(ConfigurationError, match=reported):
        RetryPolicy(read_after_seconds=schedule)  # type: ignore[arg-type]  # on purpose


def test_the_schedule_of_reading_is_the_designs_or_the_users_own() -> None:
    assert RetryPolicy().read_after_seconds == (1.0, 4.0, 10.0, 30.0, 75.0)
    assert RetryPolicy(read_after_seconds=()).read_after_seconds == ()
