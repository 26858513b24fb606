"""Accounts from end to end, against the sandbox and its faults."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from test_secrets import HANGING, seen_in

from invoicexpress_async import (
    AccountSession,
    AccountUpdate,
    AtCredentials,
    AuthenticationError,
    CreatedAccount,
    InvoiceXpressError,
    NewAccount,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    Registration,
    RepeatedCredentialsError,
    ServerError,
    SessionManager,
    StatusError,
    Timeouts,
    UnprocessableError,
)
from invoicexpress_async.sandbox import (
    FAULT_NAMES,
    ErrorShape,
    FaultServer,
    Sandbox,
    SandboxAccount,
)

NIF = "501964843"
PASSWORD = "canary-user-password"
AT_PASSWORD = "canary-at-password"
COMPANY = NewAccount(
    organization_name="Sapataria Ideal, Lda",
    email="geral@sapataria.example",
    password=PASSWORD,
    accepts_terms=True,
    fiscal_id=NIF,
)
CREDENTIALS = AtCredentials(subuser=f"{NIF}/1", password=AT_PASSWORD)
PARTNER = SandboxAccount(name=ACCOUNT, api_key=API_KEY, is_partner=True)


@pytest.fixture
async def sandbox(clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with Sandbox(accounts=[PARTNER], clock=clock.now) as server:
        server.at_passwords = {NIF: AT_PASSWORD}
        yield server


def handle_of(created: CreatedAccount, manager: SessionManager) -> AccountSession:
    return manager.account(created.name, created.api_key.reveal())


async def test_a_company_is_taken_on_from_its_account_to_its_series(
    account: AccountSession, manager: SessionManager
) -> None:
    created = await account.accounts.create(COMPANY)
    company = handle_of(created, manager)
    before = await account.accounts.get(created.id)
    await company.accounts.configure_at_communication(CREDENTIALS)
    sequence = await company.sequences.create("2027", default=True)
    await account.accounts.update(created.id, AccountUpdate(postal_code="4000-001"))
    after = await account.accounts.get(created.id)

    assert (before.at_configured, after.at_configured) == (False, True)
    assert (after.organization_name, after.fiscal_id) == ("Sapataria Ideal, Lda", NIF)
    assert sequence.registration is Registration.REGISTERED
    assert sequence.is_default


async def test_a_user_who_exists_gets_a_further_account_with_the_right_password(
    account: AccountSession,
) -> None:
    await account.accounts.create(COMPANY)
    second = attrs.evolve(COMPANY, organization_name="Padaria", fiscal_id="999999990")
    with pytest.raises(UnprocessableError, match="used already"):
        await account.accounts.create(second)
    with pytest.raises(StatusError, match="HTTP 400"):
        await account.accounts.create_for_existing_user(attrs.evolve(second, password="other"))

    created = await account.accounts.create_for_existing_user(second)

    assert created.name == "padaria"


async def test_a_fiscal_number_is_refused_a_second_account(account: AccountSession) -> None:
    await account.accounts.create(COMPANY)

    with pytest.raises(UnprocessableError, match="split its numbering"):
        await account.accounts.create(attrs.evolve(COMPANY, email="b@c.example"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(422, UnprocessableError, id="as it was measured"),
        pytest.param(403, PermissionDeniedError, id="as it may be"),
    ],
)
async def test_an_account_that_is_no_partners_creates_none_and_reads_none(
    status: Any,
    expected: type[StatusError],
    sandbox: Sandbox,
    account: AccountSession,
    manager: SessionManager,
) -> None:
    sandbox.not_partner_status = status
    created = await account.accounts.create(COMPANY)
    company = handle_of(created, manager)

    with pytest.raises(expected, match=f"HTTP {status}"):
        await company.accounts.create(attrs.evolve(COMPANY, email="b@c.example"))
    with pytest.raises(NotFoundError, match="not created with this key"):
        await company.accounts.get(created.id)


async def test_a_trial_cannot_communicate_and_can_when_it_is_paid_for(
    sandbox: Sandbox, account: AccountSession, manager: SessionManager
) -> None:
    sandbox.is_new_account_trial = True
    created = await account.accounts.create(COMPANY)
    service = handle_of(created, manager).accounts
    assert (await account.accounts.get(created.id)).trial is True
    with pytest.raises(AuthenticationError, match="paid plan"):
        await service.configure_at_communication(CREDENTIALS)

    paid = attrs.evolve(sandbox.accounts[created.name], is_trial=False)
    sandbox.update_account(paid)
    await service.configure_at_communication(CREDENTIALS, resend_refused=True)

    assert sandbox.accounts[created.name].has_at_credentials


@pytest.mark.parametrize("shape", ErrorShape)
async def test_wrong_credentials_reach_the_tax_authority_once_however_they_are_refused(
    shape: ErrorShape, sandbox: Sandbox, account: AccountSession, manager: SessionManager
) -> None:
    created = await account.accounts.create(COMPANY)
    service = handle_of(created, manager).accounts
    sandbox.error_shape = shape
    wrong = attrs.evolve(CREDENTIALS, password="canary-wrong")

    for expected in (StatusError, RepeatedCredentialsError, RepeatedCredentialsError):
        with pytest.raises(expected, match="sub-user"):
            await service.configure_at_communication(wrong)
    await service.configure_at_communication(CREDENTIALS)

    path = "/api/v3/accounts/at_communication.json"
    assert sandbox.count("POST", path, account=created.name) == 2


OPERATIONS = ["create", "configure", "update"]


@pytest.fixture
async def faulty(
    request: pytest.FixtureRequest, clock: FakeClock
) -> AsyncIterator[tuple[FaultServer, SessionManager]]:
    is_hanging = not HANGING.isdisjoint(request.node.callspec.id.split("-"))
    company = SandboxAccount(
        name="company", api_key=API_KEY, id="7", owner=ACCOUNT, fiscal_id="999999990",
        has_at_credentials=False,
    )  # fmt: skip
    async with (
        FaultServer(accounts=[PARTNER, company], clock=clock.now, sleep=clock.sleep) as server,
        SessionManager(
            base_url=server.base_url,
            clock=clock,
            timeouts=Timeouts(attempt_seconds=0.1 if is_hanging else 20.0),
        ) as manager,
    ):
        yield server, manager


async def operate(name: str, manager: SessionManager) -> object:
    accounts = manager.account(ACCOUNT, API_KEY).accounts
    credentials = attrs.evolve(CREDENTIALS, subuser="999999990/1")
    if name == "create":
        return await accounts.create(COMPANY)
    if name == "update":
        await accounts.update("7", AccountUpdate(city="Porto", credentials=credentials))
        return None
    company = manager.account("company", API_KEY).accounts
    await company.configure_at_communication(credentials)
    return None


@pytest.mark.fault(55)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", FAULT_NAMES)
async def test_no_fault_repeats_what_must_not_be_or_shows_a_secret(
    name: str, operation: str, faulty: tuple[FaultServer, SessionManager]
) -> None:
    server, manager = faulty
    server.faults.next(name, times=None)

    error: InvoiceXpressError | None = None
    try:
        shown = repr(await operate(operation, manager))
    except InvoiceXpressError as caught:
        error, shown = caught, seen_in(caught)

    keys = [one.api_key for one in server.accounts.values()]
    secrets = [PASSWORD, AT_PASSWORD, base64.b64encode(AT_PASSWORD.encode()).decode(), *keys]
    assert [secret for secret in secrets if secret in shown] == []
    made = server.oracle.accounts.commits()
    assert made <= server.oracle.accounts.posts() <= 1
    assert server.oracle.accounts.duplicates() == ()
    if error is not None and not error.may_have_been_processed:
        assert made == 0
        assert server.accounts["company"].details == {}
        assert not server.accounts["company"].has_at_credentials
    is_5xx = isinstance(error, ServerError)
    assert server.oracle.accounts.at_communications("company") <= (3 if is_5xx else 1)


@pytest.mark.fault(9)
@pytest.mark.parametrize("name", ["close_after_read", "reset_peer", "truncated_json"])
async def test_a_create_whose_answer_is_lost_is_never_sent_again(
    name: str, faulty: tuple[FaultServer, SessionManager]
) -> None:
    server, manager = faulty
    server.faults.next(name, commits=True)
    accounts = manager.account(ACCOUNT, API_KEY).accounts

    intents: list[Any] = []
    for _ in range(3):
        with pytest.raises(OutcomeUnknownError, match=r"lost response|accounts\.forget") as caught:
            await accounts.create(COMPANY)
        intents.append(json.loads(json.dumps(caught.value.intent)))

    assert server.oracle.accounts.posts() == server.oracle.accounts.commits() == 1
    assert intents[0] == intents[1] == intents[2]
    assert intents[0]["fiscal_id"] == NIF
