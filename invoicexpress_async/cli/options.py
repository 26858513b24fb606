"""The options that commands share."""

from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class ConnectionOptions:
    """Where to, how long, and how to answer."""

    base_url: Annotated[
        str | None,
        Parameter(
            env_var="INVOICEXPRESS_BASE_URL",
            help="The API's address with {account} in it; the provider's own by default.",
        ),
    ] = None
    timeout: Annotated[
        float | None,
        Parameter(
            env_var="INVOICEXPRESS_TIMEOUT_SECONDS",
            help="Seconds for each call, with all that it does; 180 by default.",
        ),
    ] = None
    as_json: Annotated[
        bool,
        Parameter(name="--json", negative=(), help="JSON on stdout, errors as JSON on stderr."),
    ] = False


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class AccountOptions(ConnectionOptions):
    """One account and where its key is."""

    account: Annotated[
        str | None,
        Parameter(
            env_var="INVOICEXPRESS_ACCOUNT", help="As in https://NAME.app.invoicexpress.com."
        ),
    ] = None
    api_key_file: Annotated[
        Path | None,
        Parameter(
            help="A file that holds the key. Else INVOICEXPRESS_API_KEY, else it is asked for."
        ),
    ] = None
