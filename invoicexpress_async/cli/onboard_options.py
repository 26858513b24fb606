"""The options of `invoicexpress onboard` that have a default."""

from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

_DEFAULT_CONCURRENCY: Final = 50


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class OnboardOptions:
    """How to carry it out, and what to keep of it."""

    accept_terms: Annotated[
        bool,
        Parameter(negative=(), help="The provider's terms are accepted for each account."),
    ] = False
    spool: Annotated[
        Path | None,
        Parameter(
            help="Where new keys are until they are delivered, private (0600); by default beside "
            "--keys-out. Without it, a key that is not delivered is lost."
        ),
    ] = None
    resend_absent_after: Annotated[
        float | None,
        Parameter(
            help="Seconds, 900 or more: send again what was lost on the way and what two lists, "
            "so far apart, do not show. Without it, never. For a first serie, not for an account."
        ),
    ] = None
    retry_refused: Annotated[
        bool, Parameter(negative=(), help="Try again what the journal has as refused.")
    ] = False
    forget: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            negative=(),
            show_default=False,
            help="Fiscal numbers of which you have seen, in the provider's own pages, that no "
            "account exists although its create was sent: it is sent again.",
        ),
    ] = ()
    concurrency: Annotated[int, Parameter(help="Companies in flight at a time.")] = (
        _DEFAULT_CONCURRENCY
    )
    report: Annotated[
        Path | None, Parameter(help="Write all that became of it here: Markdown in .md, else CSV.")
    ] = None
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Show what would be done, and send nothing.")
    ] = False
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask first.")] = False
