"""A run of a plan on the command line."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Final

import attrs

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.cures import cure_of_unknown
from invoicexpress_async.cli.failures import message_of, show_intent
from invoicexpress_async.cli.job_run import JobRun, keep_if_first
from invoicexpress_async.cli.options import JobOptions, JournalPlace
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.progress import ProgressView, Step
from invoicexpress_async.cli.shell import DONE, FAILED, echo, printable
from invoicexpress_async.cli.views.row_view import (
    GOOD,
    UNKNOWN_STATES,
    UNPLANNED,
    RowView,
    row_view,
)
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.cli.views.run_view import RecordKind
from invoicexpress_async.cli.words import Language, counted, word
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.provisioning import (
    Plan,
    Progress,
    ProvisioningReport,
    RowOutcome,
    RowState,
    enter_plan,
    provision,
    read_status,
)

_AGAIN: Final = "Run the same command again: it looks first, and creates nothing twice."
_GO_ON: Final = (
    "Run the same command again: it goes on where this ended, and creates nothing twice."
)
_LATE: Final = "Wait some minutes: what was sent can show late."
_PREPARED: Final = (
    "{count} prepared: created and registered, and not the default yet. Run the same command again "
    "on {day} in Lisbon, or later, to make them the default."
)
_WAIT: Final = (
    "{count} of the rows wait: what was sent is not in the account's list yet. They are looked at "
    "again at {time}."
)
_WAIT_THEN: Final = "One that two lists, {seconds} s apart, do not show is sent again."
_LEFT_OUT: Final = "Left out: line {line}, account {account}."
_PLANNED: Final = (
    "{count} rows are planned in {journal}, which now has {counts}. Nothing was sent: workers do "
    "them."
)
_WAIT_END: Final = "Ctrl-C ends the run, and the same command goes on later."
_MAX_INTENTS_SHOWN: Final = 5
_LONG_WAIT_SECONDS: Final = 20.0


@attrs.define(eq=False, kw_only=True)
class PlanRun(JobRun[RowView]):
    """A run of the rows of a plan; `unplanned` are the accounts that got no row."""

    kind: RecordKind[RowView] = ROWS
    manager: SessionManager
    plan: Plan
    unplanned: tuple[RowView, ...] = ()
    report: ProvisioningReport | None = None
    waiting: int = 0
    is_paused: bool = False
    is_wait_explained: bool = False

    @property
    def total(self) -> int:
        return self.plan.summary.rows + len(self.unplanned)

    async def run_or_plan_only(self, job: JobOptions) -> int:
        """Run the plan, or only enter it for the workers."""
        return await (self._plan_only(job.journal) if job.plan_only else self.run())

    async def _plan_only(self, place: JournalPlace | None) -> int:
        journal, rows, said = self.journal, self.plan.summary.rows, self.options.said
        if journal is None or place is None:
            raise ConfigurationError("--plan-only needs a journal.")
        if rows:  # an empty plan would remove all rows of the journal's plan
            await enter_plan(journal, self.plan, settings=self.settings)
            await (await keep_if_first(journal, self.settings)).keep(journal)
        counts = (await asyncio.to_thread(read_status, place)).counts
        for one in self.unplanned:
            if self.as_json:
                write_json(ROWS.data(one))
            else:
                why = "" if one.error is None else message_of(one.error)
                text = said(_LEFT_OUT, line=one.line, account=one.account)
                echo(printable(f"{text} {why} {said(one.cure or '')}".rstrip()))
        if self.as_json:
            planned = {"rows": rows, "journal": journal.label, "counts": dict(counts)}
            write_json({"type": "planned", **planned, "left_out": len(self.unplanned)})
        else:
            has = ROWS.count_text(counts, self.options.language)
            echo(said(_PLANNED, count=rows, journal=journal.label, counts=has))
        return FAILED if self.unplanned else DONE

    async def execute(self, view: ProgressView) -> None:
        for row in self.unplanned:
            self.add(row)
        if not self.plan.rows:
            return  # an empty plan would remove all rows of the journal's plan
        self.report = await provision(
            self.manager,
            self.plan,
            journal=self.journal,
            concurrency=self.options.concurrency,
            settings=self.settings,
            on_progress=lambda one: self._on_progress(one, view),
            on_outcome=self._on_outcome,
            keep_done=False,
            stop=self.interruption.stop,
        )
        self.problem: InvoiceXpressError | None = self.report.problem

    def _on_outcome(self, outcome: RowOutcome) -> None:
        self.end(row_view(outcome, has_journal=self.journal is not None))

    def _on_progress(self, one: Progress, view: ProgressView) -> None:
        self.waiting = one.waiting
        # Rows that a stop cuts off look like failures of the server.
        is_stopping = self.interruption.stop.is_requested
        if one.is_paused is not self.is_paused and not is_stopping:
            self.is_paused = one.is_paused
            seconds = round(one.seconds, 3)
            self.sinks.write(
                {
                    "type": "pause",
                    "is_paused": one.is_paused,
                    "waiting": one.waiting,
                    "seconds": seconds,
                }
            )
        self._explain_wait(one, view)
        # From the progress, not the summary: the outcome of its last row arrives a moment later.
        unplanned = len(self.unplanned)
        counts = Counter[str](one.counts) + Counter({UNPLANNED: unplanned})
        view.update(
            Step(
                ended=one.ended + unplanned,
                text=self._with_waiting(ROWS.count_text(counts, self.options.language), one),
                brief=self._with_waiting(_brief(one.counts, self.options.language), one),
                skipped=self.summary.recorded + unplanned,
                is_paused=self.is_paused,
            )
        )

    def _explain_wait(self, one: Progress, view: ProgressView) -> None:
        """Explain a long wait, once, when all that is left are waiting rows."""
        is_last = one.total is not None and one.ended + one.waiting == one.total
        is_long = (one.next_turn_in_seconds or 0.0) >= _LONG_WAIT_SECONDS
        if is_last and is_long and not self.is_wait_explained:
            self.is_wait_explained = True
            now, resend = dt.datetime.now().astimezone(), self.settings.resend_absent_after
            view.print(wait_text(one, resend, now, self.options.language))

    def _with_waiting(self, text: str, one: Progress) -> str:
        if not one.waiting:
            return text
        until = _until(one, dt.datetime.now().astimezone())
        waiting = self.options.said("{count} waiting until {time}", count=one.waiting, time=until)
        return f"{text}, {waiting}".removeprefix(", ")

    def extra(self) -> dict[str, object]:
        report = self.report
        return {
            "created": self.summary.created,
            "waiting": self.waiting,
            "differences": list(map(attrs.asdict, report.differences if report else ())),
        }

    def show_rest(self) -> None:
        summary, journal = self.summary, self.journal
        if journal is not None:
            if summary.unknown:
                cure = self.options.said(cure_of_unknown(RowState.UNKNOWN, has_journal=True))
                echo(self._unknown("kept in {where}. {cure}", where=journal.label, cure=cure))
            return
        self._show_unknown()
        for intent in self.manager.unresolved():
            if intent not in summary.intents:
                show_intent(intent)

    def end_text(self) -> str:
        summary, said, language = self.summary, self.options.said, self.options.language
        counts = self.kind.count_text(summary.counts, language) or said("none done")
        left = counted(summary.not_started, "not started", language)
        total = said("of {total} rows", total=summary.total)
        late = f"{said(_LATE)} " if summary.unknown else ""
        go_on = said(_GO_ON if self.journal else _AGAIN)
        return f"{counts}, {left}, {total}. {late}{go_on}"

    def end_by_itself(self) -> None:
        if prepared := self.summary.counts[RowState.PREPARED]:
            day = self.settings.default_not_before
            echo(self.options.said(_PREPARED, count=prepared, day=day))

    def _show_unknown(self) -> None:
        """Print how many outcomes are unknown, and where their intents are, or a few of them."""
        count, intents, kept = self.summary.unknown, self.summary.intents, self.sinks.kept_where
        if not count:
            return
        if not intents:
            echo(self._unknown("cut off, and no intent is known to be unresolved."))
        elif kept is not None:
            where = self.options.said(kept[0], path=kept[1])
            echo(self._unknown("their intents are {where}.", where=where))
        else:
            echo(self._unknown("--journal, --report or --json keeps all intents:"))
            for intent in intents[:_MAX_INTENTS_SHOWN]:
                show_intent(intent)
            if (left := len(intents) - _MAX_INTENTS_SHOWN) > 0:
                echo(f"  {self.options.said('and {count} more', count=left)}")

    def _unknown(self, text: str, **values: object) -> str:
        count = counted(self.summary.unknown, "unknown", self.options.language)
        return f"{count}: {self.options.said(text, **values)}"


def _brief(counts: Mapping[RowState, int], language: Language) -> str:
    """Return the counts for a bar, whose line has no room for every state."""
    good = sum(counts[state] for state in GOOD) - counts[RowState.PREPARED]
    prepared = counts[RowState.PREPARED]
    unknown = sum(counts[state] for state in UNKNOWN_STATES)
    others = [state for state in counts if counts[state] and state not in {*GOOD, *UNKNOWN_STATES}]
    bad = sum(counts[state] for state in others)
    name = others[0] if len(others) == 1 else "not done"
    named = ((good, "done"), (prepared, "prepared"), (bad, name), (unknown, "unknown"))
    return ", ".join(counted(count, name, language) for count, name in named if count)


def wait_text(
    one: Progress, resend_absent_after: float | None, now: dt.datetime, language: Language = "en"
) -> str:
    """Return a text on what the rows of a run wait for, and until when."""
    texts = [word(_WAIT, language, count=one.waiting, time=_until(one, now))]
    if resend_absent_after:
        texts.append(word(_WAIT_THEN, language, seconds=f"{resend_absent_after:g}"))
    return " ".join((*texts, word(_WAIT_END, language)))


def _until(one: Progress, now: dt.datetime) -> str:
    """Return the local time of the next turn of a waiting row."""
    return f"{now + dt.timedelta(seconds=one.next_turn_in_seconds or 0.0):%H:%M:%S}"
