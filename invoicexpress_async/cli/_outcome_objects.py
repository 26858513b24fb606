"""The outcomes of a run as plain data, for JSON."""

from collections import Counter
from collections.abc import Sequence

from invoicexpress_async.cli._failures import error_object
from invoicexpress_async.cli._output import sequence_object
from invoicexpress_async.provisioning import RowOutcome, RowState


def outcome_object(outcome: RowOutcome) -> dict[str, object]:
    """Return an outcome as plain data."""
    return {
        "type": "outcome",
        "line": outcome.row.line,
        "account": outcome.row.account,
        "serie": outcome.row.serie,
        "state": outcome.state,
        "created": outcome.created,
        "seconds": round(outcome.seconds, 3),
        "sequence": outcome.sequence and sequence_object(outcome.sequence),
        "intent": outcome.intent,
        "failure": outcome.error and error_object(outcome.error),
    }


def summary_object(
    outcomes: Sequence[RowOutcome], *, total: int, seconds: float
) -> dict[str, object]:
    """Return the counts as plain data; `total` is more than their sum after an interruption."""
    counts = Counter(outcome.state for outcome in outcomes)
    return {
        "type": "summary",
        "rows": total,
        "counts": {state: counts[state] for state in RowState},
        "created": sum(outcome.created is True for outcome in outcomes),
        "not_run": total - len(outcomes),
        "seconds": round(seconds, 3),
        "is_complete": counts[RowState.DONE] == total,
    }
