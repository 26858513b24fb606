"""`invoicexpress demo`: a whole job in a few seconds, without an account or a network."""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.resources import as_file, files
from typing import Final

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.options import RunOptions
from invoicexpress_async.cli.plan_run import PlanRun
from invoicexpress_async.cli.shell import DONE, INTERRUPTED, next_year, program
from invoicexpress_async.cli.signals import run_to_its_end
from invoicexpress_async.config import Secret
from invoicexpress_async.provisioning import Plan
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

_OPTIONS: Final = RunOptions(concurrency=50)


# Accounts that are set up wrongly, by line. About one in fifty: few enough to read, with every kind
# that customers meet.
_SEEDED_FAULTS: Final[Mapping[int, Callable[..., SandboxAccount]]] = {
    46: partial(SandboxAccount, has_at_credentials=False),
    111: partial(SandboxAccount, refused_document_types=("transport", "devolution")),
    175: partial(SandboxAccount, has_open_activity=False),
    238: partial(SandboxAccount, has_at_credentials=False),
}


def demo() -> int:
    """Ensure next year's serie on 300 made-up accounts, on a server inside this process.

    Some of the accounts are set up wrongly on purpose, to show how that looks.
    """
    serie = next_year()
    with as_file(files("invoicexpress_async") / "data" / "demo_accounts.csv") as path:
        plan = Plan.from_csv(path, serie=serie, default=True)
    sys.stdout.write(
        f"A sandbox in this process plays InvoiceXpress.\nSerie {serie}, as the default, on "
        f"{len(plan.rows)} made-up accounts:\n\n"
    )
    sys.stdout.flush()
    if run_to_its_end(_run(plan)) == INTERRUPTED:
        return INTERRUPTED
    sys.stdout.write(_ending(serie))
    return DONE


async def _run(plan: Plan) -> int:
    async with (
        Sandbox(accounts=_accounts(plan)) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        return await PlanRun(manager=manager, plan=plan, options=_OPTIONS).run()


def _accounts(plan: Plan) -> Iterator[SandboxAccount]:
    for row in plan.rows:
        if isinstance(row.api_key, Secret):
            account = _SEEDED_FAULTS.get(row.line, SandboxAccount)
            yield account(name=row.account, api_key=row.api_key.reveal())


def _ending(serie: str) -> str:
    called, year, faults = program(), next_year(), len(_SEEDED_FAULTS)
    return f"""
The {faults} that are not done are so on purpose: this is how they look,
with what to do.

Now your own account (look first, nothing is changed):

  export INVOICEXPRESS_ACCOUNT=acme  # of https://acme.app.invoicexpress.com
  export INVOICEXPRESS_API_KEY=...   # Account > API, in InvoiceXpress
  {called} sequences list

then, for one account, and for all of a CSV with the columns account,api_key:

  {called} sequences ensure {serie} --default
  {called} provision accounts.csv --serie {serie} --default \\
    --journal job.db --dry-run

or, once a year, for each account the serie that follows its own, such as FR2027
after FR2026:

  {called} rollover accounts.csv --year {year} \\
    --journal {year}.db --dry-run

or a server to try on:  {called} sandbox
"""
