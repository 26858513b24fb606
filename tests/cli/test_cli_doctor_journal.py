"""`invoicexpress doctor --journal`: a database that is fit for a journal, and others."""

import json
from typing import cast

import pytest
import test_cli
from postgres_server import PostgresServer
from test_cli import Ended, Json, Run

from invoicexpress_async.provisioning import PostgresJournal

bytecode, run = test_cli.bytecode, test_cli.run


def checks(ended: Ended) -> dict[str, Json]:
    found = cast("list[Json]", json.loads(ended.out)["checks"])
    return {str(one["name"]): one for one in found}


async def test_a_database_that_is_fit_has_nothing_to_fix(
    run: Run, postgres: PostgresServer
) -> None:
    url = postgres.database()

    before = await run("doctor", "--journal", url, "--json")
    async with PostgresJournal(url):
        after = await run("doctor", "--journal", url, "--json")

    assert (before.code, after.code) == (0, 0)
    states = {name: one["state"] for name, one in checks(after).items()}
    names = ("PostgreSQL", "durability", "journal clock", "pooler", "journal rights")
    assert [states[name] for name in names] == ["fine"] * 5
    assert "key" not in states
    assert "not there yet" in str(checks(before)["journal schema"]["found"])
    assert "version 1" in str(checks(after)["journal schema"]["found"])


async def test_a_pooler_in_between_is_seen(run: Run, pooled_url: str) -> None:
    ended = await run("doctor", "--journal", pooled_url, "--json")

    assert "passes transactions" in str(checks(ended)["pooler"]["found"])


@pytest.mark.parametrize(
    ("spoil", "name", "cure"),
    [
        pytest.param(
            "UPDATE {at}.journal SET version = 99", "journal schema", "upgrade", id="newer schema"
        ),
        pytest.param("REVOKE ALL ON {at}.rows FROM poor", "journal rights", "GRANT", id="rights"),
    ],
)
async def test_what_is_wrong_with_a_database_is_said_with_its_cure(
    run: Run, postgres: PostgresServer, spoil: str, name: str, cure: str
) -> None:
    url = postgres.database()
    async with PostgresJournal(url):
        pass
    at = "invoicexpress"
    postgres.ask(f"CREATE TABLE IF NOT EXISTS {at}.rows (a int)", at=url)
    postgres.ask(
        "DO $$BEGIN CREATE ROLE poor LOGIN; EXCEPTION WHEN duplicate_object THEN END$$", at=url
    )
    postgres.ask(f"GRANT USAGE ON SCHEMA {at} TO poor", at=url)
    postgres.ask(f"GRANT ALL ON ALL TABLES IN SCHEMA {at} TO poor", at=url)
    postgres.ask(spoil.format(at=at), at=url)

    ended = await run("doctor", "--journal", url.replace("ix@", "poor@"), "--json")

    assert ended.code == 1
    assert checks(ended)[name]["state"] == "wrong"
    assert cure in str(checks(ended)[name]["cure"])


async def test_a_database_that_is_not_reached_or_named_wrongly_is_said(run: Run) -> None:
    away = await run("doctor", "--journal", "postgresql://ix@/x?host=/no/such/folder", "--json")
    secret = await run("doctor", "--journal", "postgresql://ix:canary-pw@host/x", "--json")

    assert (away.code, secret.code) == (1, 2)  # wrong usage is 2, as everywhere
    assert checks(away)["PostgreSQL"]["state"] == "wrong"
    assert "PGPASSFILE" in str(checks(away)["PostgreSQL"]["cure"])
    assert checks(away)["durability"]["state"] == "skipped"
    assert "canary-pw" not in secret.out + secret.err
