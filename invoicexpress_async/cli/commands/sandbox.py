"""`invoicexpress sandbox`: a local InvoiceXpress."""

import asyncio
import csv
import errno
import io
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.commands.rehearsal import (
    Kind,
    RehearsalOptions,
    check,
    describe,
    prepare,
)
from invoicexpress_async.cli.output import data_console, new_table, write_json, write_new
from invoicexpress_async.cli.shell import DONE, next_year, program
from invoicexpress_async.cli.signals import run_until_signal
from invoicexpress_async.config import Secret, check_account_name
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.provisioning import AccountKeys, KeyReference, Plan
from invoicexpress_async.sandbox import Sandbox, SandboxAccount, serve

_DEFAULT_PORT: Final = 8780  # fixed, so that pasted settings still work after a restart
_MAX_ACCOUNTS_SHOWN: Final = 5
_MAX_PORT: Final = 65535


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class SandboxOptions(RehearsalOptions):
    """Which accounts to make, and where to listen."""

    count: Annotated[int, Parameter(name="--accounts", help="How many to make.")] = 3
    accounts_csv: Annotated[
        Path | None, Parameter(help="Take names and keys from a CSV instead: account, api_key.")
    ] = None
    partner: Annotated[
        str | None,
        Parameter(
            help="Make an account of this name too, which may create accounts: for `onboard`."
        ),
    ] = None
    port: Annotated[int, Parameter(help="Where to listen; 0 for a free one.")] = _DEFAULT_PORT
    state: Annotated[Path | None, Parameter(help="Keep accounts and sequences in this file.")] = (
        None
    )
    language: Annotated[
        Literal["pt", "en"], Parameter(help="The language of the server's messages.")
    ] = "pt"
    write_accounts: Annotated[
        Path | None, Parameter(help="Write names and keys to this CSV, as `provision` takes it.")
    ] = None
    as_json: Annotated[
        bool, Parameter(name="--json", help="Address and accounts as one JSON line.")
    ] = False


def sandbox(*, setup: SandboxOptions = SandboxOptions()) -> int:
    """Run a local InvoiceXpress until Ctrl-C, and print its address, accounts and keys.

    It listens on this machine only. The keys are the sandbox's own and open nothing else.
    """
    if setup.count < 1 or not 0 <= setup.port <= _MAX_PORT:
        raise ConfigurationError(f"Give 1 account or more, and a port from 0 to {_MAX_PORT}.")
    check(setup)
    problem = ""
    try:
        accounts = _accounts(setup)
        requested = {_name(one) for one in accounts} - {(setup.partner or "").lower()}
        sandbox = _sandbox(setup, accounts)
        unlike = prepare(sandbox, [one for one in sandbox.accounts if one in requested], setup)
        run_until_signal(serve(sandbox, on_start=lambda one: _announce(one, setup, unlike)))
    except KeyboardInterrupt:
        sys.stderr.write("The sandbox has ended.\n")
    except (BrokenPipeError, ConfigurationError):
        raise
    except (OSError, ValueError) as error:
        problem = str(error)
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            problem = f"port {setup.port} is in use. Take a free one with --port 0."
    if problem:
        raise ConfigurationError(f"The sandbox cannot run: {problem}")
    return DONE


def _sandbox(setup: SandboxOptions, accounts: list[SandboxAccount | str]) -> Sandbox:
    partner = None if setup.partner is None else check_account_name(setup.partner)
    if partner is not None and partner not in map(_name, accounts):
        accounts.insert(0, partner)
    sandbox = Sandbox(
        accounts=accounts, port=setup.port, state_file=setup.state, language=setup.language
    )
    if partner is not None:
        # Not as an argument of the server: that would replace the key in the state file.
        sandbox.update_account(attrs.evolve(sandbox.accounts[partner], is_partner=True))
    return sandbox


def _name(account: SandboxAccount | str) -> str:
    return account if isinstance(account, str) else account.name


def _accounts(setup: SandboxOptions) -> list[SandboxAccount | str]:
    if setup.accounts_csv is None:
        # By name only, so that an account in the state file keeps its key.
        return [f"sandbox-{number}" for number in range(1, setup.count + 1)]
    # The serie is not used here, but a plan needs one.
    plan = Plan.from_csv(setup.accounts_csv, serie=next_year())
    keys = {row.account: row.api_key for row in plan.rows}
    return [
        SandboxAccount(
            name=name,
            api_key=key.reveal() if isinstance(key, Secret) else asyncio.run(_read(name, key)),
        )
        for name, key in keys.items()
    ]


async def _read(account: str, key: KeyReference | AccountKeys) -> str:
    return await (key.read() if isinstance(key, KeyReference) else key(account))


def _announce(sandbox: Sandbox, setup: SandboxOptions, unlike: Mapping[str, Kind]) -> None:
    # The partner first: the commands that are printed use it.
    partner = (setup.partner or "").lower()
    accounts = sorted(sandbox.accounts.values(), key=lambda one: one.name != partner)
    if setup.write_accounts is not None:
        _write_accounts(setup.write_accounts, accounts)
    if setup.as_json:
        keys = [{"account": one.name, "api_key": one.api_key} for one in accounts]
        kinds = {"unlike": dict(unlike)} if unlike else {}
        write_json({"base_url": sandbox.base_url, "accounts": keys, **kinds})
        return
    rows = ((one.name, one.api_key) for one in accounts[:_MAX_ACCOUNTS_SHOWN])
    table, console = new_table("account", "key", rows=rows), data_console()
    console.print(f"InvoiceXpress sandbox at {sandbox.base_url}", table)
    if len(accounts) > _MAX_ACCOUNTS_SHOWN:
        where = setup.write_accounts or "--write-accounts FILE.csv"
        console.print(f"… {len(accounts) - _MAX_ACCOUNTS_SHOWN} more: {where}")
    sys.stdout.write(describe(unlike) + _next_steps(sandbox, accounts[0], setup))
    sys.stdout.flush()


def _next_steps(sandbox: Sandbox, account: SandboxAccount, setup: SandboxOptions) -> str:
    root = sandbox.base_url.removesuffix("/{account}")
    serie, called = next_year(), program()
    file = shlex.quote(str(setup.write_accounts))
    more = (
        f"  {called} provision {file} --serie {serie} --default\n" if setup.write_accounts else ""
    )
    year = setup.serie_of
    if setup.write_accounts and year is not None:
        more += f"  {called} rollover {file} --year {year + 1} --dry-run\n"
    if setup.partner is not None:
        more += (
            f"  {called} onboard companies.csv --partner {account.name} --serie {serie} "
            "--accept-terms \\\n    --keys-out keys.csv --journal onboarding.db\n"
        )
    return f"""\
All that it holds, to look at: {root}/_sandbox/state.json

In another terminal:

  export INVOICEXPRESS_BASE_URL='{sandbox.base_url}'
  export INVOICEXPRESS_ACCOUNT={account.name}
  export INVOICEXPRESS_API_KEY={account.api_key}
  {called} sequences ensure {serie} --default
{more}
Ctrl-C ends it.
"""


def _write_accounts(path: Path, accounts: list[SandboxAccount]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("account", "api_key"))
    writer.writerows((one.name, one.api_key) for one in accounts)
    if path.is_file() and path.read_bytes() == text.getvalue().encode():
        return  # the file of an earlier start, with the same keys
    kept = "is there already, and may hold real keys: it is kept. Name another file"
    write_new(path, text.getvalue(), is_there=kept)
