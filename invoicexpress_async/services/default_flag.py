"""The account's default sequence: set it, verify it, and verify that it is unchanged."""

from invoicexpress_async.call.context import Call
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.call.reconcile import Listing, Reconciler, partial_registration_error
from invoicexpress_async.errors import DefaultChangedError, InvoiceXpressError
from invoicexpress_async.models.sequence import Registration, Sequence
from invoicexpress_async.protocol.decision import Action
from invoicexpress_async.protocol.sequences import SequenceRequests
from invoicexpress_async.protocol.strict import malformed_response


class DefaultFlag:
    """Sets the default flag of one sequence, which takes it from the previous default.

    The calls of this process change the flag of an account one after the other, each until it has
    read the result: none undoes what another has reported.
    """

    def __init__(
        self, dispatcher: Dispatcher, requests: SequenceRequests, reconciler: Reconciler
    ) -> None:
        self._dispatcher = dispatcher
        self._requests = requests
        self._reconciler = reconciler
        self._choices = dispatcher.realm.default_choices
        self._lock = dispatcher.realm.send_lock

    async def set_current(self, call: Call, sequence_id: int) -> None:
        """Make a sequence the default; send again only when a read shows that it is needed."""
        async with self._lock.hold(_key(call)):
            self._note_chosen(call, sequence_id)
            await self._set(call, sequence_id)

    async def repair(self, call: Call, sequence: Sequence) -> Sequence:
        """Make a sequence the default, as requested, and return it as read afterwards."""
        if sequence.registration is Registration.PARTIAL:
            raise partial_registration_error(
                sequence
            )  # it must not be used, so it is never made the default
        async with self._lock.hold(_key(call)):
            self._note_chosen(call, sequence.id)
            await self._set(call, sequence.id)
            sequence = await self._get(call, sequence.id)
        if not sequence.is_default:
            raise malformed_response(
                "sequence.default_sequence: not set although set_current succeeded"
            )
        return sequence

    async def keep(self, call: Call, sequence: Sequence, listing: Listing, mark: int) -> Sequence:
        """Restore the account's default if a create that must not change it has changed it.

        It is unknown whether a server makes a new sequence the default by itself, and the flag in
        the response to a create was seen to be wrong. What another call of this process has made
        the default since `mark` (see `mark`) stays, or is restored instead.
        """
        before = listing.other_default(sequence)
        if before is None:
            return sequence
        if not sequence.is_default:
            sequence = await self._look_again(call, sequence)
        if not sequence.is_default:
            return sequence
        async with self._lock.hold(_key(call)):
            chosen = self._choices.since(call.context.account, mark)
            if chosen == sequence.id:
                return sequence
            return await self._restore(call, sequence, chosen or before.id)

    def mark(self, call: Call) -> int:
        """Return the present moment, for `keep`."""
        return self._choices.number(call.context.account)

    def _note_chosen(self, call: Call, sequence_id: int) -> None:
        self._choices.add(call.context.account, sequence_id)

    async def _restore(self, call: Call, sequence: Sequence, previous_id: int) -> Sequence:
        why = "although the server accepted it"
        try:
            await self._set(call, previous_id)
            is_back = (await self._get(call, previous_id)).is_default
            sequence = await self._get(call, sequence.id)
        except InvoiceXpressError as error:
            is_back, why = False, f"({type(error).__name__})"
        if is_back and not sequence.is_default:
            return sequence
        raise DefaultChangedError(
            f"The server made {sequence.serie!r} the default by itself, and the sequence with the "
            f"id {previous_id} is not known to be it again {why}.",
            sequence=sequence,
        )

    async def _set(self, call: Call, sequence_id: int) -> None:
        request = self._requests.set_current(sequence_id)
        outcome = await self._dispatcher.send(call, request)
        for _ in range(call.context.policy.attempts - 1):
            if outcome.action is not Action.READ:
                break
            sequence = await self._get(call, sequence_id)
            call.is_unknown = False
            if sequence.is_default:
                return
            if call.context.check_list is not None:  # others may have decided otherwise meanwhile
                call.context.check_list((await self._reconciler.list(call)).sequences)
            outcome = await self._dispatcher.send(call, request)
        if outcome.error is not None:
            raise outcome.error

    async def _look_again(self, call: Call, sequence: Sequence) -> Sequence:
        try:
            return await self._get(call, sequence.id)
        except InvoiceXpressError:
            return sequence  # the create has succeeded, even if a read after it failed

    async def _get(self, call: Call, sequence_id: int) -> Sequence:
        return await self._dispatcher.fetch(call, self._requests.get(sequence_id))


def _key(call: Call) -> tuple[str, str, str]:
    return call.context.account, "default", ""  # three parts, unlike the key of a serie
