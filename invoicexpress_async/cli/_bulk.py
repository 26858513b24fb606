"""A run of a plan with all that is shown of it. Shared by `provision` and `demo`."""

import asyncio
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from invoicexpress_async import Intent, SessionManager
from invoicexpress_async.cli._exit_codes import DONE, FAILED, UNKNOWN
from invoicexpress_async.cli._outcome_objects import outcome_object, summary_object
from invoicexpress_async.cli._outcomes import show_outcomes
from invoicexpress_async.cli._output import write_json
from invoicexpress_async.cli._progress import open_progress
from invoicexpress_async.cli._report_file import ReportFile
from invoicexpress_async.provisioning import Plan, RowOutcome, RowState, provision


async def run_plan(
    manager: SessionManager,
    plan: Plan,
    *,
    concurrency: int,
    as_json: bool = False,
    report: Path | None = None,
) -> int:
    """Run it, show it, and return the exit code. An interruption shows what was done so far."""
    outcomes: list[RowOutcome] = []
    started = time.monotonic()
    # A bar and JSON lines on one screen would overwrite each other.
    is_bar = sys.stderr.isatty() and not (as_json and sys.stdout.isatty())
    try:
        with ExitStack() as stack:
            file = stack.enter_context(ReportFile(report)) if report else None
            progress = stack.enter_context(open_progress(len(plan.rows), is_bar=is_bar))

            def note(outcome: RowOutcome) -> None:
                outcomes.append(outcome)
                progress.note(outcome)
                if file is not None:
                    file.note(outcome)
                if as_json:
                    write_json(outcome_object(outcome))

            await provision(manager, plan, concurrency=concurrency, on_outcome=note)
    except BrokenPipeError:
        _show_unresolved(manager, outcomes)
        raise
    except asyncio.CancelledError:
        _show(outcomes, plan, started=started, as_json=as_json)
        _show_unresolved(manager, outcomes)
        raise
    _show(outcomes, plan, started=started, as_json=as_json)
    return _exit_code(outcomes)


def _show(outcomes: list[RowOutcome], plan: Plan, *, started: float, as_json: bool) -> None:
    total, seconds = len(plan.rows), time.monotonic() - started
    if as_json:
        write_json(summary_object(outcomes, total=total, seconds=seconds))
    else:
        show_outcomes(outcomes, total=total, seconds=seconds)
        for outcome in outcomes:
            if outcome.intent is not None:
                _keep(outcome.intent)


def _show_unresolved(manager: SessionManager, outcomes: list[RowOutcome]) -> None:
    """Tell of the rows that were cut off after a send."""
    known = {(outcome.row.account, outcome.row.serie) for outcome in outcomes}
    for intent in manager.unresolved():
        if (intent["account"], intent["serie"]) not in known:
            _keep(intent)


def _keep(intent: Intent) -> None:
    sys.stderr.write(f"Sent, outcome not known; keep this: {json.dumps(intent)}\n")


def _exit_code(outcomes: list[RowOutcome]) -> int:
    states = {outcome.state for outcome in outcomes}
    if RowState.UNKNOWN in states:
        return UNKNOWN
    return DONE if states <= {RowState.DONE} else FAILED
