import asyncio
import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

import attrs
import pytest

from invoicexpress_async.__main__ import main
from invoicexpress_async.call.realm import THIS_PROCESS
from invoicexpress_async.cli.commands import COMMANDS
from invoicexpress_async.cli.commands.worker import WorkerOptions
from invoicexpress_async.cli.options import JobOptions, SettingsOptions
from invoicexpress_async.provisioning import RunSettings
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

KEY = "canary-key-7f3a9c"
PROGRAM = (sys.executable, "-m", "invoicexpress_async")
Json = dict[str, object]


@attrs.frozen
class Ended:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Json]:
        return [cast("Json", json.loads(line)) for line in self.out.splitlines()]

    @property
    def failure(self) -> Json:
        return cast("Json", json.loads(self.err.splitlines()[-1]))


class Run(Protocol):
    async def __call__(self, *arguments: object, **variables: str) -> Ended: ...


def environment(**variables: str) -> dict[str, str]:
    own = {name: text for name, text in os.environ.items() if "INVOICEXPRESS" not in name}
    return own | {"NO_COLOR": "1", "COLUMNS": "100"} | variables


@pytest.fixture(scope="module", autouse=True)
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the programs started here share their compiled modules, whatever the environment."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "bytecode"))
        yield


@pytest.fixture(scope="module", autouse=True)
def interruptible() -> Iterator[None]:
    """Let Ctrl-C reach the programs started here, though the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Start(Protocol):
    async def __call__(
        self,
        *arguments: object,
        stdout: int = ...,
        variables: Mapping[str, str] = ...,
    ) -> asyncio.subprocess.Process: ...


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start the program beside the test; what still runs at its end is killed."""
    started: list[asyncio.subprocess.Process] = []

    async def start_process(
        *arguments: object,
        stdout: int = asyncio.subprocess.PIPE,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**variables),
        )
        started.append(process)
        return process

    yield start_process
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in a thread of this process: as `run_process`, in a tenth of its time."""
    for name in ("ACCOUNT", "API_KEY", "BASE_URL", "TIMEOUT_SECONDS"):
        monkeypatch.delenv(f"INVOICEXPRESS_{name}", raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    async def run_in_thread(*arguments: object, **variables: str) -> Ended:
        with monkeypatch.context() as patch:
            for name, text in variables.items():
                patch.setenv(name, text)
            THIS_PROCESS.forget()  # a process of its own would know nothing of the one before
            code = await asyncio.to_thread(main, [str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert KEY not in out + err
        return Ended(code, out, err)

    return run_in_thread


async def run_process(*arguments: object, **variables: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**variables),
    )
    out, err = await process.communicate()
    assert "Traceback" not in err.decode()
    assert KEY not in out.decode() + err.decode()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(accounts=[SandboxAccount(name="acme", api_key=KEY)]) as running:
        yield running


@pytest.fixture
def acme(sandbox: Sandbox) -> dict[str, str]:
    return {
        "INVOICEXPRESS_BASE_URL": sandbox.base_url,
        "INVOICEXPRESS_ACCOUNT": "acme",
        "INVOICEXPRESS_API_KEY": KEY,
    }


def accounts_file(folder: Path, sandbox: Sandbox, count: int) -> Path:
    path = folder / "accounts.csv"
    names = [f"account-{number}" for number in range(count)]
    for name in names:
        sandbox.add_account(SandboxAccount(name=name, api_key=KEY))
    path.write_text("account;api_key\n" + "".join(f"{name};{KEY}\n" for name in names))
    return path


# Help and start-up


async def test_the_help_names_every_command_and_exit_code() -> None:
    ended = await run_process("--help")

    assert ended.code == 0
    for command in COMMANDS:
        assert f"  {command.name} " in ended.out
    for code in ("0", "1", "2", "3", "130"):
        assert re.search(rf"^  {code} +\w", ended.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        pytest.param(("provision",), "--resend-absent-after", id="provision"),
        pytest.param(("rollover",), "--not-before", id="rollover"),
        pytest.param(("audit",), "--report", id="audit"),
        pytest.param(("status",), "--json", id="status"),
        pytest.param(("sandbox",), "--accounts-csv", id="sandbox"),
        pytest.param(("demo",), "made-up", id="demo"),
        pytest.param(("sequences",), "set-current", id="sequences"),
        pytest.param(("sequences", "create"), "--api-key-file", id="sequences create"),
    ],
)
async def test_each_command_has_its_help(run: Run, arguments: tuple[str, ...], option: str) -> None:
    ended = await run(*arguments, "--help")

    assert ended.code == 0
    assert option in ended.out


async def test_the_version_is_the_package_s(run: Run) -> None:
    ended = await run("--version")

    assert re.fullmatch(r"invoicexpress-async \d+\.\d+\.\d+\n", ended.out)


@pytest.mark.parametrize(
    ("tokens", "absent"),
    [
        pytest.param(["--help"], ["cyclopts", "rich", "aiohttp", "cattrs"], id="whole"),
        pytest.param(["--version"], ["cyclopts", "rich", "aiohttp", "cattrs"], id="version"),
        pytest.param(["provision", "--help"], [], id="command"),
    ],
)
def test_the_help_imports_only_what_it_needs(tokens: list[str], absent: list[str]) -> None:
    # The root of the package is another module's duty: what it imports is not counted here.
    code = (
        "import sys, invoicexpress_async as root; before = set(sys.modules)\n"
        "from invoicexpress_async.__main__ import main\n"
        f"main({tokens!r})\n"
        "print('\\n'.join(set(sys.modules) - before), file=sys.stderr)"
    )

    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )

    loaded = set(ended.stderr.split())
    assert "invoicexpress_async.cli.entry" in loaded
    assert not loaded & {*absent, "aiohttp.web", "invoicexpress_async.sandbox"}


def test_without_the_extra_one_line_says_how_to_install_it() -> None:
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'cyclopts' else find(name, *rest)\n"
        "from invoicexpress_async.__main__ import main; sys.exit(main(['demo']))"
    )

    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "pip install '.[cli]' in a checkout of this package" in ended.stderr


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("nonsense",), "nonsense", id="command"),
        pytest.param(("--timeout", "9", "sequences", "list"), "options after it", id="leading"),
        pytest.param(("sequences", "list", KEY), "more arguments", id="unused"),
        pytest.param(("sequences", "get"), "SEQUENCE", id="missing argument"),
        pytest.param(("sequences", "register", "x"), "a whole number", id="not an id"),
        pytest.param(("sequences", "get", "-- -1"), "", id="negative id"),
        pytest.param(("sequences", "list", "--timeout", "-1"), "--timeout is -1", id="timeout"),
        pytest.param(("sequences", "list", "--account", "a b"), "DNS label", id="account"),
        pytest.param(
            ("sequences", "list", "--base-url", "http://x.pt/{account}"), "https", id="url"
        ),
        pytest.param(("sequences", "list", "--api-key-file", "nowhere"), "nowhere", id="key file"),
        pytest.param(("sequences", "create", " ", "--yes"), "empty", id="serie"),
        pytest.param(("provision", "nowhere.csv"), "cannot be read", id="no file"),
        pytest.param(("provision", "x.csv", "--concurrency", "0"), "1 or more", id="concurrency"),
        pytest.param(("sandbox", "--port", "99999"), "65535", id="port"),
        pytest.param(("sandbox", "--accounts", "0"), "1 account", id="accounts"),
    ],
)
async def test_wrong_usage_is_one_block_and_exit_code_2(
    run: Run, arguments: tuple[str, ...], message: str, acme: dict[str, str], sandbox: Sandbox
) -> None:
    ended = await run(*arguments, **acme)

    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert "cure: " not in ended.err
    assert sandbox.requests == []


@pytest.mark.parametrize("option", ["--api-key", "--key", "--apikey"])
@pytest.mark.parametrize("form", ["{option}={key}", "{option} {key}"])
async def test_a_key_as_an_argument_is_refused_and_not_repeated(
    run: Run, option: str, form: str
) -> None:
    # `run` asserts that the key is nowhere in the output.
    ended = await run("sequences", "list", *form.format(option=option, key=KEY).split())

    assert ended.code == 2
    assert "--api-key-file" in ended.err


async def test_without_a_key_it_says_where_to_put_one(run: Run, acme: dict[str, str]) -> None:
    del acme["INVOICEXPRESS_API_KEY"]

    ended = await run("sequences", "list", **acme)

    assert ended.code == 2
    assert "set INVOICEXPRESS_API_KEY" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("sequences", "create", "2027"), id="create"),
        pytest.param(("sequences", "ensure", "2027"), id="ensure"),
        pytest.param(("sequences", "register", "1"), id="register"),
    ],
)
async def test_what_cannot_be_undone_needs_yes_where_nobody_can_be_asked(
    run: Run, arguments: tuple[str, ...], acme: dict[str, str]
) -> None:
    acme["INVOICEXPRESS_BASE_URL"] = "https://{account}.app.invoicexpress.invalid"

    ended = await run(*arguments, "--json", **acme)

    assert ended.code == 2
    assert ended.failure["error"] == "ConfigurationError"
    assert "--yes" in str(ended.failure["message"])


# Sequences


async def test_the_sequences_of_an_account_from_create_to_default(
    run: Run, acme: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.add_sequence("acme", "2026", is_default=True)

    created = await run("sequences", "create", "2027", "--json", **acme)
    identity = str(created.lines[0]["id"])
    again = await run("sequences", "ensure", "2027", "--json", **acme)
    current = await run("sequences", "set-current", identity, **acme)
    listed = await run("sequences", "list", **acme)
    shown = await run("sequences", "get", identity, **acme)

    assert (created.code, again.code, current.code, listed.code, shown.code) == (0,) * 5
    assert again.lines[0]["created"] is False
    assert re.search(rf"^{identity} +2027 +yes +registered", listed.out, re.MULTILINE)
    assert re.search(r"^\d+ +2026 +- +registered", listed.out, re.MULTILINE)
    assert re.search(r"^invoice +0 +\d+ +[A-Z]{4}\d{4} +registered", shown.out, re.MULTILINE)
    assert len(sandbox.sequences("acme")) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("create", "2027"), "Created.\n2027 (id ", id="create"),
        pytest.param(("ensure", "2026"), "It was there already.\n2026 (id ", id="ensure"),
        pytest.param(
            ("register", "{id}"), "Registered.\n2026 (id {id}): registered", id="register"
        ),
        pytest.param(("set-current", "{id}"), "(id {id}) is the default", id="set-current"),
    ],
)
async def test_each_change_says_to_people_what_it_did(
    run: Run, acme: dict[str, str], sandbox: Sandbox, arguments: tuple[str, ...], said: str
) -> None:
    identity = sandbox.add_sequence("acme", "2026", is_registered=False).id

    ended = await run("sequences", *(one.format(id=identity) for one in arguments), **acme)

    assert ended.code == 0
    assert said.format(id=identity) in ended.out


async def test_register_gives_an_unregistered_sequence_its_codes(
    run: Run, acme: dict[str, str], sandbox: Sandbox
) -> None:
    row = sandbox.add_sequence("acme", "2027", is_registered=False)

    ended = await run("sequences", "register", row.id, "--json", **acme)

    assert ended.code == 0
    assert ended.lines[0]["registration"] == "registered"


async def test_the_key_may_be_in_a_file_and_an_open_file_is_warned_of(
    run: Run, acme: dict[str, str], tmp_path: Path
) -> None:
    del acme["INVOICEXPRESS_API_KEY"]
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")

    path.chmod(0o644)
    opened = await run("sequences", "list", "--api-key-file", path, **acme)
    path.chmod(0o600)
    closed = await run("sequences", "list", "--api-key-file", path, **acme)

    assert (opened.code, closed.code) == (0, 0)
    assert "chmod 600" in opened.err
    assert closed.err == ""


@pytest.mark.parametrize(
    ("settings", "ending"),
    [
        pytest.param({"api_key": "another"}, (1, "AuthenticationError"), id="401"),
        pytest.param({"has_at_credentials": False}, (1, "TaxAuthorityCredentialsError"), id="004"),
        pytest.param(
            {"refused_document_types": ("quote",)}, (1, "PartialRegistrationError"), id="partial"
        ),
        pytest.param({"refusals": {"create": (500, "")}}, (3, "OutcomeUnknownError"), id="unknown"),
    ],
)
async def test_a_failure_is_reported_to_people_and_machines(
    run: Run, acme: dict[str, str], sandbox: Sandbox, settings: Json, ending: tuple[int, str]
) -> None:
    code, error = ending
    settings = {"name": "acme", "api_key": KEY} | settings
    sandbox.update_account(SandboxAccount(**settings))  # type: ignore[arg-type]  # from a table
    arguments = ("sequences", "ensure", "2027", "--timeout", "0.9")

    machine = await run(*arguments, "--json", **acme)
    person = await run(*arguments, **acme)

    assert (machine.code, machine.out, machine.failure["error"]) == (code, "", error)
    assert machine.failure["account"] == "acme"
    assert person.code == code
    assert person.err.startswith("error: ")
    assert "account acme" in person.err
    assert "cure: " in person.err
    assert ("keep: {" in person.err) == (code == 3)


async def test_a_server_s_text_cannot_steer_the_terminal(
    run: Run, acme: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.add_sequence("acme", "\x1b[2J[bold]2027")

    ended = await run("sequences", "list", **acme)

    assert "\x1b" not in ended.out
    assert "[2J[bold]2027" in ended.out


# Provision


async def test_provision_as_json_is_one_object_a_line_and_a_summary(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    path, report = accounts_file(tmp_path, sandbox, 30), tmp_path / "report.csv"
    arguments = ("provision", path, "--serie", "2027", "--default", "--base-url", sandbox.base_url)

    ended = await run_process(*arguments, "--json", "--report", report)

    *outcomes, summary = ended.lines
    assert ended.code == 0
    assert {one["state"] for one in outcomes} == {"done"}
    assert len({one["account"] for one in outcomes}) == 30
    counts = cast("Json", summary["counts"])
    assert {state: count for state, count in counts.items() if count} == {"done": 30}
    assert (summary["is_complete"], summary["created"], summary["not_run"]) == (True, 30, 0)
    assert sandbox.count("POST", "/sequences.json") == 30
    assert KEY not in report.read_text()
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 * 15
    assert {row["registration"] for row in rows} == {"registered", "not_applicable"}


async def test_provision_for_people_fits_the_width_and_shows_the_cures(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 30)
    for name, settings in (
        ("account-3", {"has_at_credentials": False}),
        ("account-4", {"has_at_credentials": False}),
        ("account-5", {"refused_document_types": ("transport", "devolution")}),
    ):
        reported = {"name": name, "api_key": KEY} | cast("Json", settings)
        sandbox.update_account(SandboxAccount(**reported))  # type: ignore[arg-type]  # from a table

    ended = await run("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    assert ended.code == 1
    assert max(map(len, ended.out.splitlines())) <= 100
    assert "… 10 more" in ended.out
    assert re.search(r"refused +422/004 +2 +account-3 +Set the AT sub-user", ended.out)
    assert re.search(r"^account-5 +partial +\d+ +\w+ ( *✓){7} +✗ +✗ +✓", ended.out, re.MULTILINE)
    assert "27 done (27 created)  1 partial  2 refused  of 30 rows" in ended.out
    assert "30/30 27 done, 1 partial, 2 refused" in ended.err


async def test_what_is_unknown_is_handed_over_and_ends_with_3(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path, report = accounts_file(tmp_path, sandbox, 3), tmp_path / "report.csv"
    sandbox.update_account(
        SandboxAccount(name="account-1", api_key=KEY, refusals={"create": (500, "")})
    )
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    ended = await run(*arguments, "--timeout", "0.9", "--report", report)

    assert ended.code == 3
    assert re.search(r"unknown +- +1 +account-1 +Give its intent to", ended.out)
    assert ended.err.splitlines()[-1] == f"1 unknown: their intents are in {report}."
    with report.open(newline="") as file:
        kept = [row["intent"] for row in csv.DictReader(file) if row["intent"]]
    reported = [json.loads(text) for text in kept]
    assert [(intent["account"], intent["serie"]) for intent in reported] == [("account-1", "2027")]


async def test_many_unknown_outcomes_are_reported_in_few_lines(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 8)
    for name in sandbox.accounts:
        sandbox.update_account(
            SandboxAccount(name=name, api_key=KEY, refusals={"create": (500, "")})
        )
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)
    people = await run(*arguments, "--timeout", "0.9")
    machines = await run(*arguments, "--timeout", "0.9", "--json")

    assert (people.code, machines.code) == (3, 3)
    assert "8 unknown: --journal, --report or --json keeps all intents:" in people.err
    assert people.err.count("keep this: {") == 5
    assert people.err.splitlines()[-1] == "  and 3 more"
    assert machines.err.splitlines()[-1] == "8 unknown: their intents are on stdout."


async def test_provision_names_bad_rows_and_sends_nothing(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 2)
    with path.open("a") as file:
        file.write(f"{KEY} x;{KEY}\n\nacme;\n")

    ended = await run("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    assert ended.code == 2
    assert "line 4: account is not" in ended.err
    assert "line 6: api_key is empty" in ended.err
    assert ended.err.count("nothing was sent") == 1
    assert sandbox.requests == []


async def test_an_offline_dry_run_shows_the_rows_and_sends_nothing(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 3)
    to = ("--base-url", sandbox.base_url)
    arguments = ("provision", path, "--serie", "2027", *to, "--dry-run", "--offline")

    people, machines = await run(*arguments), await run(*arguments, "--json")

    assert (people.code, machines.code) == (0, 0)
    assert "serie '2027' on 3 accounts" in people.err
    *rows, summary = machines.lines
    assert [one["account"] for one in rows] == ["account-0", "account-1", "account-2"]
    assert (summary["type"], summary["rows"], summary["differences"]) == ("summary", 3, 0)
    assert sandbox.requests == []


async def test_provision_of_real_accounts_asks_and_without_a_terminal_needs_yes(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 1)
    real = ("--base-url", "https://{account}.app.invoicexpress.invalid")

    ended = await run("provision", path, "--serie", "2027", *real)

    assert ended.code == 2
    assert "add --yes" in ended.err


async def test_a_report_that_cannot_be_written_is_reported_before_anything_is_sent(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 1)
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    ended = await run(*arguments, "--report", tmp_path / "nowhere" / "report.csv")

    assert ended.code == 2
    assert sandbox.requests == []


# On a terminal


def on_terminal(
    *arguments: object, question: str = "[y/N]", answer: str = "", **variables: str
) -> tuple[int, str]:
    """Run with a pseudo-terminal of 100 columns as stdin, stdout and stderr."""
    child, terminal = pty.fork()
    if child == 0:
        command = [*PROGRAM, *map(str, arguments)]
        os.execvpe(command[0], command, environment(TERM="xterm", **variables))  # noqa: S606 - ours
    shown = b""
    silent_seconds = 0
    while silent_seconds < 30:
        if not select.select([terminal], [], [], 1.0)[0]:
            silent_seconds += 1
            if answer == "\x03" and question.encode() in shown and b"Interrupted" not in shown:
                os.write(terminal, b"\x03")  # a person would press it again, too
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            break
        is_asked = question.encode() in shown
        shown += piece
        if answer and not is_asked and question.encode() in shown:
            os.write(terminal, answer.encode())
    else:
        os.kill(child, signal.SIGKILL)  # it has said nothing for so long: it hangs
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")


def pieces(terminal: int) -> Iterator[bytes]:
    while select.select([terminal], [], [], 30.0)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            return
        if not piece:
            return
        yield piece


async def test_the_demo_shows_a_bar_and_the_table_and_what_to_type_next() -> None:
    code, shown = await asyncio.to_thread(on_terminal, "demo")

    assert code == 0
    assert "━━━━━" in shown
    assert "300/300" in shown
    assert "296 done" in shown
    assert "on purpose" in shown
    assert "invoicexpress_async provision accounts.csv" in shown


async def test_the_demo_needs_no_terminal() -> None:
    ended = await run_process("demo")

    assert ended.code == 0
    assert "300/300 296 done, 1 partial, 3 refused" in ended.err
    table, _, next_steps = ended.out.partition("Now your own account")
    assert "export INVOICEXPRESS_ACCOUNT" in next_steps
    fixed = re.sub(r"\S+ -m invoicexpress_async", "invoicexpress", next_steps).splitlines()
    assert max(map(len, (*fixed, *ended.out.splitlines()[:3]))) <= 100
    assert max(map(len, table.splitlines())) <= 100


async def test_on_a_terminal_it_asks_and_anything_but_yes_sends_nothing(
    acme: dict[str, str],
) -> None:
    acme["INVOICEXPRESS_BASE_URL"] = "https://{account}.app.invoicexpress.invalid"

    code, shown = await asyncio.to_thread(
        on_terminal, "sequences", "create", "2027", answer="perhaps\n", **acme
    )

    assert code == 1
    assert "https://acme.app.invoicexpress.invalid" in shown
    assert "Nothing was sent." in shown


async def test_on_a_terminal_the_key_is_asked_for_and_not_shown(acme: dict[str, str]) -> None:
    del acme["INVOICEXPRESS_API_KEY"]

    code, shown = await asyncio.to_thread(
        on_terminal, "sequences", "list", question="shown)", answer=f"{KEY}\n", **acme
    )

    assert code == 0
    assert "no sequences" in shown
    assert KEY not in shown


# The sandbox


async def test_the_sandbox_serves_until_a_signal_and_what_it_prints_can_be_used(
    run: Run, start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.csv"
    arguments = ("sandbox", "--port", "0", "--accounts", "7", "--write-accounts", str(path))
    server = await start(*arguments)
    assert server.stdout is not None
    printed = ""
    while "Ctrl-C" not in printed:
        printed += (await server.stdout.readline()).decode()
    variables = dict(re.findall(r"export (\w+)='?([^'\s]+)", printed))

    ensured = await run("sequences", "ensure", "2027", "--json", **variables)
    base_url = variables["INVOICEXPRESS_BASE_URL"]
    provisioned = await run("provision", path, "--serie", "2027", "--base-url", base_url)
    server.send_signal(signal.SIGTERM)

    assert await server.wait() == 0
    assert "… 2 more" in printed
    assert f"provision {path} --serie" in printed
    assert re.search(r"http://\S+:\d+/_sandbox/state.json\n", printed)
    assert ensured.lines[0]["created"] is True
    assert provisioned.code == 0
    assert "7 done (6 created)" in provisioned.out
    assert path.stat().st_mode & 0o077 == 0


async def test_the_sandbox_takes_accounts_from_a_file_and_keeps_its_state(
    run: Run, start: Start, tmp_path: Path
) -> None:
    path, state = tmp_path / "accounts.csv", tmp_path / "state.json"
    path.write_text("account,api_key\nacme,sandbox-key\n")
    arguments = ("sandbox", "--json", "--port", "0", "--state", state, "--accounts-csv", path)
    for is_first in (True, False):
        server = await start(*arguments)
        assert server.stdout is not None
        reported = json.loads(await server.stdout.readline())
        ended = await run(
            *("sequences", "ensure", "2027", "--json", "--account", "acme"),
            INVOICEXPRESS_BASE_URL=reported["base_url"],
            INVOICEXPRESS_API_KEY="sandbox-key",
        )
        server.send_signal(signal.SIGINT)
        assert await server.wait() == 0
        assert reported["accounts"] == [{"account": "acme", "api_key": "sandbox-key"}]
        assert ended.lines[0]["created"] is is_first


async def test_a_port_that_is_taken_is_reported_in_one_block(run: Run, sandbox: Sandbox) -> None:
    ended = await run("sandbox", "--port", sandbox.port)

    assert ended.code == 2
    assert f"error: The sandbox cannot run: port {sandbox.port} is in use" in ended.err
    assert "--port 0" in ended.err


def test_an_option_of_a_run_fills_the_setting_of_its_name() -> None:
    names = {field.name for field in attrs.fields(SettingsOptions)}
    job = JobOptions(
        resend_absent_after=900.0, retry_refused=True, accept_changes=True, journal="postgresql://a"
    )

    assert names <= {field.name for field in attrs.fields(RunSettings)}
    assert WorkerOptions(retry_refused=True).settings() == RunSettings(retry_refused=True)
    assert job.settings() == RunSettings(
        resend_absent_after=900.0, retry_refused=True, accept_changes=True, accept_added=True
    )
