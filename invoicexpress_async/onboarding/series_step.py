"""The series step: a company's first sequence, carried out as provisioning carries out its rows."""

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.onboarding.companies_table import CompanyLog
from invoicexpress_async.onboarding.task import Traveller
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.runner import Carrier
from invoicexpress_async.provisioning.task import Ticket
from invoicexpress_async.session import SessionManager


@attrs.frozen(kw_only=True)
class _CompanyCarrier(Carrier):
    """Keeps the intents of one company where its other steps stand."""

    company_log: CompanyLog
    on: Traveller

    async def _intend(self, ticket: Ticket, intent: Intent) -> None:
        await self.company_log.intend(self.on.company, intent)
        await super()._intend(ticket, intent)


@attrs.frozen(kw_only=True)
class SeriesStep:
    """Ensures the first sequence of companies, as their default.

    Attributes:
        manager: Whose connections are used, under the new accounts' own keys and limits.
        log: The journal's part of it.
    """

    manager: SessionManager
    log: CompanyLog

    async def ensure(self, on: Traveller, name: str, key: Secret) -> RowOutcome:
        """Give the sequence a turn: read for what is in doubt, else ensure it."""
        if on.ticket is None:
            on.ticket = _ticket(on, name, key)
        carrier = _CompanyCarrier(
            manager=self.manager,
            log=None,
            stop=RunStop(),  # the company's whole turn is cut off, and this with it
            may_default=_always,
            is_staged=False,
            company_log=self.log,
            on=on,
        )
        outcome = await carrier.carry(on.ticket)
        on.ticket.last = outcome
        return outcome


def _ticket(on: Traveller, name: str, key: Secret) -> Ticket:
    row = PlanRow(account=name, api_key=key, serie=on.company.serie, is_default=True)
    if on.intent is None:
        return Ticket(row=row)
    record = on.record
    return Ticket(
        row=row,
        intent=on.intent,
        intended_at=record.intended_at,
        absent_since=record.absent_since,
    )


def _always() -> bool:
    return True
