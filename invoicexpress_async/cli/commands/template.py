"""`invoicexpress template`: writes a file of accounts or companies to fill in."""

import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from invoicexpress_async.cli.output import write_new
from invoicexpress_async.cli.shell import DONE, echo, program

_STDOUT: Final = Path("-")
_FILES: Final = {
    "accounts": (
        "account;api_key;serie\n"
        "my-account;env:MY_ACCOUNT_KEY;\n"
        "another-account;file:another-account.key;\n"
    ),
    "companies": (
        "organization_name;email;password;fiscal_id;at_subuser;at_password;serie\n"
        "My Company, Lda;office@example.com;env:MY_COMPANY_PASSWORD;501964843;501964843/1;"
        "env:MY_COMPANY_AT_PASSWORD;2027\n"
    ),
}
_NEXT: Final = {
    "accounts": "provision {path} --serie NAME --dry-run",
    "companies": "onboard {path} --keys-out keys.csv --journal job.db --dry-run",
}


def template(
    kind: Annotated[Literal["accounts", "companies"], Parameter(help="What the file is to list.")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="The file; accounts.csv or companies.csv. - is stdout.")
    ] = None,
) -> int:
    """Write a file to begin with; a spreadsheet opens it, and .xlsx is read as well.

    The names in it are made up. Each key and password may be a reference, env:NAME or file:PATH,
    so that the file holds no secret. A file that is there is kept.
    """
    path = out or Path(f"{kind}.csv")
    if path == _STDOUT:
        sys.stdout.write(_FILES[kind])
        return DONE
    kept = "is there already, and is kept: name another with --out"
    write_new(path, _FILES[kind], is_there=kept, encoding="utf-8-sig", newline="\r\n")
    echo(f"Wrote {path}. Fill it in, then: {program()} {_NEXT[kind].format(path=path)}")
    return DONE
