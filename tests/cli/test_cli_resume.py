import io
import json
from pathlib import Path

import pytest
import test_cli
from test_cli import KEY, Run, accounts_file

from invoicexpress_async import Intent
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

acme, run, sandbox = test_cli.acme, test_cli.run, test_cli.sandbox


def intent_of(account: str, serie: str = "2027") -> Intent:
    return {
        "version": 1,
        "operation": "create",
        "account": account,
        "serie": serie,
        "sequence_id": None,
        "is_default": False,
        "had_sequences": False,
        "sent_at": 1.0,
    }


@pytest.mark.parametrize("stdin", [(), ("-",)], ids=["by itself", "as -"])
async def test_a_kept_line_is_resumed_and_nothing_but_reads_is_sent(
    stdin: tuple[str, ...],
    run: Run,
    acme: dict[str, str],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = sandbox.add_sequence("acme", "2027")
    line = f"Sent, outcome not known; keep this: {json.dumps(intent_of('acme'))}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(line * 2))

    ended = await run("sequences", "resume", *stdin, **acme)

    assert ended.code == 0
    assert ended.out == f"acme  2027  create: it is there, id {there.id}, registered\n"
    assert {one.method for one in sandbox.requests} == {"GET"}


async def test_what_still_does_not_show_ends_with_3(
    run: Run, acme: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "intents.jsonl"
    path.write_text(json.dumps(intent_of("acme")) + "\n")

    people = await run("sequences", "resume", path, "--timeout", "0.5", **acme)
    machines = await run("sequences", "resume", path, "--timeout", "0.5", "--json", **acme)

    assert (people.code, machines.code) == (3, 3)
    assert "sequences resume` in some minutes" in people.out
    (reported,) = machines.lines
    assert (reported["account"], reported["sequence"]) == ("acme", None)
    assert isinstance(reported["failure"], dict)
    assert reported["failure"]["intent"] == intent_of("acme")


@pytest.mark.parametrize("kept", ["csv", "excel-pt", "--json"])
async def test_what_provision_kept_is_resumed_with_the_keys_of_its_accounts(
    run: Run, sandbox: Sandbox, tmp_path: Path, kept: str
) -> None:
    path, file = accounts_file(tmp_path, sandbox, 4), tmp_path / "kept"
    for name in ("account-1", "account-2"):
        settings = SandboxAccount(name=name, api_key=KEY, refusals={"create": (500, "")})
        sandbox.update_account(settings)
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)
    form = () if kept == "--json" else ("--report-format", kept)
    ended = await run(*arguments, *form, "--timeout", "0.9", "--report", file, "--json")
    if kept == "--json":
        file.write_text(ended.out)
    for name in ("account-1", "account-2"):
        sandbox.add_sequence(name, "2027")
    to_server = ("--base-url", sandbox.base_url)

    without = await run("sequences", "resume", file, *to_server)
    resumed = await run("sequences", "resume", file, "--accounts", path, *to_server)

    assert (ended.code, without.code, resumed.code) == (3, 2, 0)
    assert "2 accounts, each with its own key" in without.err
    assert resumed.out.count("it is there") == 2


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(("", "holds no intent"), id="empty"),
        pytest.param(("nonsense\n", "line 1: this is not an intent"), id="text"),
        pytest.param(('\n{"version": 2}\n', "line 2: this is not an intent"), id="other version"),
        pytest.param(('{"type": "summary"}\n', "holds no intent"), id="summary"),
        pytest.param(("[" * 100_000, "line 1: this is not an intent"), id="deep"),
        pytest.param(
            ("line,account,intent\nx,acme,x\n", "line 2: this is not an intent"), id="a report"
        ),
        pytest.param(
            ("line,account,intent\n1,acme," + "x" * 200_000, "is damaged"), id="a damaged report"
        ),
    ],
)
async def test_what_is_no_intent_is_refused_by_its_line(
    run: Run, acme: dict[str, str], sandbox: Sandbox, tmp_path: Path, case: tuple[str, str]
) -> None:
    (text, message), path = case, tmp_path / "intents.jsonl"
    path.write_text(text)

    ended = await run("sequences", "resume", path, **acme)

    assert ended.code == 2
    assert message in ended.err
    assert sandbox.requests == []


async def test_an_account_without_a_key_is_reported_before_anything_is_sent(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path, file = accounts_file(tmp_path, sandbox, 1), tmp_path / "intents.jsonl"
    file.write_text(json.dumps(intent_of("stranger")))
    to_server = ("--base-url", sandbox.base_url)

    ended = await run("sequences", "resume", file, "--accounts", path, *to_server)

    assert ended.code == 2
    assert "no key for stranger" in ended.err
    assert sandbox.requests == []
