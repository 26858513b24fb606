"""The view of a journal's status: how far its job is, and what to do next."""

import datetime as dt
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
from rich.text import Text

from invoicexpress_async.call.claims import MAX_SECONDS_BEFORE_SEND
from invoicexpress_async.cli.cures import cure_of_recorded_row, cure_of_standing, cure_of_unknown
from invoicexpress_async.cli.output import ACCOUNT_WIDTH, data_console, new_table, print_more
from invoicexpress_async.cli.shell import as_typed, printable, program, with_program_name
from invoicexpress_async.cli.summary import FailureGroup, Group
from invoicexpress_async.cli.views.holds import (
    clock_time,
    is_running,
    short_time,
    show_slices,
    unseen,
)
from invoicexpress_async.cli.views.row_view import STATE_MEANINGS, STATE_STYLES, code_text
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.cli.words import Language, counted, decimal, label, word
from invoicexpress_async.jobs.postgres import is_url
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.onboarding import CompanyStanding, CompanyStep
from invoicexpress_async.provisioning import JournalStatus, RowState
from invoicexpress_async.provisioning.journal_status import JournalFailure, RowInDoubt

_MAX_ROWS: Final = 20
_SERIE_WIDTH: Final = 18
_UNKNOWN_STATES: Final = ("intent", RowState.UNKNOWN, RowState.ABSENT)

_TITLE: Final = "Journal: {path}"
_TITLE_YEAR: Final = "Journal of the roll-over to {year}: {path}"
_HELD: Final = "Held now {holder}."
_WAIT_FOR_SLICES: Final = "slices whose holder is not seen are free for other workers at {time}."
_NOT_HELD: Final = "No run holds it now."
_NOT_BEFORE: Final = "Nothing becomes the default before {day} in Lisbon."
_IN_FLIGHT: Final = "sent a moment ago by the run that is under way"
_PACE: Final = "{percent} % done or prepared, {rate} rows a second: {left} left, until about {end}."
_RUN: Final = "1 run began, at {last}; times are in {zone}."
_RUNS: Final = "{count} runs began. The latest: {last}. Times are in {zone}."
_RESUME_CALLS: Final = (
    "single calls, as of a service, have an unknown outcome: "
    "`invoicexpress sequences resume {path} --accounts FILE` looks them up."
)
_UNDER_WAY: Final = "a run is under way; wait for its end."
_START: Final = (
    "start workers, each with --keys that says where it finds the keys; the rows wait for them."
)
_OPENED: Final = (
    "It was opened {count} times, by plans, runs and workers, the last at {last}; times are in "
    "{zone}."
)
_AGAIN: Final = "run the same command again; it goes on where the last run ended."
_SELECTED: Final = "That one chose some rows: leave out --only, --exclude or --limit for the rest."
_SELECTION: Final = re.compile(r" --(only|exclude|limit)\b")
_PLAN_ONLY: Final = re.compile(r" --plan-only\b")
_BASE_URL: Final = re.compile(r" --base-url[= ]\S+")
_ALL_DONE: Final = "nothing, all that was planned is done."
_NOTHING_YET: Final = "nothing is planned in it yet; run the command, and see what it leaves out."
_ALL_INVOICE: Final = "nothing, all can invoice."
_REFUSED: Final = (
    "{count} refused: correct the causes, then run the same command with --retry-refused."
)
_PREPARED: Final = "{count} prepared: run the same command again on {day} in Lisbon, or later."
_PREPARED_SOMETIME: Final = (
    "{count} prepared: run the same command again on the day of --not-before, or later."
)
_PREPARED_FOR_WORKERS: Final = (
    "{count} prepared: workers that run on {day} in Lisbon, or later, make them the default."
)
_GO_ON: Final = "do what the table says, then run the same onboard command again."
_Kind = tuple[CompanyStep, str, str | None]


@attrs.frozen(kw_only=True)
class _Shown:
    """Shows a status on the screen."""

    status: JournalStatus
    language: Language

    def show(self) -> None:
        status, console = self.status, data_console()
        # Not wrapped, so that the path can be copied.
        values = {"year": status.rollover_year, "path": status.path}
        title = self._said(_TITLE_YEAR if status.rollover_year else _TITLE, **values)
        console.print(Text(printable(title)), soft_wrap=True)
        if status.default_not_before is not None:
            console.print(self._said(_NOT_BEFORE, day=status.default_not_before))
        held = self._said(_HELD if is_running(status) else _NOT_HELD, holder=status.holder)
        rows = counted(status.rows, "rows", self.language, one="row")
        console.print(Text(printable(f"{rows}. {held}")))
        self._show_states()
        if status.failures:
            groups = dict(map(_group, status.failures))
            console.print("", ROWS.failure_table(groups, self.language), sep="\n")
        if in_doubt := _in_doubt(status):
            self._show_in_doubt(in_doubt)
        if status.calls:
            self._show_calls(status.calls)
        if taken := [one for one in status.slices if one.holder]:
            show_slices(taken, self.language)
        for line in ("", *self._pace(), *self._runs(), ""):
            console.print(Text(printable(line)))
        _print_next(next_of(status), status, self.language)
        sys.stdout.flush()

    def _said(self, text: str, **values: object) -> str:
        return word(text, self.language, **values)

    def _show_states(self) -> None:
        rows: list[tuple[object, ...]] = []
        for state, meaning in STATE_MEANINGS.items():
            if count := self.status.counts.get(state):
                is_now = state == "intent" and is_running(self.status)
                name, text = ("in flight", _IN_FLIGHT) if is_now else (state, meaning)
                name = "unknown" if name == "intent" else name  # as in a report
                name = label(name, self.language)
                rows.append((Text(name, STATE_STYLES.get(state, "")), count, self._said(text)))
        if rows:
            names = ("state", "rows", "meaning")
            table = new_table(*names, rows=rows, numbers=("rows",), language=self.language)
            data_console().print(table)

    def _show_in_doubt(self, in_doubt: Sequence[RowInDoubt]) -> None:
        rows: list[tuple[object, ...]] = []
        for one in in_doubt[:_MAX_ROWS]:
            again = self._said("by the next run")
            if (at := _again_at(self.status, one)) is not None:
                text = "{time}, then sent" if one.absent_since else "{time}"
                again = self._said(text, time=short_time(at))
            times = (short_time(one.sent_at), short_time(one.absent_since), again)
            rows.append((one.account, one.serie, *times))
        names = ("unknown", "serie", "sent", "absent since", "looked at again")
        table = new_table(*names, rows=rows, language=self.language)
        table.columns[0].max_width, table.columns[1].max_width = ACCOUNT_WIDTH, _SERIE_WIDTH
        data_console().print("", table, sep="\n")
        print_more("… {count} more", _unknown_count(self.status) - _MAX_ROWS, self.language)

    def _show_calls(self, calls: Sequence[Intent]) -> None:
        rows: list[tuple[object, ...]] = []
        for one in calls[:_MAX_ROWS]:
            sent = dt.datetime.fromtimestamp(one["sent_at"], tz=dt.UTC)
            subject = one["serie"] or one["sequence_id"]
            rows.append((one["account"], one["operation"], subject, short_time(sent)))
        names = ("unknown call", "operation", "serie", "sent")
        data_console().print("", new_table(*names, rows=rows, language=self.language), sep="\n")
        print_more("… {count} more", len(calls) - _MAX_ROWS, self.language)

    def _pace(self) -> Iterator[str]:
        """Yield the share that is done; for a run under way, its rate and its expected end too."""
        status = self.status
        if not status.rows:
            return
        good = sum(status.counts.get(one, 0) for one in (RowState.DONE, RowState.PREPARED))
        percent = 100 * good // status.rows
        if is_running(status) and status.runs and status.ended_in_last_run:
            seconds = (dt.datetime.now(tz=dt.UTC) - status.runs[0].started_at).total_seconds()
            rate = status.ended_in_last_run / max(seconds, 1.0)
            left = sum(status.counts.get(one, 0) for one in ("planned", "intent"))
            end = dt.datetime.now().astimezone() + dt.timedelta(seconds=left / rate)
            yield self._said(
                _PACE,
                percent=percent,
                rate=decimal(rate, self.language),
                left=left,
                end=f"{end:%H:%M %Z}",
            )
            return
        yield self._said("{percent} % done or prepared.", percent=percent)

    def _runs(self) -> Iterator[str]:
        moments = (one.started_at.astimezone() for one in self.status.runs)
        runs = [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments]
        if runs:
            zone, count = f"{dt.datetime.now().astimezone():%Z}", self.status.run_count
            text = _RUN if count == 1 else _RUNS
            if count > 1 and is_url(self.status.path):
                text = _OPENED
            yield self._said(text, count=count, last=", ".join(runs), zone=zone)


def show_status(status: JournalStatus, language: Language) -> None:
    _Shown(status=status, language=language).show()


def _group(one: JournalFailure) -> tuple[Group, FailureGroup]:
    code = code_text(one.state, one.error, one.status, one.code)
    cure = cure_of_recorded_row(one.error, one.state)
    return Group(one.state, cure, code), FailureGroup(one.rows, 0, one.account)


def _in_doubt(status: JournalStatus) -> list[RowInDoubt]:
    """Return the rows that may have taken effect, without those in flight in a run under way."""
    return [one for one in status.in_doubt if not (is_running(status) and one.state == "intent")]


def _again_at(status: JournalStatus, one: RowInDoubt) -> dt.datetime | None:
    """Return when a run reads a row again before a possible second send; None if it does not."""
    command = status.last_command
    seconds = None if command is None else command.resend_absent_after
    if seconds is None:
        return None
    if one.absent_since is not None:
        return one.absent_since + dt.timedelta(seconds=seconds)
    if one.sent_at is None:
        return None
    return one.sent_at + dt.timedelta(seconds=seconds + MAX_SECONDS_BEFORE_SEND)


def next_of(status: JournalStatus) -> list[tuple[str, dict[str, object]]]:
    """Return what to do next: texts, each with the values for its placeholders."""
    counts, unknown = status.counts, _unknown_count(status)
    if is_running(status):
        return [(_UNDER_WAY, {})]
    found: list[tuple[str, dict[str, object]]] = []
    if status.calls:
        found.append((_RESUME_CALLS, {"path": shlex.quote(str(status.path))}))
    if counts.get(RowState.DONE, 0) == status.rows:
        return found or [(_ALL_DONE if status.rows else _NOTHING_YET, {})]
    if gone := list(filter(None, map(unseen, status.slices))):
        free_at = max(one.free_at for one in gone)
        found.append((_WAIT_FOR_SLICES, {"time": clock_time(free_at)}))
    again = sum(counts.get(one, 0) for one in ("planned", RowState.FAILED, RowState.PARTIAL))
    if unknown:
        state = RowState.ABSENT if counts.get(RowState.ABSENT) else RowState.UNKNOWN
        found.append((cure_of_unknown(state, has_journal=True), {}))
    elif again:
        found.append((_START if _is_for_workers(status) else _AGAIN, {}))
    if (
        counts.get("planned")
        and status.last_command
        and _SELECTION.search(status.last_command.line)
    ):
        found.append((_SELECTED, {}))
    if refused := counts.get(RowState.REFUSED):
        found.append((_REFUSED, {"count": refused}))
    if prepared := counts.get(RowState.PREPARED):
        found.append(_of_prepared(status, prepared))
    return found


def _of_prepared(status: JournalStatus, count: int) -> tuple[str, dict[str, object]]:
    day = status.default_not_before
    text = _PREPARED if day else _PREPARED_SOMETIME
    if day and _is_for_workers(status):
        text = _PREPARED_FOR_WORKERS
    return text, {"count": count, "day": day}


def _print_next(
    texts: Iterable[tuple[str, dict[str, object]]], status: JournalStatus | None, language: Language
) -> None:
    """Print what to do next, with the command to repeat if there is one."""
    console = data_console()
    said = " ".join(word(text, language, **values) for text, values in texts)
    text = word("Next: {what}", language, what=said)
    console.print(Text(printable(with_program_name(text))))
    command = None if status is None else command_of(status)
    if command is not None:
        console.print()
        # Not wrapped, so that the command can be copied.
        console.print(Text(printable(f"  {command}")), soft_wrap=True)


def command_of(status: JournalStatus) -> str | None:
    """Return the command to repeat; None when there is none or it is not known."""
    command = status.last_command
    if (
        is_running(status)
        or command is None
        or status.counts.get(RowState.DONE, 0) == status.rows > 0
    ):
        return None
    is_refused_only = {RowState.DONE, RowState.REFUSED}.issuperset(status.counts)
    if _is_for_workers(status) and not is_refused_only:
        place = _BASE_URL.search(command.line)
        options = f"--journal {shlex.quote(str(status.path))} --keys file:accounts.csv"
        return f"{program()} worker {options}{place[0] if place else ''} --until-done"
    is_here = Path(command.folder) == Path.cwd()
    folder = "" if is_here else f"cd {shlex.quote(command.folder)} && "
    retry = "--retry-refused"
    has_more = status.counts.get(RowState.REFUSED) and retry not in command.line
    line = as_typed(_PLAN_ONLY.sub("", command.line))
    return f"{folder}{line}{f' {retry}' if has_more else ''}"


def _is_for_workers(status: JournalStatus) -> bool:
    """Whether the last command only planned the rows, and left them to workers."""
    command = status.last_command
    return command is not None and _PLAN_ONLY.search(command.line) is not None


def _unknown_count(status: JournalStatus) -> int:
    states = _UNKNOWN_STATES[1:] if is_running(status) else _UNKNOWN_STATES
    return sum(status.counts.get(state, 0) for state in states)


def company_objects(
    standings: Mapping[str, CompanyStanding], language: Language = "en"
) -> list[dict[str, object]]:
    """Return counts of the companies by step, state and error, as JSON objects."""
    counts = Counter[_Kind]()
    first: dict[_Kind, str] = {}
    for fiscal_id, one in standings.items():
        kind = one.step, one.state, one.error
        counts[kind] += 1
        first.setdefault(kind, fiscal_id)
    return [
        {
            "step": kind[0],
            "state": kind[1],
            "error": kind[2],
            "cure": (cure := cure_of_standing(*kind)) and word(cure, language),
            "companies": count,
            "such_as": first[kind],
        }
        for kind, count in counts.most_common()
    ]


def show_companies(
    standings: Mapping[str, CompanyStanding], status: JournalStatus, language: Language
) -> None:
    rows = (
        (
            *(label(str(one[name]), language) for name in ("step", "state")),
            *(one[name] for name in ("companies", "such_as", "error", "cure")),
        )
        for one in company_objects(standings, language)
    )
    names = ("step", "state", "companies", "such as", "error", "what to do")
    table = new_table(*names, rows=rows, numbers=("companies",), language=language)
    count = counted(len(standings), "companies", language, one="company")
    data_console().print(f"{count}.", "", table, "", sep="\n")
    left = any(one.step is not CompanyStep.END for one in standings.values())
    _print_next([(_GO_ON if left else _ALL_INVOICE, {})], status if left else None, language)
