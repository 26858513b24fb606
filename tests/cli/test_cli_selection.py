"""`--only`, `--exclude`, `--limit`: a pilot is the same plan and journal as the rest."""

from pathlib import Path

import pytest
import test_cli
from test_cli import KEY, Run

from invoicexpress_async.cli.options import SelectionOptions
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox

NAMES = [f"account-{number}" for number in range(1, 7)]


@pytest.fixture
def accounts(sandbox: Sandbox, tmp_path: Path) -> Path:
    for name in NAMES:
        sandbox.add_account(SandboxAccount(name=name, api_key=KEY))
        sandbox.add_sequence(name, "2026", is_default=True)
    path = tmp_path / "accounts.csv"
    path.write_text("account;api_key\n" + "".join(f"{name};{KEY}\n" for name in NAMES))
    return path


def having(sandbox: Sandbox, serie: str) -> list[str]:
    return [name for name in NAMES if serie in {one.serie for one in sandbox.sequences(name)}]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (SelectionOptions(), None),
        (SelectionOptions(limit=2), {"a", "b"}),
        (SelectionOptions(only=("c,A",)), {"a", "c"}),
        (SelectionOptions(only=("a", "c"), limit=1), {"a"}),
        (SelectionOptions(exclude=("a",), limit=1), {"b"}),
    ],
)
def test_what_is_chosen(options: SelectionOptions, chosen: set[str] | None) -> None:
    assert options.choose(["a", "b", "c"]) == chosen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SelectionOptions(only=("x",)), "--only names 'x', which the file has not"),
        (SelectionOptions(exclude=("x",)), "--exclude names 'x'"),
        (SelectionOptions(only=("",)), "--only is given and names nothing"),
        (SelectionOptions(exclude=(" , ",)), "--exclude is given and names nothing"),
        (SelectionOptions(limit=0), "1 or more"),
        (SelectionOptions(exclude=("a", "b", "c")), "leave nothing"),
    ],
)
def test_what_cannot_be_chosen_is_refused(options: SelectionOptions, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        options.choose(["a", "b", "c"])


@pytest.mark.parametrize(
    "command", [("provision", "--serie", "2027"), ("rollover", "--year", "2027")]
)
async def test_a_pilot_and_the_rest_are_one_job(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    name, *more = command
    job = (name, accounts, *more, "--journal", tmp_path / "job.db", "--base-url", sandbox.base_url)

    looked = await run(*job, "--limit", "2", "--dry-run", "--json")
    pilot = await run(*job, "--limit", "2")
    after_pilot = having(sandbox, "2027")
    other = await run(*job, "--only", "account-5")
    after_other = having(sandbox, "2027")
    rest = await run(*job)

    assert [row["account"] for row in looked.lines[:-1]] == NAMES[:2]
    assert [one.code for one in (looked, pilot, other, rest)] == [0] * 4
    assert after_pilot == NAMES[:2]
    assert after_other == [*NAMES[:2], "account-5"]
    assert having(sandbox, "2027") == NAMES
    assert "of 2 rows" in pilot.out
    assert sandbox.count("POST", "/sequences.json") == len(NAMES)


async def test_an_audit_says_who_lacks_a_year(run: Run, sandbox: Sandbox, accounts: Path) -> None:
    one, two, three, four, *_ = NAMES
    sandbox.add_sequence(one, "2027", is_default=True)
    sandbox.add_sequence(two, "FR2027")
    sandbox.add_sequence(three, "2027", is_registered=False)
    audit = ("audit", accounts, "--base-url", sandbox.base_url)

    ended = await run(*audit, "--year", "2027", "--only", f"{one},{two},{three},{four}")
    machine = await run(*audit, "--year", "2027", "--limit", "4", "--json")
    fine = await run(*audit, "--serie", "2027", "--only", one)
    both = await run(*audit, "--serie", "2027", "--year", "2027")

    assert [end.code for end in (ended, machine, fine, both)] == [1, 1, 0, 2]
    assert {row["account"]: row["lack"] for row in machine.lines[:-1]} == {
        one: None, two: "not_default", three: "not_registered", four: "missing",
    }  # fmt: skip
    assert "1 fine  3 not fine  of 4 accounts" in ended.out
    assert "lacks 2027" in ended.out
    assert "2027 is not the default" in ended.out
    assert {line.split()[0] for line in ended.out.splitlines()[2:5]} == {two, three, four}


async def test_a_sequence_is_found_by_its_name_or_its_id(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    name = "lone"
    sandbox.add_account(SandboxAccount(name=name, api_key=KEY))
    sandbox.add_sequence(name, "2026", is_default=True)
    first, key = sandbox.sequences(name)[0], tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    other = sandbox.add_sequence(name, str(first.id))
    to = ("--account", name, "--api-key-file", key, "--base-url", sandbox.base_url)

    by_name = await run("sequences", "get", "2026", *to, "--json")
    made = await run("sequences", "set-current", other.id, *to)
    twice = await run("sequences", "set-current", str(first.id), *to)
    none = await run("sequences", "get", "2031", *to)

    assert by_name.lines[0]["id"] == first.id
    assert made.out == f"Sequence {first.id} (id {other.id}) is the default of the account now.\n"
    assert (twice.code, none.code) == (2, 2)
    assert "more than one sequence" in twice.err
    assert "no sequence with the name or the id '2031'" in none.err
