"""The oracle: checks what must never happen in any history."""

from collections import defaultdict
from typing import Any, Final

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.provisioning import ProvisioningReport, RowState
from simulation.disk import Storage
from simulation.loop import SimulatedLoop
from simulation.server import KEY, Message, Server
from simulation.trace import Trace

_AGAIN_SECONDS: Final = 900.0

Subject = tuple[str, str, str]
"""The kind of a request, its account and its serie or id, as in the journal's intents."""


@attrs.define(kw_only=True, eq=False)
class Oracle:
    """Sees the first byte of every request, and responses, and reports what is wrong.

    Attributes:
        violations: The violations found.
        sends: When each intent was sent.
        may_resend: The processes that have opted in to send absent creates again.
    """

    loop: SimulatedLoop
    server: Server
    trace: Trace
    storage: Storage
    violations: list[str] = attrs.field(factory=list)
    sends: "defaultdict[Subject, list[float]]" = attrs.field(factory=lambda: defaultdict(list))
    may_resend: set[str] = attrs.field(factory=set)
    _lists: "defaultdict[str, list[tuple[float, frozenset[str]]]]" = attrs.field(
        factory=lambda: defaultdict(list)
    )

    def complain(self, text: str) -> None:
        """Add a violation."""
        self.trace.note(f"VIOLATION {text}")
        self.violations.append(text)

    def on_send(self, request: Message) -> None:
        """Check a request when its first byte leaves."""
        subject = _subject(request)
        if subject is None:
            return
        self._check_durable(subject)
        before = self.sends[subject]
        if before and not self._may_send_again(subject, before[-1]):
            self.complain(f"{request.label} was sent {len(before) + 1} times")
        before.append(self.loop.now)

    def on_refused(self, request: Message) -> None:
        """Note a refusal that reached the client: that send had no effect and does not count."""
        subject = _subject(request)
        if subject is not None and self.sends[subject]:
            self.sends[subject].pop()

    def on_list(self, account: str, payload: Any, made_at: float) -> None:
        """Note a complete list that reached a client, and when the server made it."""
        names = frozenset(row["serie"] for row in payload["sequences"])
        self._lists[account].append((made_at, names))

    def on_report(self, report: ProvisioningReport) -> None:
        """Check the report of a job."""
        for outcome in report.outcomes:
            row = outcome.row
            if outcome.state is RowState.DONE:
                self.on_done(row.account, row.serie)
            if outcome.error is not None:
                self.on_error(outcome.error)
        if report.problem is not None:
            self.on_error(report.problem)
        self.on_text(repr(report))
        self._check_rows()

    def on_done(self, account: str, serie: str) -> None:
        """Check a series that was reported as done."""
        if not self.server.found(account, serie):
            self.complain(f"{account} {serie} was reported done and is not there")

    def on_error(self, error: BaseException) -> None:
        """Check the error of a program; an error that is not of the package is a bug."""
        self.on_text(f"{error} {error!r} {vars(error)}")
        if not isinstance(error, InvoiceXpressError):
            self.complain(f"an error of another kind: {error!r}")

    def at_the_end(self, wanted: list[tuple[str, str]]) -> None:
        """Check the state at the end of the history."""
        for account, serie in wanted:
            found = self.server.found(account, serie)
            if len(found) != 1:
                self.complain(f"in the end {account} has {len(found)} series {serie}")
            # A register that may have been sent is never sent again: it can stay unknown for ever.
            may_be_open = any(not row.is_registered for row in found)
            state = self._state(account, serie)
            if state != "done" and not (state == "unknown" and may_be_open):
                self.complain(f"in the end {account} {serie} is {state}")
        for text in self.loop.errors:
            self.complain(f"unhandled: {text}")
        self.on_text(self.storage.content().decode(errors="replace"))

    def on_text(self, text: str) -> None:
        """Check a text that a person sees or that is on the disk."""
        if KEY in text:
            self.complain("the key shows")

    def _may_send_again(self, subject: Subject, last: float) -> bool:
        kind, account, serie = subject
        if kind != "create" or self.loop.process.name not in self.may_resend:
            return False
        need = _AGAIN_SECONDS
        absent = [at for at, names in self._lists[account] if serie not in names]
        first = next((at for at in absent if at >= last + need), None)
        return first is not None and absent[-1] >= first + need

    def _check_rows(self) -> None:
        """Check that no row was ended over its own send, whose outcome is unknown."""
        query = (
            "SELECT rows.account, rows.serie, rows.state FROM rows JOIN intents "
            "ON intents.account = rows.account AND intents.token = rows.token "
            "WHERE intents.state IN ('intent', 'unknown') "
            "AND rows.state IN ('planned', 'refused', 'failed')"
        )
        for account, serie, state in self._read(query, ()):
            self.complain(f"{account} {serie} is {state}, and its send is unknown")

    def _check_durable(self, subject: Subject) -> None:
        query = (
            "SELECT 1 FROM intents WHERE state = 'intent' AND kind = ? AND account = ? "
            "AND subject = ?"
        )
        if not self._read(query, subject):
            self.complain(f"{' '.join(subject)} was sent before its intent was durable")

    def _state(self, account: str, serie: str) -> str:
        query = "SELECT state FROM rows WHERE account = ? AND serie = ?"
        rows = self._read(query, (account, serie))
        return str(rows[0][0]) if rows else "not in the journal"

    def _read(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        return self.storage.look().execute(query, values).fetchall()


def _subject(request: Message) -> Subject | None:
    if request.method == "POST":
        return "create", request.account, request.serie
    if request.path.endswith("register.json"):
        return "register", request.account, request.path.split("/")[2]
    return None
