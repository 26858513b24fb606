"""The account's default sequence: set it, verify it, and verify that it is unchanged."""

from invoicexpress_async.call.context import Call
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.call.reconcile import Listing, partial_registration_error
from invoicexpress_async.errors import DefaultChangedError, InvoiceXpressError
from invoicexpress_async.models.sequence import Registration, Sequence
from invoicexpress_async.protocol.decision import Action
from invoicexpress_async.protocol.sequences import SequenceRequests
from invoicexpress_async.protocol.strict import malformed_response


class DefaultFlag:
    """Sets the default flag of one sequence, which takes it from the previous default."""

    def __init__(self, dispatcher: Dispatcher, requests: SequenceRequests) -> None:
        self._dispatcher = dispatcher
        self._requests = requests

    async def set_current(self, call: Call, sequence_id: int) -> None:
        """Make a sequence the default; send again only when a read shows that it is needed."""
        request = self._requests.set_current(sequence_id)
        outcome = await self._dispatcher.send(call, request)
        for _ in range(call.context.policy.attempts - 1):
            if outcome.action is not Action.READ:
                break
            sequence = await self._get(call, sequence_id)
            call.is_unknown = False
            if sequence.is_default:
                return
            outcome = await self._dispatcher.send(call, request)
        if outcome.error is not None:
            raise outcome.error

    async def repair(self, call: Call, sequence: Sequence) -> Sequence:
        """Make a sequence the default, as requested, and return it as read afterwards."""
        if sequence.registration is Registration.PARTIAL:
            raise partial_registration_error(
                sequence
            )  # it must not be used, so it is never made the default
        await self.set_current(call, sequence.id)
        sequence = await self._get(call, sequence.id)
        if not sequence.is_default:
            raise malformed_response(
                "sequence.default_sequence: not set although set_current succeeded"
            )
        return sequence

    async def keep(self, call: Call, sequence: Sequence, listing: Listing) -> Sequence:
        """Restore the account's default if a create that must not change it has changed it.

        It is unknown whether a server makes a new sequence the default by itself, and the flag in
        the response to a create was seen to be wrong.
        """
        before = listing.other_default(sequence)
        if before is None:
            return sequence
        if not sequence.is_default:
            sequence = await self._look_again(call, sequence)
        if not sequence.is_default:
            return sequence
        why = "although the server accepted it"
        try:
            await self.set_current(call, before.id)
            is_back = (await self._get(call, before.id)).is_default
            sequence = await self._get(call, sequence.id)
        except InvoiceXpressError as error:
            is_back, why = False, f"({type(error).__name__})"
        if is_back and not sequence.is_default:
            return sequence
        raise DefaultChangedError(
            f"The server made {sequence.serie!r} the default by itself, and {before.serie!r} (id "
            f"{before.id}) is not known to be it again {why}.",
            sequence=sequence,
        )

    async def _look_again(self, call: Call, sequence: Sequence) -> Sequence:
        try:
            return await self._get(call, sequence.id)
        except InvoiceXpressError:
            return sequence  # the create has succeeded, even if a read after it failed

    async def _get(self, call: Call, sequence_id: int) -> Sequence:
        return await self._dispatcher.fetch(call, self._requests.get(sequence_id))
