"""`invoicexpress onboard`: files in, accounts and keys out, and what is reported when it fails."""

import asyncio
import base64
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import test_cli
from job_process import ask
from test_cli import KEY, Ended, Json, Run, Start, environment, on_terminal, run_process
from test_onboarding import nif

from invoicexpress_async.sandbox import FaultServer, SandboxAccount

bytecode, interruptible = test_cli.bytecode, test_cli.interruptible
run, start = test_cli.run, test_cli.start

PASSWORD = "canary-user-password-9d"
AT_PASSWORD = "canary-at-password-77"
HEADER = "organization_name;email;password;fiscal_id;at_subuser;at_password"


@attrs.define
class Place:
    """A partner on a server, and the files of the command."""

    server: FaultServer
    folder: Path
    keys_name: str = "keys.csv"

    @property
    def companies(self) -> Path:
        return self.folder / "companies.csv"

    @property
    def keys(self) -> Path:
        return self.folder / self.keys_name

    @property
    def journal(self) -> Path:
        return self.folder / "onboarding.db"

    @property
    def variables(self) -> dict[str, str]:
        return {
            "INVOICEXPRESS_BASE_URL": self.server.base_url,
            "INVOICEXPRESS_API_KEY": KEY,
        }

    def write(self, count: int, changes: Mapping[int, str] | None = None, header: str = "") -> None:
        """Write so many companies; a row may be given instead."""
        rows = {number: row(number) for number in range(1, count + 1)} | dict(changes or {})
        self.companies.write_text("\n".join((header or HEADER, *rows.values())) + "\n")

    def arguments(self, *more: object, **changed: object) -> tuple[object, ...]:
        named = {"partner": "partner", "serie": "2027", "keys-out": self.keys} | changed
        named = {"journal": self.journal} | named
        options = [one for name, value in named.items() for one in (f"--{name}", value)]
        return ("onboard", self.companies, *options, "--accept-terms", *more)

    def secrets(self) -> list[str]:
        encoded = base64.b64encode(AT_PASSWORD.encode()).decode()
        new = [one.api_key for one in self.server.accounts.values() if one.name != "partner"]
        return [KEY, PASSWORD, AT_PASSWORD, encoded, *new]

    def check_secrets(self, *texts: str) -> None:
        """No secret is in what was printed, nor in any file but those that are for keys."""
        files = [one for one in self.folder.iterdir() if one.is_file()]
        kept = {self.companies, self.keys, self.keys.with_suffix(".env")}
        shown = [one.read_bytes().decode("latin-1") for one in files if one not in kept]
        for secret in self.secrets():
            assert [text for text in (*texts, *shown) if secret in text] == []

    def delivered(self) -> dict[str, str]:
        with self.keys.open(newline="") as file:
            return {one["fiscal_id"]: one["api_key"] for one in csv.DictReader(file)}

    def made(self) -> dict[str, str]:
        accounts = [one for one in self.server.accounts.values() if one.name != "partner"]
        return {one.fiscal_id: one.api_key for one in accounts}


def row(number: int, at_password: str = AT_PASSWORD) -> str:
    start = f"Company {number};company-{number}@example.com;{PASSWORD};{nif(number)}"
    return f"{start};{nif(number)}/1;{at_password}"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with FaultServer(accounts=[partner], requests_per_minute=None) as server:
        yield Place(server, tmp_path)


def outcomes(ended: Ended) -> dict[str, Json]:
    return {str(one["fiscal_id"]): one for one in ended.lines if one["type"] == "outcome"}


def states(ended: Ended) -> dict[str, str]:
    return {key: f"{one['step']} {one['state']}" for key, one in outcomes(ended).items()}


async def test_every_company_gets_an_account_a_key_and_a_serie_and_a_second_run_sends_nothing(
    run: Run, place: Place
) -> None:
    place.write(12)
    report = place.folder / "report.csv"
    arguments = place.arguments("--json", "--report", report)

    first = await run_process(*arguments, **place.variables)
    requests = len(place.server.requests)
    again = await run(*arguments, **place.variables)

    assert (first.code, again.code) == (0, 0)
    assert len(place.server.requests) == requests
    assert set(states(first).values()) == {"end done"}
    assert place.delivered() == place.made()
    summary, reported_again = first.lines[-1], again.lines[-1]
    assert (summary["companies"], summary["is_complete"], summary["undelivered"]) == (12, True, 0)
    steps = ("account", "key", "at", "series", "verify")
    assert summary["steps"] == dict.fromkeys(steps, 12)
    assert (reported_again["recorded"], reported_again["is_complete"]) == (12, True)
    assert "12/12 account 12 key 12 at 12 series 12 verify 12 · 12 done" in first.err
    with report.open(newline="") as file:
        assert {one["state"] for one in csv.DictReader(file)} == {"done"}
    assert place.keys.with_name("keys.csv.spool").read_bytes() == b""
    place.check_secrets(first.out, first.err, again.out, again.err)


async def test_for_people_the_worst_come_first_in_100_columns_with_what_to_do(
    run: Run, place: Place
) -> None:
    place.write(30, {4: row(4, "wrong"), 5: row(5, "wrong"), 7: row(7)[: row(7).index(nif(7)) + 9]})
    text = place.companies.read_text().replace(f"{nif(7)}\n", f"{nif(7)};;\n")
    place.companies.write_text(text.replace("Company 9;", f"Company {'x' * 80};"))
    place.server.add_account(
        SandboxAccount(name="taken", fiscal_id=nif(9), email="x@example.com", owner="partner")
    )
    place.server.faults.next("close_after_read", operation="account_create", commits=True)

    report = place.folder / "report.md"
    ended = await run(*place.arguments("--report", report, "--concurrency", 1), **place.variables)
    again = await run(*place.arguments(), **place.variables)
    status = await run("status", place.journal)
    kept = place.folder / "kept.csv"
    for path in (kept, *(kept.with_suffix(ending) for ending in (".html", ".xlsx", ".md"))):
        assert (await run("status", place.journal, "--report", path)).code == 0

    reported = " ".join(status.out.split())
    assert "Correct at_subuser" in reported
    assert "It is never sent again" in reported
    assert "do what the table says" in reported
    assert max(map(len, status.out.splitlines()[:-1])) <= 100  # the last is the command
    lines = ended.out.splitlines()
    assert ended.code == 3
    assert max(map(len, lines)) <= 100
    firsts = [found[1] for line in lines if (found := re.match(r" *(\d+) \d{9} ", line))]
    assert firsts == ["2", "5", "6", "8", "10"]
    assert "…" not in ended.out  # a pipe has the whole reason
    assert re.search(rf"^ *2 {nif(1)} +Company 1 +- +account unknown +AccountUnknown", lines[2])
    assert re.search(rf"refused +at +422 +2 +{nif(4)} +Correct at_subuser", ended.out)
    assert re.search(rf"refused +series +422/004 +1 +{nif(7)} +Put at_subuser", ended.out)
    assert re.search(rf"refused +account +422 +1 +{nif(9)} +The e-mail", ended.out)
    assert "--forget" in ended.out
    assert "25 done  1 unknown  4 refused  of 30 companies" in ended.out
    last = ended.err.splitlines()[-1]
    assert last.startswith("Not all is done: 25 done, 5 parked, of 30 companies. Run the same")
    assert again.code == 3
    assert "25 done (25 by an earlier run)" in again.out
    markdown = report.read_text()
    assert "- 2 refused, step at, 422: Correct at_subuser" in markdown
    assert "25 done, 1 unknown, 4 refused." in markdown
    place.check_secrets(ended.out, ended.err, again.out, again.err)
    with kept.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {one["fiscal_id"] for one in rows[:5]} == {nif(one) for one in (1, 4, 5, 7, 9)}
    assert [one["state"] for one in rows] == [*["unknown"], *["refused"] * 4, *["done"] * 25]
    assert (rows[1]["step"], rows[1]["error"]) == ("at", "RepeatedCredentialsError")
    page = kept.with_suffix(".html").read_text()
    assert page.count("<tr class=a>") == 5
    assert "<li>2 refused, step at, RepeatedCredentials: Correct at_subuser" in page
    assert f"| {nif(4)} | Company 4 |" in kept.with_suffix(".md").read_text()


async def test_what_is_unknown_is_taken_up_or_forgotten_by_a_person(run: Run, place: Place) -> None:
    place.write(2)
    for commits in (True, False):
        place.server.faults.next("close_after_read", operation="account_create", commits=commits)
    arguments = place.arguments("--json", "--concurrency", 1)

    lost = await run(*arguments, **place.variables)
    posts = place.server.oracle.accounts.posts()
    again = await run(*arguments, **place.variables)
    (name,) = (name for name in place.server.accounts if name != "partner")
    found = f"{row(1)};{name};{place.server.accounts[name].api_key}"
    place.write(2, {1: found, 2: f"{row(2)};;"}, header=f"{HEADER};account;api_key")
    cured = await run(*arguments, "--forget", nif(2), **place.variables)

    assert (lost.code, again.code, cured.code) == (3, 3, 0)
    for ended in (lost, again):
        assert set(states(ended).values()) == {"account unknown"}
        intent = cast("Json", outcomes(ended)[nif(1)]["intent"])
        assert (intent["fiscal_id"], intent["email"]) == (nif(1), "company-1@example.com")
    assert place.server.oracle.accounts.posts() == posts + 1
    assert place.delivered() == place.made()
    assert place.server.oracle.accounts.duplicates() == ()
    place.check_secrets(lost.out, lost.err, again.out, again.err, cured.out, cured.err)


async def test_a_key_that_is_nowhere_is_reported_as_lost(run: Run, place: Place) -> None:
    place.write(1)
    await run(*place.arguments(), **place.variables)
    # As if it had been killed before the delivery, and the spool was thrown away.
    ask(place.journal, "UPDATE companies SET step = 'key', state = 'open'")
    place.keys.unlink()
    requests = len(place.server.requests)

    people = await run(*place.arguments(), **place.variables)
    machines = await run(*place.arguments("--json"), **place.variables)

    assert (people.code, machines.code) == (3, 3)
    assert re.search(r"key lost +key +KeyLost", people.out)
    assert "another --spool" in people.out
    assert states(machines) == {nif(1): "key key_lost"}
    assert len(place.server.requests) == requests


async def test_a_series_that_never_shows_is_ensured_by_hand_and_the_company_goes_on(
    run: Run, place: Place
) -> None:
    place.write(1)
    place.server.faults.next("close_after_read", operation="create", commits=False)
    lost = await run(*place.arguments("--timeout", 2), **place.variables)
    creates = place.server.count("POST", "/sequences.json")
    again = await run(*place.arguments("--timeout", 2), **place.variables)
    sent = place.server.count("POST", "/sequences.json") - creates
    (name,) = (name for name in place.server.accounts if name != "partner")
    own = {"INVOICEXPRESS_ACCOUNT": name, "INVOICEXPRESS_API_KEY": place.made()[nif(1)]}
    await run("sequences", "ensure", "2027", "--default", **place.variables | own)

    cured = await run(*place.arguments(), **place.variables)

    assert (lost.code, again.code, sent, cured.code) == (3, 3, 0, 0)
    for ended in (lost, again):
        assert re.search(r"unknown +series +OutcomeUnknown", ended.out)
        assert "sequences ensure" in " ".join(ended.out.split())


async def test_a_series_that_is_absent_is_sent_again_when_that_is_asked_for(
    run: Run, place: Place
) -> None:
    place.write(1)
    place.server.faults.next("close_after_read", operation="create", commits=False)
    lost = await run(*place.arguments("--timeout", 2), **place.variables)
    # As if the send, and the first list without it, had been so long ago.
    for column, seconds in (("intended_at", 5_000.0), ("absent_since", 1_000.0)):
        moment = json.dumps([time.time() - seconds, 0, ""])
        ask(place.journal, f"UPDATE companies SET {column} = ?", moment)  # noqa: S608  # our own names
    again = await run(*place.arguments("--timeout", 2), **place.variables)
    sent = place.server.count("POST", "/sequences.json")

    done = await run(*place.arguments("--resend-absent-after", 900), **place.variables)

    assert (lost.code, again.code, sent, done.code) == (3, 3, 1, 0)
    assert "--resend-absent-after 900" in " ".join(lost.out.split())
    assert place.server.count("POST", "/sequences.json") == 2


async def test_credentials_are_sent_three_times_at_most_however_often_it_is_killed(
    start: Start, run: Run, place: Place
) -> None:
    place.write(1)
    # Each is read, and never answered.
    place.server.faults.next("timeout", operation="at_communication", commits=False, times=None)
    path = "/api/v3/accounts/at_communication.json"
    for number in range(1, 4):
        process = await start(*place.arguments("--json"), variables=place.variables)
        while place.server.count("POST", path) < number:  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0.005)
        process.kill()
        await process.communicate()

    ended = await run(*place.arguments("--json"), **place.variables)

    assert states(ended) == {nif(1): "at unknown"}
    assert "sent 3 times" in json.dumps(outcomes(ended)[nif(1)]["failure"])
    assert place.server.count("POST", path) == 3


async def test_the_overview_names_partners_and_their_options(run: Run) -> None:
    ended = await run("--help")

    assert re.search(r"^  onboard +An account", ended.out, re.MULTILINE)
    assert re.search(r"^Options of .*onboard, accounts", ended.out, re.MULTILINE)
    assert "onboard and accounts, for the partner's account" in ended.out
    assert "--partner NAME" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 100


async def test_keys_that_cannot_be_delivered_wait_in_the_spool(
    run: Run, place: Place, tmp_path: Path
) -> None:
    place.write(1)
    ended = await run(*place.arguments(), **place.variables)
    spooled = {
        "fiscal_id": nif(5),
        "id": "5",
        "url": "https://of-another-file.app.invoicexpress.com",
        "api_key": "canary-of-another",
        "state": None,
    }
    (tmp_path / "keys.csv.spool").write_text(json.dumps(spooled) + "\n")

    left = await run(*place.arguments(), **place.variables)

    assert (ended.code, left.code) == (0, 0)
    assert "1 new keys are not delivered, and are in" in left.err
    assert "canary-of-another" not in left.out + left.err
    assert "canary-of-another" in (tmp_path / "keys.csv.spool").read_text()


async def test_keys_may_go_to_a_file_of_variables(run: Run, place: Place) -> None:
    place.write(2)
    path = place.folder / "keys.env"

    ended = await run(*place.arguments(**{"keys-out": path}), **place.variables)

    pairs = dict(line.split("=") for line in path.read_text().splitlines())
    assert ended.code == 0
    assert set(pairs.values()) == set(place.made().values())
    assert all(name.startswith("INVOICEXPRESS_API_KEY_COMPANY_") for name in pairs)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_dry_run_shows_what_would_be_done_from_file_and_journal_alone(
    run: Run, place: Place
) -> None:
    place.write(2, {2: row(2, "wrong")})
    before = await run(*place.arguments("--dry-run"), **place.variables)
    files = set(place.folder.iterdir())
    await run(*place.arguments(), **place.variables)
    place.write(3, {2: row(2, "wrong")})
    requests = len(place.server.requests)

    people = await run(*place.arguments("--dry-run"), **place.variables)
    machines = await run(*place.arguments("--dry-run", "--json"), INVOICEXPRESS_BASE_URL="")
    lisbon = await run(*place.arguments("--dry-run", "--language", "pt"), **place.variables)
    place.write(1, {1: row(1).replace("company-1@", "other@")})
    another = await run(*place.arguments("--dry-run"), **place.variables)

    assert files == {place.companies}
    assert (before.code, people.code, machines.code, another.code) == (0, 0, 0, 1)
    assert "2 companies (2 to create an account for)" in before.err
    assert "1 to create an account for, 1 to go on with, 1 with nothing to do" in people.err
    assert re.search(rf"{nif(2)} +Company 2 +2027 +sim +AT recusada +continuar", lisbon.out)
    assert "Adesão prevista: 3 empresas (1 a que criar uma conta, 1 a continuar" in lisbon.err
    assert re.search(rf"{nif(2)} +Company 2 +2027 +yes +at refused +go on", people.out)
    plan = [(one["would"], one["step"]) for one in machines.lines[:-1]]
    assert plan == [("nothing", "end"), ("go on", "at"), ("create", None)]
    assert "it would be refused" in another.err
    assert len(place.server.requests) == requests
    place.check_secrets(people.out, people.err, machines.out, machines.err)


@pytest.mark.parametrize(
    ("more", "variables", "message"),
    [
        pytest.param(("--partner", ""), {}, "No partner", id="partner"),
        pytest.param(("--partner", "a b"), {}, "DNS label", id="partner's name"),
        pytest.param((), {"INVOICEXPRESS_API_KEY": ""}, "No API key", id="key"),
        pytest.param(("--concurrency", "0"), {}, "1 or more", id="concurrency"),
        pytest.param(("--resend-absent-after", "60"), {}, "900 or more", id="resend too soon"),
        pytest.param(("--forget", "999999990"), {}, "which the file has not", id="forget"),
        pytest.param(("--keys-out", "{companies}"), {}, "are one file", id="one file"),
        pytest.param(("--spool", "{journal}"), {}, "are one file", id="spool is journal"),
        pytest.param(("--report", "{companies}"), {}, "are one file", id="report"),
        pytest.param(
            ("--keys-out", "{notes}"), {}, "not a file of keys", id="keys of another shape"
        ),
        pytest.param(("--report", "{notes}"), {}, "not a report", id="report over another file"),
        pytest.param(("--serie", "x" * 36), {}, "serie", id="serie"),
        pytest.param(("--api-key", KEY), {}, "never an argument", id="key as an argument"),
    ],
)
async def test_wrong_usage_is_reported_before_anything_is_sent(
    run: Run, place: Place, more: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    place.write(1)
    notes = place.folder / "notes.csv"
    notes.write_text("my notes\n")
    names = {"companies": place.companies, "journal": place.journal, "notes": notes}
    extra = [one.format(**names) for one in more]
    base = list(place.arguments())
    for option, value in zip(extra[::2], extra[1::2], strict=False):
        if option in base:
            base[base.index(option) + 1] = value
        else:
            base += [option, value]

    ended = await run(*base, **place.variables | variables)

    assert (ended.code, place.server.requests) == (2, [])
    assert ended.out == ""
    assert message in ended.err
    assert notes.read_text() == "my notes\n"


async def test_terms_are_accepted_in_so_many_words_and_bad_rows_are_named(
    run: Run, place: Place
) -> None:
    place.write(2, {2: f"x;{PASSWORD};{PASSWORD};{PASSWORD};{PASSWORD};{AT_PASSWORD}"})
    without = [one for one in place.arguments() if one != "--accept-terms"]

    terms = await run(*without, **place.variables)
    rows = await run(*place.arguments(), **place.variables)

    assert (terms.code, rows.code, place.server.requests) == (2, 2, [])
    assert "--accept-terms" in terms.err
    assert "line 3: email is no e-mail address; fiscal_id is no Portuguese" in rows.err
    place.check_secrets(terms.err, rows.err)


async def test_real_accounts_are_asked_for_first(run: Run, place: Place) -> None:
    place.write(1)
    address = "https://{account}.app.invoicexpress.invalid"

    ended = await run(*place.arguments(), **place.variables | {"INVOICEXPRESS_BASE_URL": address})

    assert ended.code == 2
    assert "1 company (1 to create an account for), by partner at https://partner.app" in ended.err
    assert "add --yes" in ended.err


async def test_a_partner_without_rights_ends_the_run_with_the_cure(run: Run, place: Place) -> None:
    place.write(20)
    place.server.not_partner_status = 403
    place.server.update_account(SandboxAccount(name="partner", api_key=KEY))

    ended = await run(*place.arguments("--concurrency", 1), **place.variables)

    assert ended.code == 1
    assert "cure: Creating accounts is a partner's right" in ended.err
    assert "Ended early: 0 done, 1 parked, 19 not started, of 20 companies." in ended.err


# Processes


def arguments_of(process: asyncio.subprocess.Process) -> str:
    return Path(f"/proc/{process.pid}/cmdline").read_text()


async def wait_for(place: Place, posts: int) -> None:
    while place.server.oracle.accounts.posts() < posts:  # noqa: ASYNC110  # a count has no event
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
async def test_a_signal_lets_companies_in_flight_end_and_the_next_run_does_the_rest(
    start: Start, run: Run, place: Place, number: signal.Signals
) -> None:
    place.write(40)
    place.server.registration_seconds = 0.3
    process = await start(*place.arguments("--json", "--concurrency", 4), variables=place.variables)
    await wait_for(place, 6)

    process.send_signal(number)
    out, err = await process.communicate()
    reported = Ended(process.returncode or 0, out.decode(), err.decode())
    place.server.registration_seconds = 0.0
    rest = await run(*place.arguments("--json"), **place.variables)

    assert reported.code == 130
    assert set(states(reported).values()) == {"end done"}
    assert reported.lines[-1]["not_run"] == 40 - len(outcomes(reported))
    assert 6 <= len(outcomes(reported)) < 40
    assert "Stopping: " in reported.err
    assert "Interrupted: " in reported.err
    assert rest.code == 0
    assert place.server.oracle.accounts.posts() == place.server.oracle.accounts.commits() == 40
    assert place.delivered() == place.made()
    place.check_secrets(reported.out, reported.err, rest.out, rest.err)


async def test_killed_at_any_moment_it_goes_on_without_a_second_account(
    start: Start, run: Run, place: Place
) -> None:
    place.write(30)
    arguments: list[str] = []
    for posts in (1, 15):
        process = await start(
            *place.arguments("--json", "--concurrency", 6), variables=place.variables
        )
        await wait_for(place, posts)
        arguments.append(arguments_of(process))
        process.kill()
        await process.communicate()

    ended = await run(*place.arguments("--json"), **place.variables)
    again = await run(*place.arguments("--json"), **place.variables)

    oracle, reported = place.server.oracle.accounts, states(ended)
    assert oracle.duplicates() == ()
    sent = {nif(one): oracle.posts(f"company-{one}@example.com") for one in range(1, 31)}
    assert len(reported) == 30
    parked = {key for key, state in reported.items() if state != "end done"}
    # One that was killed between its intent and its send is parked like one that was sent.
    assert {key for key, count in sent.items() if count != 1} <= parked
    assert max(sent.values()) == 1
    ends = {"account unknown", "key key_lost", "at unknown", "series unknown"}
    assert {reported[key] for key in parked} <= ends
    delivered = place.delivered()
    assert {key: delivered[key] for key in reported if key not in parked} == {
        key: value for key, value in place.made().items() if key not in parked
    }
    assert ended.code == again.code == (3 if parked else 0)
    place.check_secrets(ended.out, ended.err, *arguments)


async def test_a_full_disk_for_the_output_stops_the_run_and_the_next_goes_on(
    start: Start, run: Run, place: Place
) -> None:
    place.write(30)
    full = os.open("/dev/full", os.O_WRONLY)
    process = await start(
        *place.arguments("--json", "--concurrency", 3), stdout=full, variables=place.variables
    )
    os.close(full)
    _, err = await process.communicate()
    rest = await run(*place.arguments("--json"), **place.variables)

    assert process.returncode == 1
    assert b"stdout cannot be written, No space left on device" in err
    assert b"Traceback" not in err
    assert rest.code == 0
    assert place.server.oracle.accounts.posts() == 30


async def test_on_a_terminal_a_bar_shows_the_steps(place: Place) -> None:
    place.write(3)

    code, shown = await asyncio.to_thread(on_terminal, *place.arguments(), **place.variables)

    assert code == 0
    assert "3/3" in shown
    assert "acc 3 key 3 at 3 ser 3 ver 3" in shown
    place.check_secrets(shown)


async def test_the_sandbox_has_a_partner_to_try_it_on_who_keeps_its_key(
    start: Start, run: Run, tmp_path: Path
) -> None:
    companies, keys = tmp_path / "companies.csv", tmp_path / "keys.csv"
    companies.write_text(f"{HEADER}\n{row(1)}\n")
    arguments: tuple[Any, ...] = ("sandbox", "--port", "0", "--accounts", 1, "--partner", "Tryer")
    printed: list[dict[str, str]] = []
    for _ in range(2):
        server = await start(*arguments, "--state", tmp_path / "state.json")
        assert server.stdout is not None
        text = ""
        while "Ctrl-C" not in text:
            text += (await server.stdout.readline()).decode()
        printed.append(dict(re.findall(r"export (\w+)='?([^'\s]+)", text)))
        assert "onboard companies.csv --partner tryer" in text
        ended = await run(
            *("onboard", companies, "--keys-out", keys, "--journal", tmp_path / "onboarding.db"),
            *("--serie", "2027", "--accept-terms"),
            **printed[-1],
        )
        assert ended.code == 0
        audited = await run(
            "audit", keys, INVOICEXPRESS_BASE_URL=printed[-1]["INVOICEXPRESS_BASE_URL"]
        )
        assert audited.code == 0
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0
    assert printed[0]["INVOICEXPRESS_API_KEY"] == printed[1]["INVOICEXPRESS_API_KEY"]


@pytest.mark.parametrize("command", [["onboard"], ["accounts", "get"], ["accounts", "update"]])
def test_the_help_of_a_command_imports_only_what_it_needs(command: list[str]) -> None:
    code = (
        "import sys\nfrom invoicexpress_async.__main__ import main\n"
        f"main({[*command, '--help']!r})\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    )

    ended = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )

    assert "--partner" in ended.stdout
    loaded = set(ended.stderr.split())
    assert not loaded & {"aiohttp.web", "invoicexpress_async.sandbox"}


async def test_status_shows_where_the_companies_of_a_journal_stand(run: Run, place: Place) -> None:
    place.write(3)
    await run_process(*place.arguments("--json"), **place.variables)

    machines = await run("status", place.journal, "--json")
    people = await run("status", place.journal)

    (status,) = machines.lines
    assert status["companies"] == [
        {
            "step": "end",
            "state": "done",
            "error": None,
            "cure": None,
            "companies": 3,
            "such_as": nif(1),
        }
    ]
    assert "3 companies." in people.out
    assert "nothing, all can invoice" in people.out
