"""What the journal says of companies: no secret, nor anything that one could be had from."""

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import attrs
import cattrs

from invoicexpress_async.jobs.journal import JournalDifferenceError
from invoicexpress_async.jobs.sqlite_writer import Writer
from invoicexpress_async.jobs.timestamps import Moment
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.onboarding.company import Company, fold_fiscal_id
from invoicexpress_async.onboarding.credential_history import CredentialBook
from invoicexpress_async.onboarding.report import CompanyOutcome, CompanyState, CompanyStep
from invoicexpress_async.protocol.intents import structure_intent

_OPEN: Final = "open"
# What a journal of an earlier version lacks is added to it.
_LATER_COLUMNS: Final = ("intended_at", "absent_since")
_ANOTHER: Final = (
    "Take the company out of the input, or give the fiscal number, e-mail and account that the "
    "journal has: two accounts of one fiscal number split its numbering for good."
)
_OF_CREDENTIALS: Final = frozenset({"TaxAuthorityCredentialsError", "RepeatedCredentialsError"})


@attrs.frozen(kw_only=True)
class CompanyRecord:
    """What is on the disk about a company.

    Attributes:
        step: Where it stands.
        state: "open", or how it ended there.
        intent: Of the send that may be in doubt.
        account_id: Of its account, once known.
        account_name: Of its account, once known.
        at_sends: How many sends of AT credentials were cut off: of which ones is not known.
        book: What is known of the AT credentials that were sent.
        intended_at: When the last intent was.
        absent_since: When a complete list first did not show its sequence, late enough to count.
        error: The class of the error it ended with.
        status: Of the refusal it ended with.
        code: Of the refusal it ended with.
    """

    step: CompanyStep = CompanyStep.ACCOUNT
    state: str = _OPEN
    intent: Intent | None = None
    account_id: str | None = None
    account_name: str | None = None
    at_sends: int = 0
    book: CredentialBook = attrs.field(factory=CredentialBook)
    intended_at: Moment | None = None
    absent_since: Moment | None = None
    error: str | None = None
    status: int | None = None
    code: str | None = None

    @property
    def lacks_credentials(self) -> bool:
        """Whether the tax authority would not register its sequence for want of right ones."""
        return self.step is CompanyStep.SERIES and self.error in _OF_CREDENTIALS


class CompanyLog:
    """The companies of one run in its journal."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._converter = cattrs.Converter(forbid_extra_keys=True)

    async def admit(
        self, companies: tuple[Company, ...], also: Collection[str] = ()
    ) -> dict[str, CompanyRecord]:
        """Enter those that are new, and return what is known of all.

        Args:
            companies: Of the run.
            also: Other fiscal numbers to return what is known of.

        Raises:
            JournalDifferenceError: a fiscal number is there already as another company.
        """
        known = await self._writer.run(_read)
        _check(companies, known.values())
        rows = await self._writer.run(lambda connection: _enter(connection, companies))
        wanted = {*also, *(one.fiscal_id for one in companies)} & rows.keys()
        return {fiscal_id: self._record(rows[fiscal_id]) for fiscal_id in wanted}

    async def intend(self, company: Company, intent: Intent) -> None:
        """Put an intent on the disk; only then may its first byte leave."""
        await self._set(
            company,
            state="intent",
            intent=json.dumps(intent),
            intended_at=Moment.now().dump(),
            absent_since=None,
        )

    async def keep_credentials(self, company: Company, sends: int, book: CredentialBook) -> None:
        """Put on the disk what is known of credentials; only then may the next send be made."""
        await self.reach(company, CompanyStep.AT, at_sends=sends, at_mark=book.dump())

    async def reach(self, company: Company, step: CompanyStep, **columns: str | int | None) -> None:
        """Put on the disk that a company has come to a step."""
        await self._set(
            company,
            step=step,
            state=_OPEN,
            intent=None,
            error=None,
            status=None,
            code=None,
            **columns,
        )

    async def end(self, outcome: CompanyOutcome, **columns: str | int | None) -> None:
        """Put on the disk how a company ended."""
        await self._set(
            outcome.company,
            step=outcome.step,
            state=outcome.state,
            intent=None if outcome.intent is None else json.dumps(outcome.intent),
            error=outcome.error_name,
            status=outcome.status,
            code=outcome.code,
            **columns,
        )

    async def _set(self, company: Company, **columns: str | int | None) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        query = f"UPDATE companies SET {names}, updated_at = ? WHERE fiscal_id = ?"  # noqa: S608  # our own names
        values = (*columns.values(), time.time(), company.fiscal_id)
        await self._writer.run(lambda connection: connection.execute(query, values))

    def _record(self, row: sqlite3.Row) -> CompanyRecord:
        intent = row["intent"]
        return CompanyRecord(
            step=CompanyStep(row["step"]),
            state=row["state"],
            intent=None
            if intent is None
            else structure_intent(json.loads(intent), self._converter),
            account_id=row["account_id"],
            account_name=row["account_name"],
            at_sends=row["at_sends"],
            book=CredentialBook.parse(row["at_mark"]),
            intended_at=_moment(row["intended_at"]),
            absent_since=_moment(row["absent_since"]),
            error=row["error"],
            status=row["status"],
            code=row["code"],
        )


def _moment(text: str | None) -> Moment | None:
    return None if text is None else Moment.parse(text)


def _check(companies: Iterable[Company], known: Iterable[sqlite3.Row]) -> None:
    alike: defaultdict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in known:
        alike[fold_fiscal_id(row["fiscal_id"])].append(row)
        alike[f"account {row['account_name']}"].append(row)
    others = [
        (one, row) for one in companies for row in _alike(one, alike) if _is_another(one, row)
    ]
    if not others:
        return
    first, row = others[0]
    count = len({one.fiscal_id for one, _ in others})
    error = JournalDifferenceError(
        f"{count} fiscal numbers or accounts are in the journal already, as other companies, "
        f"such as {first.fiscal_id} ({first.account.organization_name!r:.60}), which is there as "
        f"{row['fiscal_id']} with the e-mail {row['email']!r:.80}. Nothing was sent.",
        count=count,
    )
    error.cure = _ANOTHER
    raise error


def _alike(company: Company, rows: Mapping[str, list[sqlite3.Row]]) -> list[sqlite3.Row]:
    found = rows.get(fold_fiscal_id(company.fiscal_id), [])
    name = company.known and f"account {company.known.name}"
    return found + (rows.get(name, []) if name else [])


def _is_another(company: Company, row: sqlite3.Row) -> bool:
    # Until its account is sent for, the input may be corrected.
    may_change = row["step"] == CompanyStep.ACCOUNT and row["state"] in {
        _OPEN,
        CompanyState.REFUSED,
        CompanyState.FAILED,
    }
    told = row["fiscal_id"], row["email"].casefold()
    return not may_change and told != (company.fiscal_id, company.account.email.casefold())


_ENTER: Final = """
    INSERT INTO companies (fiscal_id, email, organization_name, step, state, updated_at)
    VALUES (?, ?, ?, 'account', 'open', ?)
    ON CONFLICT DO UPDATE SET email = excluded.email, organization_name = excluded.organization_name
    WHERE step = 'account' AND state IN ('open', 'refused', 'failed')
"""


def _enter(
    connection: sqlite3.Connection, companies: tuple[Company, ...]
) -> dict[str, sqlite3.Row]:
    there = {row[1] for row in connection.execute("PRAGMA table_info(companies)")}
    for name in _LATER_COLUMNS:
        if name not in there:
            connection.execute(f"ALTER TABLE companies ADD COLUMN {name} TEXT")
    connection.executemany(
        _ENTER,
        [
            (one.fiscal_id, one.account.email, one.account.organization_name, time.time())
            for one in companies
        ],
    )
    return _read(connection)


def _read(connection: sqlite3.Connection) -> dict[str, sqlite3.Row]:
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    rows = cursor.execute("SELECT * FROM companies").fetchall()
    return {row["fiscal_id"]: row for row in rows}
