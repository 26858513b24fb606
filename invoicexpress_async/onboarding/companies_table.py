"""The table of companies in a journal. It holds no secret, and nothing to derive one from."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import attrs

from invoicexpress_async.jobs.claimers import is_dead, is_from_earlier_boot, new_token
from invoicexpress_async.jobs.claims import JournalClaims
from invoicexpress_async.jobs.journal import (
    AT_COMMUNICATION,
    Change,
    Claim,
    Column,
    Commit,
    Entry,
    Journal,
    JournalDifferenceError,
    JournalState,
    Table,
    Value,
)
from invoicexpress_async.jobs.records import RecordReader, make_record_converter
from invoicexpress_async.jobs.sqlite import SqliteJournal
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.onboarding.company import Company, fold_fiscal_id
from invoicexpress_async.onboarding.credential_history import CredentialHistory
from invoicexpress_async.onboarding.errors import CredentialsBusyError
from invoicexpress_async.onboarding.report import CompanyOutcome, CompanyStep

COMPANIES: Final = Table(
    name="companies",
    key=("fiscal_id",),
    columns=(
        Column("email", str),
        Column("organization_name", str),
        Column("step", str),
        Column("intent", str),
        Column("account_id", str),
        Column("account_name", str),
        Column("at_sends", int),
        Column("at_mark", str),
        Column("error", str),
        Column("status", int),
        Column("code", str),
        Column("intended_at", str),
        Column("absent_since", str),
    ),
)
_ANOTHER: Final = (
    "Take the company out of the input, or give the fiscal number, e-mail and account that the "
    "journal has: two accounts of one fiscal number split its numbering for good."
)
# After this time a send has ended, and a process that was frozen before its send sends nothing.
_GONE_AFTER_SECONDS: Final = 3600.0
_OF_CREDENTIALS: Final = frozenset({"TaxAuthorityCredentialsError", "RepeatedCredentialsError"})
# Until the account's create was sent, the company's input may be corrected.
_CORRECTABLE: Final = frozenset({JournalState.OPEN, JournalState.REFUSED, JournalState.FAILED})


@attrs.frozen(kw_only=True)
class CompanyRecord:
    """What a journal records about a company.

    Attributes:
        step: The step of the company.
        state: OPEN, or how the company ended at that step.
        intent: The intent of the send whose outcome is unknown.
        account_id: The id of the account, once known.
        account_name: The name of the account, once known.
        at_sends: How many sends of AT credentials were cut off; which credentials is not recorded.
        at_mark: The history of the AT credentials that were sent.
        intended_at: When the last intent was claimed.
        absent_since: When a complete list first did not show the sequence, late enough to count.
        error: The class of the error that the company ended with.
        status: The status of the refusal that it ended with.
        code: The code of the refusal that it ended with.
    """

    step: CompanyStep = CompanyStep.ACCOUNT
    state: JournalState = JournalState.OPEN
    intent: Intent | None = None
    account_id: str | None = None
    account_name: str | None = None
    at_sends: int = 0
    at_mark: CredentialHistory | None = None
    intended_at: Timestamp | None = None
    absent_since: Timestamp | None = None
    error: str | None = None
    status: int | None = None
    code: str | None = None

    @property
    def history(self) -> CredentialHistory:
        """The history of the AT credentials that were sent; empty without one."""
        return self.at_mark or CredentialHistory()

    @property
    def known_credentials(self) -> tuple[int, str | None]:
        """The number of sends that were cut off, and the history as text, to compare."""
        return self.at_sends, self.history.dump()

    @property
    def lacks_credentials(self) -> bool:
        """Whether the sequence was refused because of missing or wrong AT credentials."""
        return self.step is CompanyStep.SERIES and self.error in _OF_CREDENTIALS


class CompanyJournal:
    """The companies of one run in its journal. Await `open` before anything else.

    Args:
        journal: The journal; open.
        held_for: The partner for whom no other process onboards while the journal is held; None
            when nothing is held.
    """

    def __init__(self, journal: Journal, *, held_for: str | None = None) -> None:
        self._journal = journal
        self._held_for = held_for
        converter = make_record_converter()
        converter.register_structure_hook(
            CredentialHistory, lambda text, _: CredentialHistory.parse(text)
        )
        self._reader = RecordReader(COMPANIES, CompanyRecord, converter)

    async def open(self) -> None:
        """Create the table of companies, or add the columns that it lacks."""
        await self._journal.prepare(COMPANIES)

    async def admit(
        self, companies: tuple[Company, ...], also: Collection[str] = ()
    ) -> dict[str, CompanyRecord]:
        """Enter new companies; return the records of all, and of `also`, by fiscal number.

        Raises:
            JournalDifferenceError: the journal has a fiscal number or account as another company.
        """
        known = await self._entries()
        _check(companies, known.values())
        await self._journal.insert(COMPANIES, [_new(one) for one in companies])
        corrections = [
            Change(COMPANIES, (one.fiscal_id,), _identity(one), _seen(known[one.fiscal_id]))
            for one in companies
            if one.fiscal_id in known and _is_correctable(known[one.fiscal_id])
        ]
        if corrections:
            await self._journal.write(*corrections)
        entries = await self._entries()
        wanted = {*also, *(one.fiscal_id for one in companies)} & entries.keys()
        return {fiscal_id: self._reader.read(entries[fiscal_id]) for fiscal_id in wanted}

    def claims(self, company: Company, check: Callable[[], None] = lambda: None) -> JournalClaims:
        """Return the claims for the intents of a company; `check` as for `JournalClaims`."""
        key = (company.fiscal_id,)

        def changes_of(claim: Claim, state: JournalState) -> tuple[Change, ...]:
            if state is JournalState.INTENT:
                return (Change(COMPANIES, key, _intended(claim)),)
            if state is JournalState.PLANNED:
                return (Change(COMPANIES, key, {"state": JournalState.OPEN, "intent": None}),)
            return ()  # the outcome of the company includes the outcome of its intent

        return JournalClaims(self._journal, changes_of, check)

    async def record_credentials(
        self, company: Company, sends: int, history: CredentialHistory
    ) -> None:
        """Make the count and history of sent credentials durable, before the next send."""
        step = CompanyStep.AT
        await self.record_step(company, step, step, at_sends=sends, at_mark=history.dump())

    async def claim_credentials(
        self, company: Company, account: str, *, known: tuple[int, str | None]
    ) -> Claim:
        """Win the right to send AT credentials to an account, one sender at a time.

        `known` is the `known_credentials` that this run last read or wrote: if the journal's
        differ, another run has sent credentials. Raises CredentialsBusyError when not won.
        """
        key = (AT_COMMUNICATION, account, "")
        intent = json.dumps({"fiscal_id": company.fiscal_id, "partner": self._held_for})
        claim = Claim(key=key, token=new_token(), intent=intent, claimed_at=Timestamp.now().dump())
        there = await self._journal.claim(claim)
        if there is not None and self._is_gone(there):
            # That claimant's sends are counted in the company's record, which is checked below.
            claim = attrs.evolve(claim, replaces=str(there["token"]))
            there = await self._journal.claim(claim)
        if there is None:
            (entry,) = await self._journal.look_up(COMPANIES, [(company.fiscal_id,)])
            record = self._reader.read(entry)
            if record.step is CompanyStep.AT and record.known_credentials == known:
                return claim
            self.release_credentials(claim)
        raise CredentialsBusyError(f"Another run sends AT credentials to account {account}.")

    def _is_gone(self, claimed: Entry) -> bool:
        """Whether the process of a claim can no longer send."""
        token = str(claimed["token"])
        if is_dead(token):
            return True
        if self._held_for is None:
            is_over = is_from_earlier_boot(token) or _is_long_ago(str(claimed["claimed_at"]))
            return isinstance(self._journal, SqliteJournal) and is_over
        # A process of another machine cannot be checked; but it held this partner before us.
        partner: object = json.loads(str(claimed["intent"])).get("partner")
        return partner == self._held_for

    def release_credentials(self, claim: Claim) -> None:
        """Release the right to send AT credentials, whatever the outcome of the send."""
        commit = self._journal.settle(claim, JournalState.PLANNED)
        commit.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def record_step(
        self, company: Company, step: CompanyStep, before: CompanyStep, **columns: Value
    ) -> None:
        """Write that a company has reached a step from the one before; durable on return.

        Nothing is written if another run has taken the company to another step meanwhile.
        """
        values: dict[str, Value] = {"step": step, "state": JournalState.OPEN}
        values |= dict.fromkeys(("intent", "error", "status", "code")) | columns
        await self._journal.write(Change(COMPANIES, (company.fiscal_id,), values, {"step": before}))

    def record_outcome(
        self, outcome: CompanyOutcome, before: CompanyStep, **columns: Value
    ) -> Commit:
        """Write the outcome of a company that was at the step `before`.

        Nothing is written if another run has taken the company to another step meanwhile. The
        commit is done once the outcome is durable.
        """
        values: dict[str, Value] = {
            "step": outcome.step,
            "state": outcome.state,
            "intent": None if outcome.intent is None else json.dumps(outcome.intent),
            "error": outcome.error_name,
            "status": outcome.status,
            "code": outcome.code,
            **columns,
        }
        key = (outcome.company.fiscal_id,)
        return self._journal.write(Change(COMPANIES, key, values, {"step": before}))

    async def _entries(self) -> dict[str, Entry]:
        return {str(one["fiscal_id"]): one for one in await self._journal.read(COMPANIES)}


def _is_long_ago(claimed_at: str) -> bool:
    """Whether a claim was made since this machine started, and so long ago that it is over."""
    try:
        then = Timestamp.parse(claimed_at)
    except ValueError:
        return False
    now = Timestamp.now()
    return now.boot == then.boot != "" and now.steady - then.steady > _GONE_AFTER_SECONDS


def _intended(claim: Claim) -> Entry:
    return {
        "state": JournalState.INTENT,
        "intent": claim.intent,
        "intended_at": claim.claimed_at,
        "absent_since": None,
    }


def _new(company: Company) -> Entry:
    return {
        "fiscal_id": company.fiscal_id,
        "step": CompanyStep.ACCOUNT,
        "state": JournalState.OPEN,
        "at_sends": 0,
        **_identity(company),
    }


def _identity(company: Company) -> Entry:
    account = company.account
    return {"email": account.email, "organization_name": account.organization_name}


def _seen(entry: Entry) -> Entry:
    return {name: entry[name] for name in ("step", "state")}


def _is_correctable(entry: Entry) -> bool:
    return entry["step"] == CompanyStep.ACCOUNT and entry["state"] in _CORRECTABLE


def _check(companies: Iterable[Company], known: Iterable[Entry]) -> None:
    alike: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in known:
        alike[fold_fiscal_id(str(entry["fiscal_id"]))].append(entry)
        alike[f"account {entry['account_name']}"].append(entry)
    others = [
        (one, entry) for one in companies for entry in _alike(one, alike) if _is_another(one, entry)
    ]
    if not others:
        return
    first, entry = others[0]
    count = len({one.fiscal_id for one, _ in others})
    error = JournalDifferenceError(
        f"{count} fiscal numbers or accounts are in the journal already, as other companies, "
        f"such as {first.fiscal_id} ({first.account.organization_name!r:.60}), which is there as "
        f"{entry['fiscal_id']} with the e-mail {entry['email']!r:.80}. Nothing was sent.",
        count=count,
    )
    error.cure = _ANOTHER
    raise error


def _alike(company: Company, entries: Mapping[str, list[Entry]]) -> Sequence[Entry]:
    found = entries.get(fold_fiscal_id(company.fiscal_id), [])
    name = company.known and f"account {company.known.name}"
    return found + (entries.get(name, []) if name else [])


def _is_another(company: Company, entry: Entry) -> bool:
    identity = entry["fiscal_id"], str(entry["email"]).casefold()
    wanted = company.fiscal_id, company.account.email.casefold()
    return not _is_correctable(entry) and identity != wanted
