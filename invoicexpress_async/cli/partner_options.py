"""The options of the commands that a partner gives: for the accounts of its companies."""

from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.options import ConnectionOptions


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class PartnerOptions(ConnectionOptions):
    """The partner's own account and where its key is."""

    partner: Annotated[
        str | None,
        Parameter(
            name=("--partner", "--account"),
            env_var="INVOICEXPRESS_ACCOUNT",
            help="The partner's own account, as in https://NAME.app.invoicexpress.com.",
        ),
    ] = None
    api_key_file: Annotated[
        Path | None,
        Parameter(
            help="A file that holds the partner's key. Else INVOICEXPRESS_API_KEY, else it is "
            "asked for."
        ),
    ] = None
