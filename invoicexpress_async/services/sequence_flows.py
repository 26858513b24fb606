"""The operations on sequences: send at most once, then read until the outcome is known."""

import time
from typing import Literal

from invoicexpress_async.call.context import AttemptResult, Call
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.call.reconcile import (
    LOOKALIKE_DIFFERENCE,
    Listing,
    Reconciler,
    partial_registration_error,
)
from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.errors import (
    ConfigurationError,
    ConflictError,
    NoOpenActivityError,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceBeingRegisteredError,
    StatusError,
    TaxAuthorityCredentialsError,
    UnknownSequenceError,
)
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Ensured, Registration, Sequence, Via
from invoicexpress_async.protocol.decision import Action
from invoicexpress_async.protocol.sequences import SequenceRequests
from invoicexpress_async.services.default_flag import DefaultFlag

_REGISTERED = frozenset({Registration.REGISTERED, Registration.NOT_APPLICABLE})
_INCOMPLETE = frozenset({Registration.PARTIAL, Registration.NOT_REGISTERED})
# A sequence that one of these refusals left behind is not the requested one.
_WITHOUT_A_SUBSTITUTE = (TaxAuthorityCredentialsError, NoOpenActivityError, UnknownSequenceError)


class SequenceOperations:
    """The work behind `SequenceService`, run under a deadline by the dispatcher."""

    def __init__(self, dispatcher: Dispatcher, requests: SequenceRequests) -> None:
        self._dispatcher = dispatcher
        self._requests = requests
        self._reconciler = Reconciler(dispatcher, requests)
        self.default: DefaultFlag = DefaultFlag(dispatcher, requests, self._reconciler)
        self._realm = dispatcher.realm

    async def list(self, call: Call) -> Listing:
        """Read all sequences."""
        return await self._reconciler.list(call)

    async def find(self, call: Call, serie: str) -> Sequence | None:
        """Read the sequence with exactly this name."""
        return (await self.list(call)).find(serie)

    async def get(self, call: Call, sequence_id: int) -> Sequence:
        """Read one sequence."""
        return await self._dispatcher.fetch(call, self._requests.get(sequence_id))

    async def create(
        self, call: Call, serie: str, *, default: bool, had_sequences: bool | None = None
    ) -> tuple[Sequence, Via]:
        """Send a create, or look up an earlier one of this process with an unknown outcome."""
        intent = _intent(
            call, "create", serie=serie, is_default=default, had_sequences=had_sequences
        )
        if call.context.keys.known is None:
            await call.context.keys.get()  # a slow vault must not block calls that have the key
        # One create at a time: the next may be sent only when the outcome of this one is known.
        async with self._realm.send_lock.hold(
            (call.context.account, canonical(serie))
        ) as has_waited:
            if pending := self._realm.unresolved.get(intent):
                await call.persist_intent(pending)
                sequence, via = await self._look_up(call, pending), Via.OBSERVED
            else:
                if has_waited:
                    await self._check_still_absent(call, serie)
                sequence, via = await self._send_create(call, intent, serie, default=default)
        self._note_created(call, sequence)
        if default:
            self._realm.default_choices.add(call.context.account, sequence.id)
        if default and not sequence.is_default:
            sequence = await self.default.repair(call, sequence)
        if sequence.is_default and not default:
            self._dispatcher.instrumentation.became_default(call, sequence)
        return sequence, via

    def _note_created(self, call: Call, sequence: Sequence) -> None:
        self._realm.recent_creates.add(call.context.account, canonical(sequence.serie), sequence.id)

    async def _check_still_absent(self, call: Call, serie: str) -> None:
        is_made = self._realm.recent_creates.get(call.context.account, canonical(serie)) is not None
        if is_made or (await self.list(call)).find(serie) is not None:
            raise SequenceAlreadyExistsError(
                "Another call of this process has just created it.",
                status=422,  # what the server would respond with
                code="002",
            )

    async def _check_still_unregistered(self, call: Call, sequence_id: int) -> None:
        sequence = await self.get(call, sequence_id)
        if sequence.registration in _REGISTERED:
            refusal = SequenceAlreadyRegisteredError(
                "Another call of this process has just registered it.",
                status=409,  # what the server would respond with
                code="005",
            )
            refusal.sequence = sequence
            raise refusal

    async def _send_create(
        self, call: Call, intent: Intent, serie: str, *, default: bool
    ) -> tuple[Sequence, Via]:
        if other := await self._dispatcher.begin(call, intent):
            return await self._look_up(call, other), Via.LISTED
        try:
            request = self._requests.create(serie, default=default)
            outcome = await self._dispatcher.send(call, request)
            sequence = await self._created(call, serie, outcome)
        finally:
            self._dispatcher.settle(call)
        if outcome.action is Action.ACCEPT:
            return sequence, Via.ANSWERED
        is_of_another = isinstance(outcome.error, SequenceBeingRegisteredError)
        return sequence, Via.LISTED if is_of_another else Via.OBSERVED

    async def register(self, call: Call, sequence_id: int) -> Sequence:
        """Send a register, or look up an earlier one of this process with an unknown outcome."""
        intent = _intent(call, "register", sequence_id=sequence_id)
        if call.context.keys.known is None:
            await call.context.keys.get()
        async with self._realm.send_lock.hold((call.context.account, sequence_id)) as has_waited:
            if pending := self._realm.unresolved.get(intent):
                await call.persist_intent(pending)
                return await self._look_up(call, pending)
            if has_waited:
                await self._check_still_unregistered(call, sequence_id)
            if other := await self._dispatcher.begin(call, intent):
                return await self._look_up(call, other)
            try:
                outcome = await self._dispatcher.send(call, self._requests.register(sequence_id))
                sequence = await self._registered(call, sequence_id, outcome)
            finally:
                self._dispatcher.settle(call)
        if sequence.registration in _INCOMPLETE:
            raise partial_registration_error(sequence)
        return sequence

    async def ensure(self, call: Call, serie: str, *, default: bool, registered: bool) -> Ensured:
        """Make sure that the sequence exists, and is registered and the default if requested."""
        mark = self.default.mark(call)
        listing = await self.list(call)
        if call.context.check_list is not None:
            call.context.check_list(listing.sequences)
        # It is unknown whether a list can lag behind a create; what this process created exists.
        sequence = listing.find(serie) or await self._get_created(call, serie)
        via = Via.LISTED
        if sequence is None:
            sequence, via = await self._create_absent(
                call, serie, listing, default=default, registered=registered
            )
            if not default and via is not Via.LISTED:
                sequence = await self.default.keep(call, sequence, listing, mark)
        else:
            self._dispatcher.observe(call, _intent(call, "create", serie=serie))
            if sequence.registration in _REGISTERED:
                self._dispatcher.observe(call, _intent(call, "register", sequence_id=sequence.id))
        if registered:
            sequence = await self._repair_registration(call, sequence)
        if default and not sequence.is_default:
            sequence = await self.default.repair(call, sequence)
        return Ensured(sequence=sequence, created=via is not Via.LISTED, via=via)

    async def resume(self, call: Call, intent: Intent) -> Sequence:
        """Read until the outcome of an earlier send is known."""
        sequence = await self._look_up(call, intent)
        if intent["operation"] == "create":
            self._note_created(call, sequence)
        return sequence

    async def _get_created(self, call: Call, serie: str) -> Sequence | None:
        """Return the sequence of that name that this process created, even if no list shows it."""
        made = self._realm.recent_creates.get(call.context.account, canonical(serie))
        return None if made is None else await self.get(call, made)

    async def _create_absent(
        self, call: Call, serie: str, listing: Listing, *, default: bool, registered: bool
    ) -> tuple[Sequence, Via]:
        if similar := listing.find_similar(serie):
            raise ConfigurationError(
                f"The account has {similar.serie!r}, which differs from {serie!r} "
                f"{LOOKALIKE_DIFFERENCE}, and a sequence can never be deleted: use that spelling "
                "or another name, or call create() if you do want both."
            )
        try:
            return await self.create(
                call, serie, default=default, had_sequences=bool(listing.sequences)
            )
        except StatusError as error:
            refusal = error
        if isinstance(refusal, SequenceAlreadyExistsError):
            # Another create was faster: return its sequence.
            existing = (await self.list(call)).find(serie) or await self._get_created(call, serie)
        else:
            existing = _existing_despite(refusal, registered=registered)
        if existing is None:
            raise refusal
        # A conflict means that it existed before; after another refusal, it is most likely ours.
        is_of_another = isinstance(refusal, ConflictError | SequenceAlreadyExistsError)
        return existing, Via.LISTED if is_of_another else Via.OBSERVED

    async def _created(self, call: Call, serie: str, outcome: AttemptResult[Sequence]) -> Sequence:
        if outcome.action is Action.READ:
            return await self._reconciler.after_create(call, serie, outcome.error)
        if outcome.action is Action.READ_ONCE and isinstance(outcome.error, StatusError):
            raise await self._reconciler.after_refused_create(call, serie, outcome.error)
        return outcome.result()

    async def _registered(
        self, call: Call, sequence_id: int, outcome: AttemptResult[Sequence]
    ) -> Sequence:
        if outcome.action is Action.READ:
            return await self._reconciler.after_register(call, sequence_id, outcome.error)
        if outcome.action is Action.READ_ONCE and isinstance(outcome.error, StatusError):
            raise await self._reconciler.after_refused_register(call, sequence_id, outcome.error)
        # A register that the tax authority refuses leaves nothing behind: the row existed before.
        call.is_unknown = False
        return outcome.result()

    async def _look_up(self, call: Call, intent: Intent) -> Sequence:
        """Read until the outcome of an intent is known."""
        call.intent, call.is_unknown = intent, True
        reconciler = self._reconciler
        try:
            if intent["operation"] == "create":
                serie = intent["serie"] or ""
                sequence = await reconciler.after_create(call, serie, None, immediately=True)
            else:
                sequence_id = intent["sequence_id"] or 0
                sequence = await reconciler.after_register(
                    call, sequence_id, None, immediately=True
                )
        finally:
            if not call.is_unknown:  # also when it is known to be partial
                self._dispatcher.observe(call, intent)
            self._dispatcher.settle(call)
        return sequence

    async def _repair_registration(self, call: Call, sequence: Sequence) -> Sequence:
        registration = sequence.registration
        if registration is Registration.NOT_REGISTERED:
            sequence = await self._register_missing(call, sequence.id)
            registration = sequence.registration
        if registration in _REGISTERED:
            return sequence
        # It is unknown whether a partial sequence, or one without codes, can be registered again.
        raise partial_registration_error(sequence)

    async def _register_missing(self, call: Call, sequence_id: int) -> Sequence:
        try:
            return await self.register(call, sequence_id)
        except StatusError as error:
            refusal = error
        if isinstance(refusal, SequenceAlreadyRegisteredError):
            return refusal.sequence or await self.get(call, sequence_id)
        if (registered := _existing_despite(refusal, registered=True)) is None:
            raise refusal
        return registered


def _existing_despite(refusal: StatusError, *, registered: bool) -> Sequence | None:
    """Return the sequence that exists despite the refusal, if it is the requested one.

    An unregistered sequence is not registered here: that may be refused for the same cause.
    """
    sequence = refusal.sequence
    if sequence is None or isinstance(refusal, _WITHOUT_A_SUBSTITUTE):
        return None
    return sequence if sequence.registration in _REGISTERED or not registered else None


def _intent(  # noqa: PLR0913  # the fields of an intent
    call: Call,
    operation: Literal["create", "register"],
    *,
    serie: str | None = None,
    sequence_id: int | None = None,
    is_default: bool = False,
    had_sequences: bool | None = None,
) -> Intent:
    return {
        "version": 1,
        "operation": operation,
        "account": call.context.account,
        "serie": serie,
        "sequence_id": sequence_id,
        "is_default": is_default,
        "had_sequences": had_sequences,
        "sent_at": time.time(),
    }
