"""`SequenceService`: the coroutines of one account's sequences."""

from typing import NoReturn

import attrs

from invoicexpress_async.call.context import AccountContext, Call, IntentHook
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.call.single_flight import SingleFlight
from invoicexpress_async.config import check_bool, check_id, check_serie
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Ensured, Sequence
from invoicexpress_async.protocol.intents import structure_intent
from invoicexpress_async.services.sequence_flows import SequenceOperations


@attrs.frozen(kw_only=True)
class SharedServices:
    """The objects that the services of all accounts of one manager share."""

    dispatcher: Dispatcher
    operations: SequenceOperations
    flights: SingleFlight[Ensured]


class SequenceService:
    """The document sequences of one account. Available as `AccountSession.sequences`.

    Every coroutine takes `timeout_seconds`, one deadline for everything that it does, and raises
    the errors of `invoicexpress_async.errors`:

    - `ConfigurationError` for an invalid argument, before anything is sent;
    - `StatusError` or a subclass when the server refuses;
    - `TransportError` when no complete response came and nothing can have changed;
    - `MalformedResponseError` or `UnexpectedRedirectError` for a response of another kind;
    - `SessionClosedError` when the manager is closed, or of another event loop or process.
    """

    def __init__(self, shared: SharedServices, context: AccountContext) -> None:
        self._shared = shared
        self._dispatcher = shared.dispatcher
        self._operations = shared.operations
        self._context = context

    def __reduce__(self) -> NoReturn:
        raise TypeError("A SequenceService is not pickled: it goes with its SessionManager.")

    async def create(
        self,
        serie: str,
        *,
        default: bool = False,
        on_intent: IntentHook | None = None,
        timeout_seconds: float | None = None,
    ) -> Sequence:
        """Create a sequence, and thereby register it with the tax authority.

        Sent at most once: after a lost response, the sequence is looked up, at about 1, 4, 10, 30
        and 75 s. The server calls the tax authority for about 11 document types, which can take a
        minute. Check `registration` of the result: some types may have no code. With `default`,
        the flag is checked, and set if the server has not set it.

        A sequence that is found after a lost response and has no documents yet is assumed to be the
        one that was sent; `ensure` lists first, and so knows. The server may make the new sequence
        the default although `default` is False: then `is_default` of the result is True, and a
        warning is logged.

        Args:
            serie: The name, sent exactly as given: at most 35 characters; the provider advises
                against spaces. It can never be changed.
            default: Make the sequence the account's default.
            on_intent: Awaited with the intent before the send, so that it survives a crash.
            timeout_seconds: The deadline of the call; the manager's by default.

        Raises:
            SequenceAlreadyExistsError: the name is taken; `ensure` returns the existing sequence.
            TaxAuthorityCredentialsError: the account has no valid AT credentials.
            NoOpenActivityError: the account's fiscal number has no open activity.
            StatusError: any other refusal. After a refusal by the tax authority, or one that the
                API does not document, the name is looked up once: `sequence` is the result.
            SequenceBeingRegisteredError: the registration is under way, and did not end in time.
            OutcomeUnknownError: the request was sent, and its outcome is unknown: `resume` it.
            InvoiceXpressError: as for every coroutine here.
        """
        call = self._call("create", timeout_seconds, check_serie(serie), on_intent)
        work = self._operations.create(call, serie, default=check_bool("default", default))
        sequence, _ = await self._dispatcher.run(call, work)
        return sequence

    async def list(self, *, timeout_seconds: float | None = None) -> tuple[Sequence, ...]:
        """Return all sequences of the account, in the server's order.

        Raises:
            InvoiceXpressError: as for every coroutine here.
        """
        call = self._call("list", timeout_seconds)
        return (await self._dispatcher.run(call, self._operations.list(call))).sequences

    async def get(self, sequence_id: int, *, timeout_seconds: float | None = None) -> Sequence:
        """Return one sequence by its id.

        Raises:
            NotFoundError: the account has no such sequence.
            InvoiceXpressError: as for every coroutine here.
        """
        call = self._call("get", timeout_seconds, check_id(sequence_id))
        return await self._dispatcher.run(call, self._operations.get(call, sequence_id))

    async def find(self, serie: str, *, timeout_seconds: float | None = None) -> Sequence | None:
        """Return the sequence with exactly this name, or None.

        A name that is stored in another Unicode form (NFC) is the same name.

        Raises:
            MalformedResponseError: two sequences have that name, or the response is malformed.
            InvoiceXpressError: as for every coroutine here.
        """
        call = self._call("find", timeout_seconds, check_serie(serie))
        return await self._dispatcher.run(call, self._operations.find(call, serie))

    async def set_current(self, sequence_id: int, *, timeout_seconds: float | None = None) -> None:
        """Make a sequence the account's default. Sent again only if a read shows that it is needed.

        Raises:
            NotFoundError: the account has no such sequence.
            InvoiceXpressError: as for every coroutine here.
        """
        call = self._call("set_current", timeout_seconds, check_id(sequence_id))
        await self._dispatcher.run(call, self._operations.default.set_current(call, sequence_id))

    async def register(
        self,
        sequence_id: int,
        *,
        on_intent: IntentHook | None = None,
        timeout_seconds: float | None = None,
    ) -> Sequence:
        """Register a sequence with the tax authority. Sent at most once, then looked up.

        Args:
            sequence_id: The id of the sequence.
            on_intent: Awaited with the intent before the send, so that it survives a crash.
            timeout_seconds: The deadline of the call; the manager's by default.

        Raises:
            SequenceAlreadyRegisteredError: the sequence is registered already; the error's
                `sequence` is the result of a read.
            SequenceBeingRegisteredError: the registration is under way, and did not end in time.
            PartialRegistrationError: some document types have no code; see its `sequence`.
            TaxAuthorityCredentialsError: the account has no valid AT credentials.
            NoOpenActivityError: the account's fiscal number has no open activity.
            AccountNotPortugueseError: only Portuguese accounts register sequences.
            OutcomeUnknownError: the request was sent, and its outcome is unknown: `resume` it.
            InvoiceXpressError: as for every coroutine here.
        """
        call = self._call("register", timeout_seconds, check_id(sequence_id), on_intent)
        return await self._dispatcher.run(call, self._operations.register(call, sequence_id))

    async def ensure(  # noqa: PLR0913  # keyword-only options
        self,
        serie: str,
        *,
        default: bool = False,
        registered: bool = True,
        on_intent: IntentHook | None = None,
        shared: bool = True,
        timeout_seconds: float | None = None,
    ) -> Ensured:
        """Make sure the sequence exists. Safe to call again.

        Lists first, creates the sequence only if it is absent, registers it if it is not registered
        at all, and sets and verifies the default flag. Simultaneous calls of this process that
        ensure the same sequence share one run.

        Args:
            serie: The exact name.
            default: Whether the sequence must be the account's default. False leaves the default
                unchanged: when there is another default, the flag is read after a create, and if
                it has changed, the previous default is restored.
            registered: Whether every document type that needs a validation code must have one.
            on_intent: Awaited with each intent before the send, so that it survives a crash.
                Calls with different callables do not share a run.
            shared: Whether to share a run. False costs less, for a job that ensures each sequence
                once. Simultaneous calls for the same sequence still send only one create: the
                others wait and read.
            timeout_seconds: The deadline of the call; the manager's by default.

        Raises:
            PartialRegistrationError: the sequence exists, and some types have no code; it is not
                made the default.
            ConfigurationError: there is a sequence whose name differs only in case, spaces or
                look-alike characters.
            DefaultChangedError: without `default`, the server made the new sequence the default
                by itself, and the previous one could not be restored.
            OutcomeUnknownError: a create or register was sent, and its outcome is unknown.
            InvoiceXpressError: as for `create` and `register`.
        """
        call = self._call("ensure", timeout_seconds, check_serie(serie), on_intent)
        default, registered = check_bool("default", default), check_bool("registered", registered)
        if not check_bool("shared", shared):
            work = self._operations.ensure(call, serie, default=default, registered=registered)
            return await self._dispatcher.run(call, work)
        flight = self._shared.flights.run(
            (
                call.context.account,
                call.context.keys.identity,
                serie,
                default,
                registered,
                on_intent,
                # A run that may have read the flag before it was changed has no answer for it.
                default and self._operations.default.mark(call),
            ),
            call,
            lambda leader: self._operations.ensure(
                leader, serie, default=default, registered=registered
            ),
        )
        return await self._dispatcher.run(call, flight)

    async def resume(self, intent: Intent, *, timeout_seconds: float | None = None) -> Sequence:
        """Read until the outcome of an earlier send is known. Only reads are sent.

        Args:
            intent: The intent of an `OutcomeUnknownError`, from this process or another.
            timeout_seconds: The deadline of the call; the first read is made at once.

        Raises:
            OutcomeUnknownError: the outcome is still unknown; resume the intent later.
            ConfigurationError: it is not an intent, or belongs to another account.
            InvoiceXpressError: as for every coroutine here.
        """
        checked = self._validated_intent(intent)
        name = checked["sequence_id"] if checked["serie"] is None else checked["serie"]
        call = self._call("resume", timeout_seconds, name)
        return await self._dispatcher.run(call, self._operations.resume(call, checked))

    def forget(self, intent: Intent) -> None:
        """Treat a send as lost, so that `create` and `ensure` of this process may send again.

        Only call this after you have checked that the sequence is absent, in at least two complete
        lists far apart and long after the send (`OutcomeUnknownError.was_absent`). If the server
        commits even later, the sequence exists twice, or the second create is refused; a sequence
        can never be deleted. A later send for the same sequence is not forgotten with this one.

        Raises:
            ConfigurationError: it is not an intent, or belongs to another account.
        """
        self._dispatcher.forget(self._context, self._validated_intent(intent))

    def unresolved(self) -> tuple[Intent, ...]:
        """Return the intents that this process sent for the account, and whose outcome is unknown.

        Calls that were cancelled after the send are included. An intent is removed when a `resume`,
        `ensure` or `create` of the same sequence finds it.
        """
        return self._dispatcher.realm.unresolved.for_account(self._context.account)

    def _validated_intent(self, intent: Intent) -> Intent:
        checked = structure_intent(intent)
        if checked["operation"] == "create_account":
            raise ConfigurationError(
                "An account create cannot be resumed by reading: look for the company's e-mail "
                f"{checked.get('email')!r} among the partner's accounts."
            )
        if checked["account"] != self._context.account:
            raise ConfigurationError(
                f"The intent is of account {checked['account']}, not {self._context.account}."
            )
        return checked

    def _call(
        self,
        operation: str,
        timeout_seconds: float | None,
        name: str | int | None = None,
        on_intent: IntentHook | None = None,
    ) -> Call:
        subject = None if name is None else f"sequence {name!r}"
        return self._context.call(operation, subject, timeout_seconds, on_intent)
