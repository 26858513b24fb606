"""The options of the commands that run a job."""

from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async.errors import ConfigurationError

_DEFAULT_CONCURRENCY: Final = 50


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class JobOptions:
    """How to carry it out, and what to keep of it."""

    journal: Annotated[
        Path | None,
        Parameter(
            help="Keep in this file what is meant and what became of it, before anything is sent. "
            "The same command goes on where it ended, whatever ended it."
        ),
    ] = None
    resend_absent_after: Annotated[
        float | None,
        Parameter(
            help="Seconds, 900 or more: send again what was lost on the way and what two lists, "
            "so far apart, do not show. Without it, never."
        ),
    ] = None
    retry_refused: Annotated[
        bool, Parameter(negative=(), help="Try again what the journal has as refused.")
    ] = False
    accept_changes: Annotated[
        bool, Parameter(negative=(), help="Go on although the file and the journal differ.")
    ] = False
    concurrency: Annotated[int, Parameter(help="Accounts in flight at a time.")] = (
        _DEFAULT_CONCURRENCY
    )
    report: Annotated[
        Path | None, Parameter(help="Write all that became of it here: Markdown in .md, else CSV.")
    ] = None
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Show what would be done, and send nothing for it.")
    ] = False
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask first.")] = False


def check_job_options(options: JobOptions) -> None:
    """Refuse what cannot be meant.

    Raises:
        ConfigurationError: naming the option.
    """
    check_concurrency(options.concurrency)
    needing = {"--retry-refused": options.retry_refused, "--accept-changes": options.accept_changes}
    for name, is_given in needing.items():
        if is_given and options.journal is None:
            raise ConfigurationError(f"{name} is about a journal: name it with --journal.")


def check_concurrency(concurrency: int) -> None:
    """Refuse none.

    Raises:
        ConfigurationError: it is less than 1.
    """
    if concurrency < 1:
        raise ConfigurationError("Give a --concurrency of 1 or more.")
