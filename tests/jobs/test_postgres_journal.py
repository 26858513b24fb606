"""What a journal in PostgreSQL survives, and what it refuses."""

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
from postgres_server import PostgresServer, new_schema
from test_journal_contract import KEY, THINGS, claim, enter, thing

from invoicexpress_async import ConfigurationError, Intent
from invoicexpress_async.jobs.claims import JournalClaims
from invoicexpress_async.jobs.journal import INTENTS, Change, JournalError, JournalState
from invoicexpress_async.jobs.postgres import PostgresJournal


@attrs.define
class Line:
    """A link to the server that is cut when an answer comes back: what was sent was carried out."""

    server: Path
    folder: Path
    cuts: int = 0
    messages: int = 0
    _relays: set[asyncio.Future[None]] = attrs.field(factory=set)

    @property
    def url(self) -> str:
        return f"postgresql://ix@/postgres?host={self.folder}"

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        link = await asyncio.start_unix_server(self._relay, self.folder / ".s.PGSQL.5432")
        async with link:
            yield self
            await asyncio.wait(self._relays)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relays.add(asyncio.ensure_future(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self.server / ".s.PGSQL.5432")

        async def forward() -> None:
            while data := await reader.read(65_536):
                self.messages += b"INSERT INTO" in data
                up_writer.write(data)
            up_writer.close()

        forwarding = asyncio.ensure_future(forward())
        with contextlib.suppress(ConnectionError):
            while data := await up_reader.read(65_536):
                if self.cuts and b"INSERT 0" in data:
                    self.cuts -= 1
                    break
                writer.write(data)
        writer.close()
        up_writer.close()
        forwarding.cancel()
        await asyncio.wait({forwarding})


@pytest.fixture
async def line(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Line]:
    async with Line(postgres.folder, tmp_path).open() as line:
        yield line


async def test_a_claim_whose_answer_is_lost_is_repeated_and_won_once(line: Line) -> None:
    async with PostgresJournal(line.url, schema=new_schema()) as journal:
        await journal.prepare(THINGS)
        await enter(journal, thing("a"))
        line.cuts, before = 2, line.messages

        lost = await journal.claim(claim("mine"), Change(THINGS, ("a", "2027"), {"note": "sent"}))

        (intent,) = await journal.look_up(INTENTS, [KEY])
        (entry,) = await journal.look_up(THINGS, [("a", "2027")])
    assert (lost, line.cuts, line.messages - before) == (None, 0, 3)
    assert (intent["token"], intent["state"], entry["note"]) == ("mine", "intent", "sent")


async def test_a_claim_whose_answer_never_comes_is_free_again_when_the_link_is_back(
    line: Line,
) -> None:
    intent: Intent = {
        "version": 1, "operation": "create", "account": "acme", "serie": "2027",
        "sequence_id": None, "is_default": False, "had_sequences": False, "sent_at": 0.0,
    }  # fmt: skip
    async with PostgresJournal(line.url, schema=new_schema(), patience_seconds=0.3) as journal:
        claims = JournalClaims(journal)
        line.cuts = 1_000

        with pytest.raises(JournalError, match="cannot be used"):
            await claims.claim(intent)

        line.cuts = 0
        assert await claims.claim(intent) is None


async def test_a_slice_is_taken_though_the_connection_was_lost(postgres: PostgresServer) -> None:
    async with postgres.journal(slices=4) as journal:
        first = await journal.take(1)
        await journal.release(first)
        pids = postgres.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'invoicexpress'"
        )
        second = await journal.take(1)

    assert len(pids) >= 2
    assert (first.epoch, second.epoch) == (1, 2)


async def test_of_many_who_claim_at_once_one_wins_each(postgres: PostgresServer) -> None:
    schema = new_schema()
    async with contextlib.AsyncExitStack() as stack:
        journals = [await stack.enter_async_context(postgres.journal(schema)) for _ in range(3)]
        keys = [("create", f"account-{number}", "2027") for number in range(200)]
        claims = [
            journal.claim(attrs.evolve(claim(f"{at}-{key[1]}"), key=key))
            for key, (at, journal) in itertools.product(keys, enumerate(journals))
        ]
        results = await asyncio.gather(*claims)

    won = [sum(one is None for one in results[at : at + 3]) for at in range(0, 600, 3)]
    assert set(won) == {1}


async def test_requests_wait_for_a_database_that_is_away_and_fail_when_it_stays_away(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with postgres.journal(patience_seconds=0.3) as journal:
        postgres.kill()
        try:
            for _ in range(2):  # the second one finds it away, however slow this machine is
                with pytest.raises(JournalError, match="cannot be used"):
                    await journal.claim(claim("mine"))
        finally:
            postgres.start()

        assert await journal.claim(claim("yours")) is None
    said = [one.getMessage() for one in caplog.records if one.name == "invoicexpress_async"]
    assert [
        re.sub(r": .*", "", one.removeprefix(f"The journal {journal.label} ")) for one in said
    ] == [
        "is not reached",
        "is reached again.",
    ]


async def test_a_plan_is_not_entered_over_another_that_came_between(
    postgres: PostgresServer,
) -> None:
    schema = new_schema()
    async with postgres.journal(schema) as first, postgres.journal(schema) as second:
        for journal, account in ((first, "a"), (second, "b")):
            await journal.prepare(THINGS)
            await journal.begin_plan(THINGS)
            await journal.add_to_plan(THINGS, [thing(account)])
            await journal.compare_plan(THINGS)
        await first.enter_plan(THINGS)

        with pytest.raises(JournalError, match="Another plan"):
            await second.enter_plan(THINGS)

        states = frozenset(JournalState)
        assert [one["account"] for one in await second.read(THINGS, states=states)] == ["a"]


async def test_a_newer_schema_is_refused(postgres: PostgresServer) -> None:
    journal = postgres.journal()
    async with journal:
        pass
    postgres.ask("UPDATE journal SET version = version + 1", schema=journal.schema)

    with pytest.raises(JournalError, match="newer version"):
        async with journal:
            pass


async def test_a_schema_of_an_older_version_is_migrated_and_keeps_what_is_in_it(
    postgres: PostgresServer,
) -> None:
    schema = new_schema()
    async with postgres.journal(schema, slices=3) as journal:
        await journal.prepare(THINGS)
        await enter(journal, thing("acme"))
        held = await journal.take(0)
        await journal.release(held)
    # As the version was that had no table `outage`.
    postgres.ask("DROP TABLE outage", schema=schema)
    postgres.ask("UPDATE journal SET version = 1", schema=schema)

    async with postgres.journal(schema) as first, postgres.journal(schema) as second:
        await first.prepare(THINGS)
        outage = await second.share_outage("me", is_failing=True, may_probe=False)
        entries = await first.read(THINGS)
        again = await first.take(0)

    assert outage.seconds is not None
    assert [one["account"] for one in entries] == ["acme"]
    assert (first.slices, again.epoch) == (3, held.epoch + 1)
    assert postgres.ask("SELECT version FROM journal", schema=schema) == [(2,)]
    assert postgres.ask("SELECT count(*) FROM outage", schema=schema) == [(1,)]


async def test_a_process_that_opens_it_again_and_again_is_one_run(postgres: PostgresServer) -> None:
    schema = new_schema()
    for _ in range(3):
        async with postgres.journal(schema):
            pass

    assert postgres.ask("SELECT count(*) FROM runs", schema=schema) == [(1,)]


async def test_the_number_of_slices_is_that_of_the_first_who_opened_it(
    postgres: PostgresServer,
) -> None:
    schema = new_schema()
    async with postgres.journal(schema, slices=7), postgres.journal(schema, slices=9) as second:
        assert second.slices == 7


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_could_lose_an_intent_is_refused(
    postgres: PostgresServer, setting: str
) -> None:
    postgres.set(setting, "off")
    try:
        with pytest.raises(JournalError, match=f"{setting} is off"):
            async with postgres.journal():
                pass
    finally:
        postgres.set(setting, "on")


async def test_each_commit_is_synchronous_whatever_the_role_has_set(
    postgres: PostgresServer,
) -> None:
    postgres.ask("ALTER ROLE ix SET synchronous_commit = off")
    try:
        async with postgres.journal() as journal:
            await journal.claim(claim("mine"))
    finally:
        postgres.ask("ALTER ROLE ix RESET synchronous_commit")

    (statement,) = [
        line
        for line in postgres.log.read_text().splitlines()
        if f'INSERT INTO "{journal.schema}"."intents"' in line
    ]
    assert "SET LOCAL synchronous_commit = on; " in statement


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("job.db", "postgresql:// URL", id="path"),
        pytest.param("postgresql://ix:canary@h/d", "has a password in it", id="password"),
        pytest.param("postgresql://h/d?sslpassword=canary", "sslpassword", id="key's password"),
        # An older libpq does not know it.
        pytest.param(
            "postgresql://h/d?scram_client_key=canary",
            "scram_client_key|cannot be read",
            id="as good as a password",
        ),
        pytest.param("postgresql://h/d?unknown=canary", "cannot be read", id="unknown"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_without_repeating_it(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        PostgresJournal(url)

    assert "canary" not in str(refused.value)
    assert refused.value.__context__ is None


async def test_a_database_that_cannot_be_reached_is_named_without_a_secret(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "canary-77")
    url = f"postgresql://nobody@/none?host={postgres.folder}"

    with pytest.raises(JournalError, match="cannot be opened") as refused:
        async with PostgresJournal(url):
            pass

    assert "Nothing was sent" in str(refused.value)
    assert "canary" not in str(refused.value)
