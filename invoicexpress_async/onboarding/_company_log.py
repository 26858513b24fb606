"""What the journal says of companies. No secret is in it, nor anything a secret could be had from.

What stands there of refused AT credentials is a slow, salted hash, to see whether they changed.
"""

import hashlib
import hmac
import json
import os
import sqlite3
import time
from collections.abc import Collection
from typing import Final

import attrs
import cattrs

from invoicexpress_async.account_credentials import AtCredentials
from invoicexpress_async.intent_converter import structure_intent
from invoicexpress_async.models import Intent
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.report import CompanyOutcome, CompanyState, CompanyStep
from invoicexpress_async.provisioning._writer import Writer
from invoicexpress_async.provisioning.journal_error import JournalDifferenceError

_SALT_BYTES: Final = 16
# Some 50 ms and 16 MiB a guess: only refused credentials are ever marked.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1
_OPEN: Final = "open"
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
        at_sends: How many times AT credentials were sent without a known outcome since the last.
        at_mark: What tells whether credentials are those that were refused.
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
    at_mark: str | None = None
    error: str | None = None
    status: int | None = None
    code: str | None = None

    @property
    def lacks_credentials(self) -> bool:
        """Whether the tax authority would not register its sequence for want of right ones."""
        return self.step is CompanyStep.SERIES and self.error in _OF_CREDENTIALS

    def has_refused(self, credentials: AtCredentials) -> bool:
        """Whether these very credentials were refused before."""
        if self.at_mark is None:
            return False
        salt = bytes.fromhex(self.at_mark.partition(":")[0])
        return hmac.compare_digest(self.at_mark, mark(credentials, salt))


def mark(credentials: AtCredentials, salt: bytes | None = None) -> str:
    """Return what tells these credentials from others, and nothing else."""
    salt = salt or os.urandom(_SALT_BYTES)
    told = f"{credentials.subuser}\0{credentials.password.reveal()}".encode()
    digest = hashlib.scrypt(told, salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL)
    return f"{salt.hex()}:{digest.hex()}"


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
        rows = await self._writer.run(lambda connection: _admit(connection, companies))
        others = [one for one in companies if _is_another(one, rows[one.fiscal_id])]
        if others:
            first = others[0]
            raise JournalDifferenceError(
                f"{len(others)} fiscal numbers are in the journal already, as other companies, "
                f"such as {first.fiscal_id} ({first.account.organization_name!r:.60}). Nothing "
                "was sent.",
                count=len(others),
            )
        wanted = {*also, *(one.fiscal_id for one in companies)} & rows.keys()
        return {fiscal_id: self._record(rows[fiscal_id]) for fiscal_id in wanted}

    async def intend(self, company: Company, intent: Intent) -> None:
        """Put an intent on the disk; only then may its first byte leave."""
        await self._set(company, state="intent", intent=json.dumps(intent))

    async def intend_credentials(self, company: Company, sends: int) -> None:
        """Put on the disk that credentials are about to be sent."""
        await self._set(company, at_sends=sends)

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
            at_mark=row["at_mark"],
            error=row["error"],
            status=row["status"],
            code=row["code"],
        )


def _is_another(company: Company, row: sqlite3.Row) -> bool:
    # Until its account is sent for, the input may be corrected.
    may_change = row["step"] == CompanyStep.ACCOUNT and row["state"] in {
        _OPEN,
        CompanyState.REFUSED,
        CompanyState.FAILED,
    }
    return not may_change and row["email"].casefold() != company.account.email.casefold()


_ENTER: Final = """
    INSERT INTO companies (fiscal_id, email, organization_name, step, state, updated_at)
    VALUES (?, ?, ?, 'account', 'open', ?)
    ON CONFLICT DO UPDATE SET email = excluded.email, organization_name = excluded.organization_name
    WHERE step = 'account' AND state IN ('open', 'refused', 'failed')
"""


def _admit(
    connection: sqlite3.Connection, companies: tuple[Company, ...]
) -> dict[str, sqlite3.Row]:
    connection.executemany(
        _ENTER,
        [
            (one.fiscal_id, one.account.email, one.account.organization_name, time.time())
            for one in companies
        ],
    )
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    rows = cursor.execute("SELECT * FROM companies").fetchall()
    return {row["fiscal_id"]: row for row in rows}
