"""What is wrong with a journal, or with a plan beside it."""

from typing import Literal, Unpack

import attrs

from invoicexpress_async.errors import ConfigurationError, ErrorContext, InvoiceXpressError


class JournalError(InvoiceXpressError):
    """The journal cannot be read or written: nothing is sent without it."""

    cure = "Mend what is named and run the same command again; the journal says how far it came."


@attrs.frozen(kw_only=True)
class Difference:
    """One row that the plan and the journal do not agree on.

    Attributes:
        kind: "added" to the plan, "removed" from it, or "changed" in its default.
        account: The account's name.
        serie: The name of the sequence.
        state: What the journal says of it; None of an added one.
    """

    kind: Literal["added", "removed", "changed"]
    account: str
    serie: str
    state: str | None = None


class JournalDifferenceError(ConfigurationError):
    """The journal is of another plan: rows were added, removed or changed since.

    Attributes:
        differences: The first of them, at most 100.
        count: How many there are.
    """

    cure = (
        "Take another journal for another plan; or accept the changes, with accept_changes=True "
        "or --accept-changes, if this is the same job and the new input is right."
    )

    def __init__(
        self,
        message: str = "",
        *,
        differences: tuple[Difference, ...] = (),
        count: int = 0,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.differences = differences
        self.count = count
