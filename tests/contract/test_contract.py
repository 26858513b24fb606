"""The client and the sandbox, each against the description: neither can be wrong alone."""

import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Literal

import attrs
import pytest
from conftest import API_KEY, DATA
from contract_check import Contract, watched
from fakes import FakeClock

from invoicexpress_async import (
    AccountNotPortugueseError,
    AccountSession,
    AccountUpdate,
    AtCredentials,
    CommunicationType,
    InvoiceXpressError,
    Language,
    NewAccount,
    NoOpenActivityError,
    NotFoundError,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceBeingRegisteredError,
    SequenceNameNotAllowedError,
    SessionManager,
    TaxAuthorityCredentialsError,
    TaxCountry,
)
from invoicexpress_async.sandbox import ErrorShape, FaultServer, SandboxAccount

PASSWORD = "canary-user-password"
NIF = "501964843"
CREDENTIALS = AtCredentials(subuser=f"{NIF}/1", password="canary-at-password")


@attrs.define(eq=False)
class Stage:
    """A server that is watched, and a new account on it for every call."""

    server: FaultServer
    manager: SessionManager
    contract: Contract
    name: str = "case-0"
    calls: int = 0

    @property
    def account(self) -> AccountSession:
        return self.manager.account(self.name, API_KEY)

    def next(self, *, is_registered: bool = False, **settings: Any) -> int:
        """Open the next account, with a company of its own; return the id of a row of its."""
        self.calls += 1
        self.name = f"case-{self.calls}"
        settings = {"is_partner": True, "fiscal_id": NIF, **settings}
        self.server.add_account(SandboxAccount(name=self.name, api_key=API_KEY, **settings))
        self.server.add_account(
            SandboxAccount(
                name=f"owned-{self.calls}",
                id=str(900_000 + self.calls),
                owner=self.name,
                organization_name="Usada, Lda",
                email=f"user-{self.calls}@example.pt",
                user_password=PASSWORD,
            )
        )
        return self.server.add_sequence(self.name, "2026", is_registered=is_registered).id

    @property
    def owned_id(self) -> str:
        return str(900_000 + self.calls)

    def company(self, *, is_user_known: bool = False) -> NewAccount:
        user = "user" if is_user_known else "new"
        return NewAccount(
            organization_name="Sapataria Ideal, Lda",
            email=f"{user}-{self.calls}@example.pt",
            password=PASSWORD,
            accepts_terms=True,
        )


Verb = Callable[[Stage, int], Awaitable[object]]

# Each operation of the description: its name in the sandbox, and the call that makes it.
VERBS: Mapping[str, tuple[str, Verb]] = {
    "list_sequences": ("list", lambda on, _: on.account.sequences.list()),
    "create_sequence": ("create", lambda on, _: on.account.sequences.create("2027", default=True)),
    "get_sequence": ("get", lambda on, row: on.account.sequences.get(row)),
    "set_current_sequence": ("set_current", lambda on, row: on.account.sequences.set_current(row)),
    "register_sequence": ("register", lambda on, row: on.account.sequences.register(row)),
    "create_account": ("account_create", lambda on, _: on.account.accounts.create(on.company())),
    "create_account_for_existing_user": (
        "account_create_already_user",
        lambda on, _: on.account.accounts.create_for_existing_user(on.company(is_user_known=True)),
    ),
    "get_account": ("account_get", lambda on, _: on.account.accounts.get(on.owned_id)),
    "update_account": (
        "account_update",
        lambda on, _: on.account.accounts.update(
            on.owned_id, AccountUpdate(city="Porto", postal_code="4000-001")
        ),
    ),
    "update_account_by_post": (
        "account_update",
        # The client puts it; other clients do not.
        lambda on, _: on.account.request(
            "POST", f"/api/accounts/{on.owned_id}/update.json", {"account": {"city": "Porto"}}
        ),
    ),
    "at_communication": (
        "at_communication",
        lambda on, _: on.account.accounts.configure_at_communication(CREDENTIALS),
    ),
}


@pytest.fixture
async def stage(clock: FakeClock) -> AsyncIterator[Stage]:
    contract = Contract()
    async with (
        FaultServer(clock=clock.now, sleep=clock.sleep) as server,
        watched(server.base_url, contract) as base_url,
        SessionManager(base_url=base_url, clock=clock, rate_limit=None) as manager,
    ):
        yield Stage(server, manager, contract)


async def call(on: Stage, operation: str, row: int) -> InvoiceXpressError | None:
    """Make a call, and return what it raised."""
    try:
        await VERBS[operation][1](on, row)
    except InvoiceXpressError as error:
        return error
    return None


async def refuse(on: Stage, operation: str, status: int, code: str) -> None:
    """Make a call that is refused so, whatever the account is like."""
    row = on.next(refusals={VERBS[operation][0]: (status, code)})
    assert await call(on, operation, row) is not None


async def go_through_all(on: Stage) -> None:
    """See every status and code of the description."""
    for operation, status in sorted(on.contract.documented):
        if status.startswith("2"):
            await succeed(on, operation, status)
        else:
            await refuse(on, operation, int(status.replace("XX", "03")), "")
    for operation, status, code in on.contract.documented_codes:
        await refuse(on, operation, int(status), code)


async def succeed(on: Stage, operation: str, status: str) -> None:
    row = on.next()
    if status == "2XX":
        body = '{"success":"true"}'
        headers = [("Content-Type", "application/json")]
        on.server.faults.next("status", status=202, body=body, headers=headers)
    elif operation == "create_account_for_existing_user":
        on.server.existing_user_status = 200 if status == "200" else 201
    assert await call(on, operation, row) is None


@pytest.mark.parametrize("shapes", ["described", "older"])
@pytest.mark.parametrize("language", ["pt", "en"])
async def test_all_that_is_sent_and_answered_is_as_described(
    shapes: str, language: Literal["pt", "en"], stage: Stage
) -> None:
    stage.server.language = language
    if shapes == "older":
        stage.server.use_older_shapes()

    await go_through_all(stage)

    contract = stage.contract
    assert contract.problems == []
    assert contract.documented - set(contract.seen) == set()
    assert set(contract.documented_codes) - set(contract.seen_codes) == set()
    assert contract.checked > len(contract.documented) + len(contract.documented_codes)


async def test_the_other_forms_of_a_success_are_described_too(stage: Stage) -> None:
    forms: Mapping[str, tuple[object, ...]] = {
        "number_form": ("string",),
        "flag_form": ("boolean", "string", "word"),
        "list_form": ("object_when_single",),
        "empty_body": ("empty",),
        "not_found_body": ("empty", "html"),
        "unauthorized_body": ("empty",),
        "account_flag_form": ("integer", "string"),
        "is_email_shown": (False,),
        "at_communication_body": ("empty",),
    }
    for knob, values in forms.items():
        for value in values:
            default = getattr(stage.server, knob)
            setattr(stage.server, knob, value)
            for operation, (name, _) in VERBS.items():
                await call(stage, operation, stage.next())
                await call(stage, operation, stage.next(refusals={name: (401, "")}))
            row = stage.next()
            await call(stage, "get_sequence", row + 1_000)
            await call(stage, "list_sequences", stage.next(has_validation_codes=False))
            setattr(stage.server, knob, default)

    assert stage.contract.problems == []
    number = sum(map(len, forms.values()))
    assert stage.contract.seen["get_sequence", "404"] == number
    assert stage.contract.seen["register_sequence", "200"] == number


async def test_a_request_with_every_field_is_described(stage: Stage) -> None:
    company = NewAccount(
        organization_name="Padaria",
        email="padaria@example.pt",
        password=PASSWORD,
        accepts_terms=True,
        first_name="Ana",
        last_name="Sá",
        phone="210000000",
        fiscal_id="503504564",
        tax_country=TaxCountry.PORTUGAL,
        language=Language.SPANISH,
        accepts_marketing=False,
    )
    change = AccountUpdate(
        organization_name="Padaria 2",
        email="padaria-2@example.pt",
        first_name="Rui",
        last_name="Luz",
        phone="220000000",
        fax="210000001",
        website="a.example",
        address="Rua Direita 1\n2.º",
        city="Porto",
        postal_code="4000-001",
        tax_country=TaxCountry.PORTUGAL,
        language=Language.ENGLISH,
        accepts_marketing=True,
        credentials=AtCredentials(subuser="503504564/12", password="canary-at-password"),
    )
    stage.next()

    created = await stage.account.accounts.create(company)
    await stage.account.accounts.update(created.id, change)
    await stage.account.sequences.create("2027")
    for kind in CommunicationType:
        credentials = attrs.evolve(CREDENTIALS, communication_type=kind)
        await stage.account.accounts.configure_at_communication(credentials)
        stage.next()

    assert stage.contract.problems == []
    assert stage.contract.seen["at_communication", "200"] == len(CommunicationType)


@pytest.mark.parametrize(
    "shape", [one for one in ErrorShape if not one.startswith("success_false")]
)
async def test_every_shape_of_a_refusal_is_described(shape: ErrorShape, stage: Stage) -> None:
    stage.server.error_shape = shape
    if shape is not ErrorShape.NESTED_CODE_WINS:  # accounts have no codes
        stage.server.account_error_shape = shape

    await refuse(stage, "create_sequence", 422, "001")
    await refuse(stage, "create_account", 422, "")

    if shape is ErrorShape.FIELD_TEXT:  # only of an update
        assert len(stage.contract.problems) == 2
    else:
        assert stage.contract.problems == []


@attrs.frozen(kw_only=True)
class Condition:
    """What is wrong with an account or a row, and what is said and raised because of it."""

    operation: str
    meaning: str
    error: type[InvoiceXpressError]
    settings: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    knobs: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    is_registered: bool = False
    has_row: bool = True


BOTH = (("create", "create_sequence"), ("register", "register_sequence"))
NONE = {"has_at_credentials": False}
WRONG = {"has_valid_at_credentials": False}
INACTIVE = {"has_open_activity": False}
FOR_EVER = {"registration_seconds": float("inf")}
CONDITIONS = {
    "create, name taken": Condition(
        operation="create_sequence",
        meaning="there is one of that name",
        error=SequenceAlreadyExistsError,
        knobs={"taken": "2027"},
    ),
    "create, name not allowed": Condition(
        operation="create_sequence",
        meaning="the name cannot be used",
        error=SequenceNameNotAllowedError,
        knobs={"refused_names": {"2027"}},
    ),
    "create, under way": Condition(
        operation="create_sequence",
        meaning="it is being registered already",
        error=SequenceBeingRegisteredError,
        knobs=FOR_EVER,
    ),
    **{
        f"{verb}, {kind} credentials": Condition(
            operation=operation,
            meaning="the tax authority refused the credentials",
            error=TaxAuthorityCredentialsError,
            settings=settings,
        )
        for verb, operation in BOTH
        for kind, settings in (("no", NONE), ("wrong", WRONG))
    },
    **{
        f"{verb}, no activity": Condition(
            operation=operation,
            meaning="the company has no open activity at the tax authority",
            error=NoOpenActivityError,
            settings=INACTIVE,
        )
        for verb, operation in BOTH
    },
    "register, not there": Condition(
        operation="register_sequence",
        meaning="there is no such series",
        error=NotFoundError,
        has_row=False,
    ),
    "register, registered": Condition(
        operation="register_sequence",
        meaning="all types are registered",
        error=SequenceAlreadyRegisteredError,
        is_registered=True,
    ),
    "register, under way": Condition(
        operation="register_sequence",
        meaning="it is being registered already",
        error=SequenceBeingRegisteredError,
        knobs=FOR_EVER,
    ),
    "register, not Portuguese": Condition(
        operation="register_sequence",
        meaning="the account is not a Portuguese one",
        error=AccountNotPortugueseError,
        settings={"country": "IE"},
    ),
}
EVERY_CONDITION = pytest.mark.parametrize(
    "condition", [pytest.param(one, id=name) for name, one in CONDITIONS.items()]
)


async def meet(on: Stage, condition: Condition) -> InvoiceXpressError | None:
    """Bring a condition about, make the call, and return what it raised."""
    row = on.next(is_registered=condition.is_registered, **condition.settings)
    for knob, value in condition.knobs.items():
        if knob == "taken":
            on.server.add_sequence(on.name, value)
        else:
            setattr(on.server, knob, value)
    return await call(on, condition.operation, row if condition.has_row else row + 1_000)


def check_meaning(condition: Condition, contract: Contract) -> None:
    """What was answered means what was the matter."""
    codes = [key for key in contract.seen_codes if key[0] == condition.operation]
    meanings = {contract.documented_codes.get(key) for key in codes}
    assert meanings == {condition.meaning}


def check_class(condition: Condition, error: InvoiceXpressError | None) -> None:
    """What was raised means what was the matter."""
    assert isinstance(error, condition.error)


@EVERY_CONDITION
async def test_the_sandbox_names_the_cause(condition: Condition, stage: Stage) -> None:
    await meet(stage, condition)

    assert stage.contract.problems == []
    check_meaning(condition, stage.contract)


@EVERY_CONDITION
async def test_the_client_raises_the_cause(condition: Condition, stage: Stage) -> None:
    error = await meet(stage, condition)

    check_class(condition, error)


# From here on: a check that finds nothing would be worth nothing, so that one half is broken.


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("005", id="create's no open activity"),
        pytest.param("008", id="one of another status"),
        pytest.param("017", id="nobody's"),
    ],
)
async def test_a_code_that_no_table_of_the_operation_has_is_found(code: str, stage: Stage) -> None:
    stage.server.register_codes = {"at_credentials": (422, code)}

    await meet(stage, CONDITIONS["register, no credentials"])

    (problem,) = stage.contract.problems
    assert "register.json: the response 422" in problem


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("004", id="as create says it"),
        pytest.param("003", id="no open activity"),
    ],
)
async def test_a_code_with_another_meaning_is_found(code: str, stage: Stage) -> None:
    condition = CONDITIONS["register, wrong credentials"]
    stage.server.register_codes = {"at_credentials": (422, code)}

    error = await meet(stage, condition)

    assert stage.contract.problems == []
    with pytest.raises(AssertionError):
        check_meaning(condition, stage.contract)
    with pytest.raises(AssertionError):
        check_class(condition, error)


async def test_a_response_in_the_shape_of_another_operation_is_found(stage: Stage) -> None:
    row = stage.next()
    stage.server.faults.next("other_list", operation="get")
    await call(stage, "get_sequence", row)
    stage.server.faults.next("without_id", operation="create")
    await call(stage, "create_sequence", row)

    assert ["the response 200" in one for one in stage.contract.problems] == [True, False]
    assert "the response 201" in stage.contract.problems[1]


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        pytest.param("POST", "/sequences.json", {"sequence": {"name": "2027"}}, id="field"),
        pytest.param("POST", "/sequences.json", {"sequence": {"serie": 2027}}, id="type"),
        pytest.param("POST", "/sequences.json", {"serie": "2027"}, id="envelope"),
        pytest.param(
            "POST",
            "/sequences.json",
            {"sequence": {"serie": "2027", "default_sequence": True}},
            id="flag",
        ),
        pytest.param("GET", "/sequences/abc.json", None, id="id"),
        pytest.param("PUT", "/sequences/1.json", None, id="operation"),
        pytest.param(
            "POST",
            "/api/v3/accounts/at_communication.json",
            {"at_communication": {"at_subuser": f"{NIF}/1", "at_password": "in clear"}},
            id="secret",
        ),
    ],
)
async def test_a_wrong_request_is_found(method: str, path: str, content: Any, stage: Stage) -> None:
    stage.next()
    with contextlib.suppress(InvoiceXpressError):
        await stage.account.request(method, path, content)

    assert stage.contract.checked == 1
    assert stage.contract.problems != []


async def test_the_tables_of_one_operation_do_not_fit_the_other(
    stage: Stage, clock: FakeClock
) -> None:
    description = copy.deepcopy(stage.contract.description)
    create = description["paths"]["/sequences.json"]["post"]["responses"]
    register = description["paths"]["/sequences/{sequence_id}/register.json"]["put"]["responses"]
    register.update({status: create[status] for status in ("409", "422")})
    muddled = Contract(description)

    async with watched(stage.server.base_url, muddled) as base_url:
        manager = SessionManager(base_url=base_url, clock=clock, rate_limit=None)
        async with manager:
            on = Stage(stage.server, manager, muddled)
            await meet(on, CONDITIONS["register, no credentials"])

    with pytest.raises(AssertionError):
        check_meaning(CONDITIONS["register, no credentials"], muddled)


async def test_a_201_that_is_not_quite_json_was_applied_all_the_same(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    text = (DATA / "create_201.json").read_text("utf-8")
    # The older page's own sample has two slips; a comma more and a comma less are such.
    body = text.replace('"serie": "2023",', '"serie": "2023"').replace("\n  }", ",\n  }")
    faulty.faults.next("status", operation="create", status=201, body=body)

    sequence = await faulty_account.sequences.create("2023")

    (row,) = faulty.sequences(faulty_account.name)
    assert (sequence.id, sequence.serie) == (row.id, "2023")
    assert faulty.count("POST", "/sequences.json") == 1
