"""The options that commands share."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import attrs
from cyclopts import Parameter, Token

from invoicexpress_async.cli.shell import printable
from invoicexpress_async.cli.words import Language, word
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.postgres import PostgresJournal, is_url
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY
from invoicexpress_async.provisioning import RunSettings, SqliteJournal

_NAMES: Final = Parameter(consume_multiple=True)

JournalPlace: TypeAlias = Path | str
"""The place of a journal: a path, or a `postgresql://` URL as a str."""

DATABASE_URL: Final = "postgresql:// URL"
"""The name of a database for the help. A new store is added here and in `jobs/stored.py`."""


def parse_place(_type: object, tokens: Sequence[Token]) -> JournalPlace:
    """Return the place of a journal that an argument gives."""
    text = tokens[0].value
    return text if is_url(text) else Path(text)


def journal_at(place: JournalPlace, *, shared: bool = False) -> SqliteJournal | PostgresJournal:
    if isinstance(place, str):
        return PostgresJournal(place)  # always shared
    return SqliteJournal(place, shared=shared)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class ConnectionOptions:
    """The address, the deadline, and the form of the output."""

    base_url: Annotated[
        str | None,
        Parameter(
            env_var="INVOICEXPRESS_BASE_URL",
            help="The API's address with {account} in it; the provider's own by default.",
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Parameter(
            env_var="INVOICEXPRESS_PROXY",
            help="The URL of a proxy; best by the variable when it holds a password.",
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
        bool, Parameter(name="--json", help="JSON on stdout, errors as JSON on stderr.")
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
            help="A file that holds the key. Else INVOICEXPRESS_API_KEY, else you are asked."
        ),
    ] = None


@Parameter(name="*")
@attrs.frozen(kw_only=True, slots=False)  # a job inherits from more than one set of options
class ReportOptions:
    """Whether to write a report, and how."""

    report: Annotated[
        Path | None,
        Parameter(
            help="Write every outcome to this file; its ending selects the kind: .html (a page for "
            "people), .xlsx, .csv, .md."
        ),
    ] = None
    report_format: Annotated[
        Literal["csv", "excel-pt"],
        Parameter(
            help="The form of a .csv: excel-pt has ; between cells, a BOM and the decimal comma."
        ),
    ] = "csv"
    language: Annotated[
        Language, Parameter(help="The language of the report, the summary and what to do.")
    ] = "en"

    @property
    def is_excel_pt(self) -> bool:
        return self.report_format == "excel-pt"

    def said(self, text: str, **values: object) -> str:
        return word(text, self.language, **values)


@Parameter(name="*")
@attrs.frozen(kw_only=True, slots=False)  # a job inherits from more than one set of options
class SelectionOptions:
    """Which of the file are meant."""

    only: Annotated[
        tuple[str, ...],
        _NAMES,
        Parameter(
            help="Only these of the file: names of accounts, or fiscal numbers of companies. The "
            "plan and the journal stay those of the whole file."
        ),
    ] = ()
    exclude: Annotated[
        tuple[str, ...], _NAMES, Parameter(help="All of the file except these.")
    ] = ()
    limit: Annotated[int | None, Parameter(help="Only the first ones of the file, this many.")] = (
        None
    )

    def choose(self, names: Iterable[str]) -> frozenset[str] | None:
        """Return the chosen names; None for all."""
        if not (self.only or self.exclude or self.limit is not None):
            return None
        if self.limit is not None and self.limit < 1:
            raise ConfigurationError("Give a --limit of 1 or more.")
        known = list(dict.fromkeys(names))
        only, exclude = _split(self.only), _split(self.exclude)
        for option, texts, given in (
            ("--only", self.only, only),
            ("--exclude", self.exclude, exclude),
        ):
            if texts and not given:  # as of an empty variable of a shell: it does not mean all
                raise ConfigurationError(f"{option} is given and names nothing.")
            if absent := sorted(given - set(known)):
                raise ConfigurationError(
                    f"{option} names {printable(absent[0])!r}, which the file has not."
                )
        left = (one for one in known if (not only or one in only) and one not in exclude)
        chosen = frozenset(islice(left, self.limit))
        if not chosen:
            raise ConfigurationError("--only and --exclude leave nothing of the file.")
        return chosen


Yes = Annotated[bool, Parameter(help="Do not ask first.")]


@Parameter(name="*")
@attrs.frozen(kw_only=True, slots=False)
class SettingsOptions:
    """What a run may do, whichever command begins it.

    A field here has the name of the field of `RunSettings` that it fills.
    """

    resend_absent_after: Annotated[
        float | None,
        Parameter(
            help="Send a lost serie again when two lists, this many seconds apart (900 or more), "
            "do not show it. Without it, never; and an account, never."
        ),
    ] = None
    retry_refused: Annotated[bool, Parameter(help="Try again what the journal has as refused.")] = (
        False
    )

    def settings(self) -> RunSettings:
        fields = (field.name for field in attrs.fields(RunSettings))
        return RunSettings(**{name: getattr(self, name) for name in fields if hasattr(self, name)})


@Parameter(name="*")
@attrs.frozen(kw_only=True, slots=False)
class RunOptions(SettingsOptions, SelectionOptions, ReportOptions):
    """How to run any job, and what to keep of it."""

    concurrency: Annotated[int, Parameter(help="Accounts or companies in flight at a time.")] = (
        DEFAULT_CONCURRENCY
    )
    dry_run: Annotated[bool, Parameter(help="Show what would be done, and change nothing.")] = False
    yes: Yes = False


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class JobOptions(RunOptions):
    """How to run the rows of a plan."""

    journal: Annotated[
        JournalPlace | None,
        Parameter(
            converter=parse_place,
            help="Keep the plan and its outcome in this file, or in the database of a "
            f"{DATABASE_URL} without a password, from before anything is sent. "
            "The same command goes on where the last run ended, whatever ended it.",
        ),
    ] = None
    shared_journal: Annotated[
        bool,
        Parameter(
            help="Let other runs and services use the journal at the same time, if they share it "
            "too: each row is done once, by one of them."
        ),
    ] = False
    plan_only: Annotated[
        bool,
        Parameter(
            help="Enter the plan into the database of --journal, and leave the work to workers."
        ),
    ] = False
    accept_changes: Annotated[
        bool, Parameter(help="Go on although the file and the journal differ.")
    ] = False

    @property
    def accept_added(self) -> bool:
        return isinstance(self.journal, str)  # the rows after those of a pilot come later


def check_job_options(options: JobOptions) -> None:
    """Refuse options that contradict each other."""
    check_concurrency(options.concurrency)
    needing = {
        "--retry-refused": options.retry_refused,
        "--accept-changes": options.accept_changes,
        "--shared-journal": options.shared_journal,
    }
    for name, is_given in needing.items():
        if is_given and options.journal is None:
            raise ConfigurationError(f"{name} needs a journal: name it with --journal.")
    if options.plan_only and not isinstance(options.journal, str):
        raise ConfigurationError(
            f"--plan-only needs a journal that workers share: name a {DATABASE_URL} with --journal."
        )
    if options.plan_only and options.retry_refused:
        raise ConfigurationError(
            "--plan-only does not open refused rows again: cure the causes, and run the same "
            "command with --retry-refused and without --plan-only, beside the workers or not."
        )
    if options.plan_only and options.report is not None:
        raise ConfigurationError(
            "--plan-only has no outcomes for a --report: `invoicexpress status` of the same "
            "journal writes one, with --report."
        )


def check_concurrency(concurrency: int) -> None:
    if concurrency < 1:
        raise ConfigurationError("Give a --concurrency of 1 or more.")


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
            help="A file that holds the partner's key. Else INVOICEXPRESS_API_KEY, else you are "
            "asked."
        ),
    ] = None


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class OnboardOptions(RunOptions):
    """How to onboard companies."""

    accept_terms: Annotated[
        bool, Parameter(help="The provider's terms are accepted for each account.")
    ] = False
    series_by_workers: Annotated[
        bool,
        Parameter(
            help="Leave the first series to the workers that share the database of --journal, "
            "and wait for them."
        ),
    ] = False
    spool: Annotated[
        Path | None,
        Parameter(
            help="Where new keys are until they are delivered, private (0600); by default beside "
            "--keys-out. Without it, a key that is not delivered is lost."
        ),
    ] = None
    forget: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            help="Fiscal numbers whose create was sent and that have no account, as you have seen "
            "in the provider's own pages: it is sent again.",
        ),
    ] = ()


def _split(given: Iterable[str]) -> set[str]:
    parts = (part.strip().lower() for one in given for part in one.split(","))
    return {part for part in parts if part}
