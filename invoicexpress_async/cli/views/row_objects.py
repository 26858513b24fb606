"""What a run came to as plain data, for JSON."""

from collections.abc import Sequence

from invoicexpress_async.cli.failures import difference_objects, error_object
from invoicexpress_async.cli.output import sequence_object
from invoicexpress_async.cli.summary import Tally
from invoicexpress_async.cli.views.row_view import STATES, ShownRow
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.provisioning import Difference, Progress


def outcome_object(row: ShownRow) -> dict[str, object]:
    """Return how a row ended as plain data."""
    failure = None if row.error is None else error_object(row.error) | {"cure": row.cure}
    return {
        "type": "outcome",
        "line": row.line,
        "account": row.account,
        "serie": row.serie,
        "state": row.state,
        "created": row.created,
        "is_recorded": row.is_recorded,
        "seconds": round(row.seconds, 3),
        "sequence": row.sequence and sequence_object(row.sequence),
        "intent": row.intent,
        "failure": failure,
    }


def pause_object(progress: Progress) -> dict[str, object]:
    """Return that a run pauses, since the server fails, or goes on."""
    return {
        "type": "pause",
        "is_paused": progress.is_paused,
        "waiting": progress.waiting,
        "seconds": round(progress.seconds, 3),
    }


def summary_object(
    tally: Tally,
    *,
    seconds: float,
    waiting: int = 0,
    problem: InvoiceXpressError | None = None,
    differences: Sequence[Difference] = (),
) -> dict[str, object]:
    """Return the counts as plain data; `not_run` is not 0 when the run ended early."""
    return {
        "type": "summary",
        "rows": tally.total,
        "counts": {str(state): tally.counts[state] for state in STATES},
        "created": tally.created,
        "recorded": tally.recorded,
        "not_run": tally.not_started,
        "waiting": waiting,
        "seconds": round(seconds, 3),
        "is_complete": tally.is_complete and problem is None,
        "problem": problem and error_object(problem),
        "differences": difference_objects(differences),
    }
