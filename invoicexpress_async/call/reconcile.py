"""Reconciling: an unknown outcome is read until it is known, and the request is not sent again.

The times of the reads come from `RetryPolicy`; all are inside the deadline. "List once, then send
again" makes duplicates as often as a blind retry when the server commits late.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import attrs

from invoicexpress_async.call.context import Call
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.config.serie_names import canonical, fold
from invoicexpress_async.errors import (
    InvoiceXpressError,
    MalformedResponseError,
    PartialRegistrationError,
    SequenceAlreadyExistsError,
    SequenceBeingRegisteredError,
    StatusError,
    UnknownSequenceError,
)
from invoicexpress_async.models.sequence import Registration, Sequence
from invoicexpress_async.protocol.sequences import SequenceRequests
from invoicexpress_async.protocol.strict import malformed_response

# No paginated list of sequences was ever seen: this bounds a server that always has a next page.
_MAX_PAGES: Final = 200
_MAX_READINGS: Final = 4
_AFTER_THE_SCHEDULE_SECONDS: Final = 45.0
_SETTLED: Final = frozenset({Registration.REGISTERED, Registration.NOT_APPLICABLE})


@attrs.frozen(kw_only=True)
class Listing:
    """One complete list of an account's sequences."""

    sequences: tuple[Sequence, ...]

    def find(self, serie: str) -> Sequence | None:
        """Return the only sequence with that exact name, or another Unicode form of it; else None.

        Two sequences are an error: the server refuses a second one, so the list is wrong, and
        guessing one of them could number documents wrongly.
        """
        found = [sequence for sequence in self.sequences if sequence.serie == serie]
        if not found:
            form = canonical(serie)
            found = [one for one in self.sequences if canonical(one.serie) == form]
        if len(found) > 1:
            ids = " and ".join(str(sequence.id) for sequence in found)
            raise malformed_response(
                f"sequences: {len(found)} are called {serie!r}, with the ids {ids}"
            )
        return found[0] if found else None

    def find_similar(self, serie: str) -> Sequence | None:
        """Return a sequence whose name only looks the same; it may be another sequence."""
        folded = fold(serie)
        return next((one for one in self.sequences if fold(one.serie) == folded), None)

    def other_default(self, sequence: Sequence) -> Sequence | None:
        """Return the account's only default; None when it is `sequence` or not exactly one."""
        defaults = [one for one in self.sequences if one.is_default]
        if len(defaults) != 1 or defaults[0].id == sequence.id:
            return None
        return defaults[0]

    def absence_reason(self, serie: str) -> str:
        """Return why `serie` is not found, for people."""
        similar = self.find_similar(serie)
        if similar is None:
            return "no list has shown the sequence"
        return f"there is {similar.serie!r} (id {similar.id}), which differs {LOOKALIKE_DIFFERENCE}"


LOOKALIKE_DIFFERENCE: Final = "in case, spaces or look-alike characters only"
"""How a name that `Listing.find_similar` finds differs from the requested name."""


class Reconciler:
    """Looks up outcomes: it only reads, and never sends a request with an effect."""

    def __init__(self, dispatcher: Dispatcher, requests: SequenceRequests) -> None:
        self._dispatcher = dispatcher
        self._requests = requests
        self._clock = dispatcher.clock

    async def list(self, call: Call) -> Listing:
        """Read all sequences of the account; raise any error that makes the list incomplete."""
        for _ in range(_MAX_READINGS):
            pages = await self._read_pages(call)
            rows = [one for page in pages for one in page]
            once = {(one.id, one.serie): one for one in rows}
            if len(pages) == 1 or len(once) == len(rows):
                return Listing(sequences=tuple(once.values()))
            # A row has moved to a later page meanwhile; another one may have moved to an earlier
            # page, and was not read at all.
        raise malformed_response("sequences: their order changed each time the pages were read")

    async def _read_pages(self, call: Call) -> tuple[tuple[Sequence, ...], ...]:
        pages: tuple[tuple[Sequence, ...], ...] = ()
        for number in range(1, _MAX_PAGES + 1):
            page = await self._dispatcher.fetch(call, self._requests.list(number))
            pages += (page.sequences,)
            if page.is_last:
                return pages
        raise malformed_response(f"pagination: more than {_MAX_PAGES} pages")

    async def after_create(
        self,
        call: Call,
        serie: str,
        server_error: InvoiceXpressError | None,
        *,
        immediately: bool = False,
    ) -> Sequence:
        """Read until a list shows the sequence.

        Args:
            call: The call, with its intent set and unresolved.
            serie: The name that was sent.
            server_error: The error in the server's response to the create, if there was one.
            immediately: Whether the first read is due at once, as when an old intent is resumed.

        Raises:
            SequenceBeingRegisteredError: it was `server_error`, and no settled sequence was found.
            UnknownSequenceError: it was `server_error`, and an unregistered sequence was found.
            OutcomeUnknownError: no sequence was found.
        """
        is_being_registered = isinstance(server_error, SequenceBeingRegisteredError)
        why, was_absent = "no list has shown the sequence", False
        started = self._clock.now()
        for at_seconds in _schedule(call, immediately=immediately, is_endless=is_being_registered):
            if not await self._wait_until(call, started + at_seconds):
                break
            try:
                listing = await self.list(call)
            except InvoiceXpressError as error:
                why, was_absent = f"the last list failed ({type(error).__name__})", False
                continue  # a failing list is not "absent"
            found = self._match(call, listing, serie)
            was_absent = found is None and _is_absent(call, listing, serie)
            if found is not None and not (is_being_registered and not _is_settled(found)):
                self._dispatcher.instrumentation.reconciled(call, is_found=True)
                return self._interpret(call, found, server_error, is_late=immediately)
            why = listing.absence_reason(serie)
        if server_error is not None and is_being_registered:
            raise server_error
        if server_error is not None:
            why = f"{why}, and all that had come was: {str(server_error.args[0]).rstrip('.')}"
        self._dispatcher.instrumentation.reconciled(call, is_found=False)
        raise call.unknown_error(why, was_absent=was_absent)

    async def after_register(
        self,
        call: Call,
        sequence_id: int,
        server_error: InvoiceXpressError | None,
        *,
        immediately: bool = False,
    ) -> Sequence:
        """Read until the sequence is registered. The arguments are those of `after_create`.

        Raises:
            SequenceBeingRegisteredError: it was `server_error`, and the sequence has not settled.
            PartialRegistrationError: at the end of the schedule, some types have no code.
            OutcomeUnknownError: no read has shown the sequence as registered.
        """
        is_being_registered = isinstance(server_error, SequenceBeingRegisteredError)
        last: Sequence | None = None
        started = self._clock.now()
        for at_seconds in _schedule(call, immediately=immediately, is_endless=is_being_registered):
            if not await self._wait_until(call, started + at_seconds):
                break
            try:
                last = await self._dispatcher.fetch(call, self._requests.get(sequence_id))
            except InvoiceXpressError:
                continue  # a failing read proves nothing
            if _is_settled(last):
                call.is_unknown, call.has_changed = False, True
                self._dispatcher.instrumentation.reconciled(call, is_found=True)
                return last
        if server_error is not None and is_being_registered:
            raise server_error
        if last is not None and last.registration is Registration.PARTIAL:
            call.is_unknown, call.has_changed = False, True
            raise partial_registration_error(last)
        self._dispatcher.instrumentation.reconciled(call, is_found=False)
        raise call.unknown_error("no read has shown the sequence as registered")

    async def after_refused_create(
        self, call: Call, serie: str, refusal: StatusError
    ) -> StatusError:
        """Read once whether a sequence of that name exists; return the refusal with it."""

        async def look() -> Sequence | None:
            return (await self.list(call)).find(serie)

        return await _seen_after(call, refusal, look, is_effect=lambda one: not _has_documents(one))

    async def after_refused_register(
        self, call: Call, sequence_id: int, refusal: StatusError
    ) -> StatusError:
        """Read once whether the sequence is registered; return the refusal with it."""

        async def look() -> Sequence:
            return await self._dispatcher.fetch(call, self._requests.get(sequence_id))

        return await _seen_after(call, refusal, look, is_effect=_is_settled)

    def _match(self, call: Call, listing: Listing, serie: str) -> Sequence | None:
        try:
            return listing.find(serie)
        except MalformedResponseError as error:
            why = error.problems[0]
        raise call.unknown_error(why)

    def _interpret(
        self, call: Call, found: Sequence, server_error: InvoiceXpressError | None, *, is_late: bool
    ) -> Sequence:
        had_before = call.intent is not None and call.intent["had_sequences"] is not None
        if not had_before and not is_late and _has_documents(found):
            # A new sequence has used no number: this one existed before, so ours was refused. An
            # old intent is different: its sequence may have been used since.
            call.is_unknown = False
            raise SequenceAlreadyExistsError(
                f"The create failed, and the sequence (id {found.id}) has documents already."
            )
        call.is_unknown, call.has_changed = False, True
        if isinstance(server_error, UnknownSequenceError) and not _is_settled(found):
            server_error.sequence = found
            server_error.may_have_been_processed = True
            raise server_error
        return found

    async def _wait_until(self, call: Call, when: float) -> bool:
        """Sleep until `when` and return True; return False at once if the deadline comes first."""
        if when >= call.deadline:
            return False
        await self._clock.sleep(max(0.0, when - self._clock.now()))
        return True


async def _seen_after(
    call: Call,
    refusal: StatusError,
    look: Callable[[], Awaitable[Sequence | None]],
    *,
    is_effect: Callable[[Sequence], bool],
) -> StatusError:
    try:
        found = await look()
    except InvoiceXpressError:
        return refusal  # an unknown outcome stays unknown, and the error shows it
    was_unknown, call.is_unknown = call.is_unknown, False
    refusal.sequence = found
    refusal.may_have_been_processed = was_unknown and found is not None and is_effect(found)
    return refusal


def _has_documents(sequence: Sequence) -> bool:
    return any(state.number for state in sequence.documents.values())


def partial_registration_error(sequence: Sequence) -> PartialRegistrationError:
    """Return the error for a sequence of which some document types have no code."""
    types = ", ".join(sequence.unregistered)
    return PartialRegistrationError(
        f"Sequence {sequence.serie!r} (id {sequence.id}) has no validation code for: {types}.",
        sequence=sequence,
    )


def _is_settled(sequence: Sequence) -> bool:
    return sequence.registration in _SETTLED


def _is_absent(call: Call, listing: Listing, serie: str) -> bool:
    """Whether the list shows that the sequence is absent at present."""
    had_sequences = call.intent is not None and call.intent["had_sequences"]
    is_emptied = had_sequences and not listing.sequences  # sequences are never deleted
    return not is_emptied and listing.find_similar(serie) is None


def _schedule(call: Call, *, immediately: bool, is_endless: bool) -> Iterator[float]:
    """Yield the seconds after the send at which to read; only the deadline ends an endless one."""
    if immediately:
        yield 0.0
    schedule = call.context.policy.read_after_seconds
    yield from schedule
    last = schedule[-1] if schedule else float("inf")
    while is_endless:
        last += _AFTER_THE_SCHEDULE_SECONDS
        yield last
