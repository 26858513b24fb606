"""AT credentials of onboarding: few sends, each counted first, and no refusal repeated."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import attrs
import pytest
from fakes import FakeClock
from test_onboarding import QUICK, Stage, company, nif, only, stage, wrong_at

from invoicexpress_async import AtCredentials, SessionManager
from invoicexpress_async.events import AttemptStarted, Event
from invoicexpress_async.jobs.timestamps import BOOT_ID, Timestamp
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyOutcome,
    CompanyState,
    CompanyStep,
    KnownAccount,
)
from invoicexpress_async.provisioning import RunSettings
from invoicexpress_async.sandbox import SandboxAccount

AT: Final = "at_communication"
AGAIN = RunSettings(retry_refused=True)


def sends(on: Stage) -> int:
    """How often credentials came to the server at all."""
    return on.server.count("POST", "/api/v3/accounts/at_communication.json")


async def run(on: Stage, one: Company, **options: object) -> CompanyOutcome:
    """Give a company a run by a process of its own, as far as the library sees."""
    clock = on.manager.clock
    async with SessionManager(base_url=on.server.base_url, retry=QUICK, clock=clock) as fresh:
        return only(
            await Stage(on.server, fresh, on.folder).run(CompanyList(companies=[one]), **options)
        )


def at(password: str) -> AtCredentials:
    return AtCredentials(subuser=f"{nif(1)}/1", password=password)


def reported(outcome: CompanyOutcome) -> tuple[CompanyStep, CompanyState, str | None]:
    return outcome.step, outcome.state, outcome.error_name


UNKNOWN = (CompanyStep.AT, CompanyState.UNKNOWN, "CredentialsUnknownError")
REPEATED = (CompanyStep.AT, CompanyState.REFUSED, "RepeatedCredentialsError")


async def test_a_steady_5xx_is_sent_three_times_in_all_over_every_run(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("status", operation=AT, status=503, commits=False, times=None)
        first = await run(on, company(1))
        sent = sends(on)
        again = [await run(on, company(1)) for _ in range(3)]

        assert (sent, sends(on)) == (3, 3)
    assert [reported(one) for one in (first, *again)] == [UNKNOWN] * 4
    assert "configured" in (first.cure or "")


async def test_a_5xx_that_set_them_is_seen_and_not_sent_again(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("status", operation=AT, status=502, commits=True, times=None)

        outcome = await run(on, company(1))

        assert (outcome.state, sends(on)) == (CompanyState.DONE, 1)


async def test_a_5xx_with_a_retry_after_is_given_it(tmp_path: Path, clock: FakeClock) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("status", operation=AT, status=503, commits=False, retry_after="37")

        outcome = await run(on, company(1))

        assert (outcome.state, sends(on)) == (CompanyState.DONE, 2)
    assert any(seconds >= 36 for seconds in clock.slept)


async def test_what_was_not_processed_takes_back_its_own_count_and_no_other(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        for _ in range(6):
            on.server.faults.next("close_after_read", operation=AT, commits=False)
            on.server.faults.next("status", operation=AT, status=429, commits=False, times=8)
        outcomes = [await run(on, company(1)) for _ in range(6)]

        lost = on.server.oracle.faults["close_after_read"]
        assert lost <= 3
    assert reported(outcomes[-1]) == UNKNOWN


async def test_without_a_look_nothing_is_sent_again_after_a_lost_response(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.add_account(
            SandboxAccount(
                name="found", api_key="found-key", fiscal_id=nif(1), has_at_credentials=False
            )
        )
        known = KnownAccount(name="found", api_key="found-key")
        on.server.faults.next("close_after_read", operation=AT, commits=False)

        outcome = await run(on, company(1, known=known))
        again = await run(on, company(1, known=known))

        assert [reported(outcome), reported(again)] == [UNKNOWN] * 2
        assert sends(on) == 1
        cured = await run(on, company(1, known=known), settings=AGAIN)
        assert (cured.state, sends(on)) == (CompanyState.DONE, 2)


async def test_other_credentials_have_a_count_of_their_own_and_the_first_keep_theirs(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("status", operation=AT, status=503, commits=False, times=6)
        first = await run(on, company(1, at=at("first")))
        other = await run(on, company(1, at=at("other")))
        sent = sends(on)
        back = await run(on, company(1, at=at("first")))
        third = await run(on, company(1, at=at("third")))

        assert [reported(one) for one in (first, other, back)] == [UNKNOWN] * 3
        assert sent == 6
        assert (third.state, sends(on)) == (CompanyState.DONE, 7)


async def test_a_person_may_ask_for_three_more_and_not_for_more_than_that(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("status", operation=AT, status=503, commits=False, times=None)
        await run(on, company(1))

        requested = await run(on, company(1), settings=AGAIN)

        assert (reported(requested), sends(on)) == (UNKNOWN, 6)


async def test_a_refusal_is_remembered_whatever_is_tried_in_between(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.at_passwords = {nif(1): "right"}
        await run(on, company(1, at=at("first")))
        await run(on, company(1, at=at("other")))
        sent = sends(on)

        again = [await run(on, company(1, at=at(one))) for one in ("first", "other")]

        assert [reported(one) for one in again] == [REPEATED] * 2
        assert (sent, sends(on)) == (2, 2)
        cured = await run(on, company(1, at=at("right")))
    assert cured.state is CompanyState.DONE


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(200, '{"success": "false"}', id="no success"),
        pytest.param(422, '{"code": "000"}', id="422/000"),
        pytest.param(400, "", id="400"),
        pytest.param(404, "", id="404"),
        pytest.param(403, "", id="403"),
        pytest.param(401, "", id="401 of no trial"),
    ],
)
async def test_no_kind_of_refusal_is_repeated_with_the_same_credentials(
    tmp_path: Path, clock: FakeClock, status: int, body: str
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("status", operation=AT, status=status, body=body, commits=False)
        first = await run(on, company(1))
        again = [await run(on, company(1)) for _ in range(2)]

        assert [reported(one) for one in again] == [REPEATED] * 2
        assert (first.step, first.state, sends(on)) == (CompanyStep.AT, CompanyState.REFUSED, 1)
        requested = await run(on, company(1), settings=AGAIN)
    assert requested.state is CompanyState.DONE


async def test_a_trial_gets_no_request_until_it_has_ended(tmp_path: Path, clock: FakeClock) -> None:
    async with stage(tmp_path, clock, is_new_account_trial=True) as on:
        first = await run(on, company(1))
        again = await run(on, company(1))
        sent = sends(on)
        account = on.server.accounts[first.account_name or ""]
        on.server.update_account(attrs.evolve(account, is_trial=False))

        cured = await run(on, company(1))

    for outcome in (first, again):
        assert (outcome.step, outcome.state, outcome.status) == (
            CompanyStep.AT,
            CompanyState.REFUSED,
            401,
        )
        assert "trial" in (outcome.cure or "")
    assert sent == 1
    assert cured.state is CompanyState.DONE


async def test_another_key_opens_what_a_wrong_key_was_refused(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.add_account(
            SandboxAccount(
                name="found", api_key="right", fiscal_id=nif(1), has_at_credentials=False
            )
        )
        wrong = company(1, known=KnownAccount(name="found", api_key="wrong"))
        refused = [await run(on, wrong) for _ in range(2)]
        cured = await run(on, company(1, known=KnownAccount(name="found", api_key="right")))

        assert sends(on) == 2
    assert [one.state for one in refused] == [CompanyState.REFUSED] * 2
    assert cured.state is CompanyState.DONE


async def test_credentials_that_were_cut_off_are_not_taken_for_those_set_before(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        lacking = '{"errors":{"code":"004","message":"AT"}}'
        on.server.faults.next("status", operation="create", status=422, body=lacking)
        await run(on, company(1, at=at("first")))
        on.server.faults.next("close_after_read", operation=AT, commits=False)

        lost = await run(on, company(1, at=at("other")))

        assert reported(lost) == UNKNOWN
        assert sends(on) == 2


async def test_what_a_journal_of_the_first_version_has_refused_stays_refused(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        refused = company(1, at=wrong_at(1))
        await run(on, refused)
        as_the_first_version(tmp_path / "onboarding.db")

        again = await run(on, refused)

        assert (reported(again), sends(on)) == (REPEATED, 1)
        assert (await run(on, company(1))).state is CompanyState.DONE


def as_the_first_version(journal: Path) -> None:
    """Write the journal anew as that version had it: one mark, and two columns less."""
    with closing(sqlite3.connect(journal)) as file, file:
        query = (
            "UPDATE companies SET at_mark = json_extract(at_mark, '$.salt') || ':' || "
            "json_extract(at_mark, '$.refused[0]')"
        )
        file.execute(query)
        for column in ("intended_at", "absent_since"):
            file.execute(f"ALTER TABLE companies DROP COLUMN {column}")


def ago(seconds: float) -> str:
    then = Timestamp.now()
    return attrs.evolve(then, steady=then.steady - seconds).dump()


@pytest.mark.parametrize(
    ("space", "claimed_at", "sent"),
    [
        pytest.param("boot-of-then.1", "", 1, id="the machine lost power"),
        pytest.param(f"{BOOT_ID}.1", ago(3_700), 1, id="its container was killed an hour ago"),
        pytest.param(f"{BOOT_ID}.1", ago(600), 0, id="it may be sending"),
    ],
)
async def test_credentials_that_another_process_was_sending_are_sent_once_it_is_gone(
    tmp_path: Path, clock: FakeClock, space: str, claimed_at: str, sent: int
) -> None:
    def die(_company: Company, step: CompanyStep) -> None:
        if step is CompanyStep.AT:
            raise RuntimeError(step)

    async with stage(tmp_path, clock) as on:
        with pytest.RaisesGroup(RuntimeError):
            await run(on, company(1), on_step=die)
        with closing(sqlite3.connect(tmp_path / "onboarding.db")) as journal, journal:
            journal.execute(
                "INSERT INTO intents (kind, account, subject, token, intent, claimed_at, state) "
                "VALUES (?, 'company-1', '', ?, '{}', ?, 'intent')",
                (AT, f"{space}:7:1/0/1", claimed_at),
            )
            journal.execute("UPDATE companies SET at_sends = 1")
        outcome = await run(on, company(1))

    assert (outcome.state is CompanyState.DONE) == bool(sent)
    assert sends(on) == sent


async def test_a_process_that_was_frozen_for_a_minute_sends_none(
    tmp_path: Path, clock: FakeClock
) -> None:
    def freeze(event: Event) -> None:
        if isinstance(event, AttemptStarted) and event.operation == "configure_at_communication":
            clock.advance(61.0)

    async with (
        stage(tmp_path, clock) as on,
        SessionManager(
            base_url=on.server.base_url, retry=QUICK, clock=clock, on_event=freeze
        ) as manager,
    ):
        companies = CompanyList(companies=[company(1)])
        outcome = only(await Stage(on.server, manager, on.folder).run(companies))

    assert outcome.error_name == "DeadlineExceededError"
    assert sends(on) == 0
