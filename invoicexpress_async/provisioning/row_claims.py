"""The claims of one row's intents, noted in its task as well."""

import attrs

from invoicexpress_async.call.claims import ClaimEnd, Claims
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.provisioning.task import RowTask


@attrs.frozen
class RowClaims:
    """Claims where `inner` does; without it, this process is the only sender."""

    task: RowTask
    inner: Claims | None

    @property
    def token(self) -> str | None:
        """The token of the claim that was won last."""
        return None if self.inner is None else self.inner.token

    async def claim(self, intent: Intent) -> Intent | None:
        """Win the right to send, or return the intent of the one who has it."""
        task = self.task
        if self.inner is not None and (other := await self.inner.claim(intent)) is not None:
            task.intent, task.is_of_another = other, True
            # What was found out was of an older send.
            task.absent_since = task.unknown_since = None
            task.reads = 0
            # The wall clock of another host says nothing of when that was: it is before now, or
            # a minute after at the most.
            task.intended_at = Timestamp.now()
            return other
        task.last_intent, task.superseded_intent, task.is_of_another = intent, None, False
        task.token = self.token
        task.sends += 1
        task.intended_at = Timestamp.now()
        task.absent_since = task.unknown_since = None
        task.reads = 0
        return None

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Write the outcome of a request that was claimed."""
        if end is ClaimEnd.NOT_SENT:
            self.task.sends -= 1
        if self.inner is not None:
            self.inner.end(intent, end)

    def observe(self, intent: Intent) -> None:
        """Write that what somebody's intent requested was seen to be there."""
        if self.inner is not None:
            self.inner.observe(intent)

    def forget(self, intent: Intent) -> None:
        """Let the next claim take over from this very intent."""
        if self.inner is not None:
            self.inner.forget(intent)

    def check_right(self) -> None:
        """Raise when no byte may be sent for the account any more."""
        if self.inner is not None:
            self.inner.check_right()
