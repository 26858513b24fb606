"""Canaries of onboarding: the partner's key, new keys and both passwords, looked for anywhere."""

import asyncio
import base64
import json
import logging
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import attrs
import cattrs
import pytest
from fakes import FakeClock
from test_onboarding import QUICK, Stage, company, journal_files, nif
from test_onboarding_corrected import room_for
from test_secrets import Spy, seen_in
from test_secrets import sinks as sinks  # noqa: PLC0414  # a fixture

from invoicexpress_async import (
    AtCredentials,
    ConfigurationError,
    CreatedAccount,
    InvoiceXpressError,
    NewAccount,
    Secret,
    SessionManager,
)
from invoicexpress_async.cli.views.companies import COMPANIES, company_view
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CsvSink,
    EnvFileSink,
    KeySpool,
    KnownAccount,
    OnboardingReport,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

PASSWORD = 'canary&/é"<user 0123456789'
AT_PASSWORD = 'canary%\\ü"at 0123456789'
PARTNER_KEY = "canary&#+%partner 0123456789"
CREATE = "account_create"
# What a server may say to a request that carried these.
ECHOES = {
    CREATE: f"{PASSWORD} {PARTNER_KEY} {quote(PARTNER_KEY, safe='')}",
    "at_communication": f"{AT_PASSWORD} {base64.b64encode(AT_PASSWORD.encode()).decode()}",
}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "no answer": ("close_after_read", {"commits": True}),
    "cut": ("truncated_json", {}),
    "bad gzip": ("bad_gzip", {}),
    "422 with an echo": ("status", {"status": 422}),
    "500 that did it": ("status", {"status": 500, "commits": True}),
    "401 with an echo": ("status", {"status": 401}),
    "a page": ("status", {"status": 200}),
}


def forms_of(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(secret.encode()).decode(),
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
    }


def sightings(text: str, *new_keys: str) -> list[str]:
    secrets = (PASSWORD, AT_PASSWORD, PARTNER_KEY, *new_keys)
    return [form for secret in secrets for form in forms_of(secret) if form in text]


def canary(number: int) -> Company:
    return company(
        number,
        account=NewAccount(
            organization_name=f"Company {number}",
            email=f"company-{number}@example.com",
            password=PASSWORD,
            accepts_terms=True,
            fiscal_id=nif(number),
        ),
        at=AtCredentials(subuser=f"{nif(number)}/1", password=AT_PASSWORD),
    )


def canaries(count: int = 2) -> CompanyList:
    return CompanyList(companies=map(canary, range(1, count + 1)))


@attrs.define
class Watched(Stage):
    """A stage whose partner's key is a canary, and a spy on its requests."""

    spy: Spy = attrs.field(factory=Spy)

    @property
    def new_keys(self) -> list[str]:
        return [one.api_key for one in self.server.accounts.values() if one.name != "partner"]

    def check(self, *texts: str) -> None:
        """No secret is in these, in what hooks saw, nor in the journal."""
        kept = [one.decode("latin-1") for one in journal_files(self.folder)]
        assert sightings("\n".join([*texts, *self.spy.texts, *kept]), *self.new_keys) == []


@asynccontextmanager
async def watching(folder: Path, clock: FakeClock) -> AsyncIterator[Watched]:
    asyncio.get_running_loop().set_debug(True)
    spy = Spy()
    partner = SandboxAccount(name="partner", api_key=PARTNER_KEY, is_partner=True)
    async with (
        FaultServer(accounts=[partner], clock=clock.now, sleep=clock.sleep) as server,
        SessionManager(
            base_url=server.base_url, retry=QUICK, clock=clock, trace_configs=[spy.trace]
        ) as manager,
    ):
        yield Watched(server, manager, folder, PARTNER_KEY, spy)


def shown(report: OnboardingReport) -> str:
    """All that a report can show to anybody."""
    texts = [repr(report), str(report), repr(attrs.asdict(report)), repr(report.problem)]
    texts.append(repr(cattrs.unstructure([one.company for one in report.outcomes])))
    csv, markdown = COMPANIES.layout(Path("report.csv")), COMPANIES.layout(Path("report.md"))
    for outcome in report.outcomes:
        company = company_view(outcome)
        texts += [csv.entry(company), markdown.entry(company), outcome.cure or ""]
        texts.append(json.dumps(COMPANIES.data(company)))
        if outcome.error is not None:
            texts.append(seen_in(outcome.error))
    try:
        report.raise_for_failures()
    except ExceptionGroup as group:
        texts.append(seen_in(group))
    return "\n".join([*texts, markdown.end()])


@pytest.mark.fault(55, 56)
@pytest.mark.parametrize("operation", [CREATE, "at_communication", "create", "list"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_of_a_step_shows_a_secret(
    tmp_path: Path, clock: FakeClock, sinks: Callable[[], str], operation: Any, fault: str
) -> None:
    name, settings = FAULTS[fault]
    if name == "status":
        echo = ECHOES.get(operation, "")
        settings = settings | {"body": json.dumps({"errors": [{"error": echo}], "of": [echo]})}
    async with watching(tmp_path, clock) as on:
        on.server.faults.next(name, operation=operation, **settings)
        report = await on.run(canaries())
        again = await on.run(canaries())

        assert any(one.step != "account" for one in again.outcomes)
        on.check(shown(report), shown(again), sinks(), repr(on.manager.unresolved()))


@pytest.mark.fault(45, 55)
@pytest.mark.parametrize("hook", ["on_step", "on_outcome"])
async def test_a_hook_that_raises_takes_no_secret_out_of_the_run(
    tmp_path: Path, clock: FakeClock, sinks: Callable[[], str], hook: str
) -> None:
    def fail(*_given: object) -> None:
        raise LookupError("the hook's own")

    async with watching(tmp_path, clock) as on:
        with pytest.raises((LookupError, ExceptionGroup)) as caught:
            await on.run(canaries(), **{hook: fail})

        on.check(seen_in(caught.value), sinks())


@pytest.mark.fault(41, 55)
@pytest.mark.parametrize("operation", [CREATE, "at_communication", "create"])
async def test_a_run_that_is_cancelled_takes_no_secret_out(
    tmp_path: Path, clock: FakeClock, sinks: Callable[[], str], operation: Any
) -> None:
    async with watching(tmp_path, clock) as on:
        on.server.faults.next("timeout", operation=operation, times=None)
        running = asyncio.create_task(on.run(canaries(1)))
        while not on.server.oracle.faults:  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await running

        on.check(seen_in(caught.value), sinks())


@pytest.mark.fault(55)
async def test_what_a_sink_or_a_vault_raises_does_not_show_the_key(
    tmp_path: Path, clock: FakeClock, sinks: Callable[[], str]
) -> None:
    async def failing(_company: Company, account: CreatedAccount) -> None:
        raise ValueError(f"no room for {account.api_key.reveal()}")

    async def failing_vault(account: str) -> str:
        raise KeyError(f"{account} has {PARTNER_KEY}")

    async with watching(tmp_path, clock) as on:
        undelivered = await on.run(canaries(1), secret_sink=failing)
        on.server.faults.next("status", operation="at_communication", status=401)
        await on.run(canaries(1))
        on.spool.unlink()
        unread = await on.run(canaries(1), keys=failing_vault)

        assert undelivered.outcomes[0].error_name == "SinkError"
        assert unread.outcomes[0].error_name == "KeyUnavailableError"
        on.check(shown(undelivered), shown(unread), sinks())


@pytest.mark.fault(48, 55)
@pytest.mark.parametrize("kind", [CsvSink, EnvFileSink])
async def test_a_disk_that_is_full_shows_no_key(
    tmp_path: Path, kind: Callable[[Path], CsvSink | EnvFileSink]
) -> None:
    key = "canary-new-key-0123456789"
    created = CreatedAccount(id="1", url="https://acme.app.invoicexpress.com", api_key=Secret(key))
    sink, spool = kind(tmp_path / "keys"), KeySpool(tmp_path / "spool")
    sink.check()
    spool.open()

    with room_for(3):
        with pytest.raises(OSError, match="too large") as of_sink:
            await sink(canary(1), created)
        with pytest.raises(InvoiceXpressError, match="too large") as of_spool:
            spool.write(nif(1), created)
    spool.close()

    texts = [seen_in(of_sink.value), seen_in(of_spool.value), repr(vars(sink)), repr(vars(spool))]
    assert sightings("\n".join(texts), key) == []


@pytest.mark.fault(55)
def test_a_file_of_companies_shows_no_secret_when_a_row_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "companies.csv"
    (tmp_path / "empty").write_text("")
    secret = "canary-in-the-file-01"
    path.write_text(
        "organization_name;email;password;fiscal_id;at_subuser;at_password;account;api_key\n"
        f"A;nobody;{secret};1;x;{secret};acme;{secret}\n"
        f"B;b@example.com;file:empty;{nif(2)};{nif(2)}/1;{secret};a b;{secret}\n"
    )

    with pytest.raises(ConfigurationError, match="line 3: password names what is empty") as caught:
        CompanyList.from_csv(path, serie="2027", accepts_terms=True)

    assert secret not in seen_in(caught.value)


@pytest.mark.fault(55)
def test_no_value_of_onboarding_shows_its_secret() -> None:
    known = KnownAccount(name="acme", api_key=PARTNER_KEY)
    one = attrs.evolve(canary(1), known=known)

    for value in (one, known, CompanyList(companies=[one])):
        texts = [repr(value), str(value), repr(attrs.asdict(value)), repr(attrs.astuple(value))]
        texts.append(repr(cattrs.unstructure(value)))
        assert sightings("\n".join(texts)) == []
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value)


@pytest.mark.fault(55)
async def test_the_mark_of_refused_credentials_does_not_reveal_them(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with watching(tmp_path, clock) as on:
        on.server.at_passwords = {nif(1): "another"}
        report = await on.run(canaries(1))

        assert report.outcomes[0].status == 422
        on.check(shown(report))


def test_the_canaries_are_found_when_they_are_there(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("x").warning("%s", AT_PASSWORD)

    assert sightings(caplog.text)
    assert sightings(base64.b64encode(AT_PASSWORD.encode()).decode())
