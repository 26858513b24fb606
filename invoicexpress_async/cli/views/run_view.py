"""The view of a run of rows or companies: on the screen, in JSON and in a report."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic

import attrs
from rich.table import Table
from rich.text import Text

from invoicexpress_async.cli.failures import error_object
from invoicexpress_async.cli.options import ReportOptions
from invoicexpress_async.cli.output import data_console, new_table
from invoicexpress_async.cli.summary import E, Ended, FailureGroup, Group, RunSummary
from invoicexpress_async.cli.views.columns import Column, Columns, Document, Place, object_of
from invoicexpress_async.cli.views.layouts import Report, ReportSpec, report_of
from invoicexpress_async.cli.views.page import ReportFacts
from invoicexpress_async.cli.words import Language, counted, decimal, label, word
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.journal import JournalState

_RESUMED: Final = "Sent, outcome not known; `sequences resume` takes this file:"

# The last columns of rows and of companies.
LAST_COLUMNS: Final[Columns[Ended]] = (
    Column("cure", lambda one: one.cure, places=Place.REPORTS, title="what to do", is_text=True),
    Column(
        "intent",
        lambda one: one.intent,
        places=Place.CSV | Place.JSON,
        text=lambda intent: json.dumps(intent) if intent else None,
    ),
    Column("failure", lambda one: one.failure, places=Place.JSON),
)


@attrs.frozen(kw_only=True)
class RecordKind(Generic[E]):
    """The kind of a run's records, rows or companies, and how they are shown.

    Attributes:
        noun: The records in a word, in the plural.
        title: The title of a report.
        columns: The columns of a record.
        documents: The columns of a record's document types in CSV and in a spreadsheet.
        order: Returns the sort key of a record; its first item is 0 if it needs a person.
        good: The states that need no person.
        styles: The states with their colours, in the order of a line of counts: those that need
            no person, then the worst first.
        has_step: Whether a failure has a step.
        has_created: Whether created records are counted.
        show_first: Shows the first records as a table.
    """

    noun: str
    title: str
    columns: Columns[E]
    documents: Columns[Document] = ()
    order: Callable[[E], tuple[int | str, ...]]
    good: tuple[str, ...]
    styles: Mapping[str, str]
    has_step: bool = False
    has_created: bool = False
    show_first: Callable[[RunSummary[E], Language], None]

    def data(self, record: E) -> dict[str, object]:
        return object_of("outcome", self.columns, record)

    def layout(
        self,
        path: Path,
        options: ReportOptions = ReportOptions(),
        *,
        is_handout: bool = False,
    ) -> Report[E, E]:
        """Return the layout that the ending of the file selects.

        CSV and a spreadsheet have a line for each document type, if the kind has such columns. In
        Markdown, the counts, the cures and the intents to resume come after the records.
        """
        summary = RunSummary[E](total=0)
        spec = ReportSpec[E, E](
            title=self.title,
            columns=self.columns,
            lines_of=lambda record: (record,),
            documents=self.documents,
            is_handout=is_handout,
            order=self.order,
            on_record=summary.add,
            facts=lambda language: ReportFacts(
                noun=self.noun,
                about=summary.about,
                counts={one: summary.counts[one] for one in (*self.styles, *summary.counts)},
                advice=self._advice(summary, language),
            ),
            end=lambda language: self._end(summary, language),
        )
        return report_of(path, spec, options)

    def show(self, summary: RunSummary[E], language: Language, *, seconds: float) -> None:
        console = data_console()
        self.show_first(summary, language)
        if summary.groups:
            console.print(self.failure_table(summary.groups, language))
        console.print(self._counts(summary, language, seconds=seconds))

    def failure_table(self, groups: Mapping[Group, FailureGroup], language: Language) -> Table:
        """Return a table of the groups of failures, with what to do about each."""
        rows: list[tuple[object, ...]] = []
        for kind, group in self._in_order(groups):
            state = Text(label(kind.state, language), self.styles.get(kind.state, ""))
            step = [label(kind.step, language)] if self.has_step else []
            advice = group.advice(kind.cure, language)
            rows.append((state, *step, kind.code, group.count, group.example, advice))
        steps = ("step",) if self.has_step else ()
        names = ("state", *steps, "code", self.noun, "such as", "what to do")
        return new_table(*names, rows=rows, numbers=(self.noun,), language=language)

    def count_text(self, counts: Mapping[str, int], language: Language) -> str:
        """Return the counts of the states that occurred, such as "12 done, 1 refused"."""
        known = dict.fromkeys((*self.styles, *counts))
        return ", ".join(counted(counts[one], one, language) for one in known if counts.get(one))

    def summary_object(
        self, summary: RunSummary[E], problem: InvoiceXpressError | None, *, seconds: float
    ) -> dict[str, object]:
        """Return the counts as a JSON object; `not_run` is not 0 when the run ended early."""
        return {
            "type": "summary",
            self.noun: summary.total,
            "counts": {str(state): summary.counts[state] for state in self.styles},
            "recorded": summary.recorded,
            "not_run": summary.not_started,
            "seconds": round(seconds, 3),
            "is_complete": summary.is_complete and problem is None,
            "problem": problem and error_object(problem),
        }

    def _counts(self, summary: RunSummary[E], language: Language, *, seconds: float) -> Text:
        text, notes = Text(), self._notes(summary, language)
        for state in self.styles:
            if count := summary.counts[state]:
                text.append(counted(count, state, language), self.styles.get(state, ""))
                text.append(" " if state in self.good and notes else "  ")
            if state == self.good[-1] and notes and text:
                text.append(f"({notes})  ")
        if left := summary.not_started:
            text.append(f"{counted(left, 'not started', language)}  ", "bold red")
        of = f"of {{total}} {self.noun} in {{seconds}} s"
        took = decimal(seconds, language)
        return text.append(word(of, language, total=summary.total, seconds=took))

    def _notes(self, summary: RunSummary[E], language: Language) -> str:
        created = counted(summary.good_created, "created", language) if self.has_created else ""
        earlier = summary.recorded_done
        recorded = word("{count} by an earlier run", language, count=earlier) if earlier else ""
        # A second run before the day looks at the rows that the first one prepared.
        was_there = summary.good - summary.good_created - earlier
        there = word("{count} there already", language, count=was_there) if was_there else ""
        is_shown = self.has_created and summary.counts[JournalState.PREPARED]
        return ", ".join(filter(None, (created, recorded, there if is_shown else "")))

    def _advice(self, summary: RunSummary[E], language: Language) -> list[str]:
        found: list[str] = []
        for kind, group in self._in_order(summary.groups):
            count = counted(group.count, kind.state, language)
            step = kind.step and word("step {step}", language, step=label(kind.step, language))
            # A table shows a hyphen where there is no code.
            what = ", ".join(filter(None, (count, step, kind.code.strip("-"))))
            found.append(f"{what}: {group.advice(kind.cure, language)}")
        return found

    def _in_order(self, groups: Mapping[Group, FailureGroup]) -> list[tuple[Group, FailureGroup]]:
        ranks = {state: rank for rank, state in enumerate(self.styles)}
        last = len(ranks)
        return sorted(groups.items(), key=lambda one: (ranks.get(one[0].state, last), one[1].line))

    def _end(self, summary: RunSummary[E], language: Language) -> str:
        created = f", {counted(summary.created, 'created', language)}" if self.has_created else ""
        lines = [f"\n{self.count_text(summary.counts, language)}{created}.\n"]
        lines += (f"- {one}\n" for one in self._advice(summary, language))
        if summary.intents and not self.has_step:  # an onboarding resumes by its own command
            lines.append(f"\n{word(_RESUMED, language)}\n\n")
            lines += (f"    {json.dumps(intent)}\n" for intent in summary.intents)
        return "".join(lines)
