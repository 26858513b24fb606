"""The five operations on series, and the order of their refusals."""

from collections.abc import Callable
from datetime import UTC, datetime

import attrs

from invoicexpress_async.sandbox.domain.account_state import AccountState
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.codes import Reason
from invoicexpress_async.sandbox.domain.responses import (
    RefusedError,
    Response,
    create_refused,
    empty_response,
    json_response,
    register_refused,
    wire_row,
)
from invoicexpress_async.sandbox.domain.rows import IdGenerator, SequenceRow
from invoicexpress_async.sandbox.requests import Request
from invoicexpress_async.sandbox.routes import (
    MAX_SERIE_LENGTH,
    Command,
    NewSequence,
    is_name_allowed,
    read_new_sequence,
)


@attrs.define(eq=False)
class SequenceHandlers:
    _behaviour: SandboxBehaviour
    _clock: Callable[[], float]
    _generator: IdGenerator

    def receive(self, state: AccountState, command: Command, request: Request) -> Command:
        """Read the body, and refuse what can be refused before any effect."""
        if command.operation != "create" or state.account.is_trial:
            return command
        new = read_new_sequence(request)
        if not is_name_allowed(new.serie) or str(new.serie) in self._behaviour.refused_names:
            raise create_refused("name")
        if not self._behaviour.is_name_check_atomic:
            self._check_name_is_free(state, new)
        return Command(operation="create", form=new)

    def commit(self, state: AccountState, command: Command) -> Response:
        state.settle(self._generator, now=self._clock())
        match command.operation:
            case "create":
                return self._create(state, command)
            case "list":
                return self._list(state)
            case "get":
                state.check_refusals("get")
                return self._one(200, state, _find(state, command))
            case "set_current":
                state.check_refusals("set_current")
                state.make_default(_find(state, command))
                return empty_response(self._behaviour)
            case "register":
                return self._register(state, command)
            case _:
                raise RefusedError(302)

    def insert(
        self, state: AccountState, new: NewSequence, *, is_registered: bool, listed_from: float
    ) -> SequenceRow:
        account = state.account
        row = self._generator.row(
            new.serie, account.document_types, is_relevant=account.is_portuguese
        )
        row.is_default = new.is_default
        row.listed_from = listed_from
        if is_registered:
            self._generator.register(row, refused=account.refused_document_types)
        state.add(row)
        return row

    def open(self, state: AccountState) -> None:
        """Add the unregistered default series with which a new account begins."""
        match self._behaviour.new_account_serie:
            case "none":
                return
            case "company":
                serie = state.account.name.upper()[:MAX_SERIE_LENGTH]
            case "year":
                serie = str(datetime.now(UTC).year)
        new = NewSequence(serie=serie, is_default=True)
        self.insert(state, new, is_registered=False, listed_from=self._clock())

    def start_registration(self, state: AccountState, row: SequenceRow, *, is_new: bool) -> None:
        seconds = state.account.registration_seconds
        if seconds is None:
            seconds = self._behaviour.registration_seconds
        state.start_registration(row, until=self._clock() + seconds, is_new=is_new)

    def _create(self, state: AccountState, command: Command) -> Response:
        _check_trial(state)
        new = command.form
        if not isinstance(new, NewSequence):
            raise create_refused("invalid_series")
        if self._behaviour.is_name_check_atomic:
            self._check_name_is_free(state, new)
        listed_from = self._clock() + self._behaviour.list_lag_seconds
        try:
            self._check_tax_authority(state, command)
        except RefusedError:
            if self._behaviour.has_row_after_refusal:
                self.insert(state, new, is_registered=False, listed_from=listed_from)
            raise
        row = self.insert(state, new, is_registered=False, listed_from=listed_from)
        self._register_or_wait(state, row, command)
        return self._one(201, state, row)

    def _list(self, state: AccountState) -> Response:
        state.check_refusals("list")
        now = self._clock()
        rows = [self._row(state, f) for f in state.rows if self._is_listed(f, now)]
        is_object = self._behaviour.list_form == "object_when_single" and len(rows) == 1
        return json_response(200, {"sequences": rows[0] if is_object else rows})

    def _register(self, state: AccountState, command: Command) -> Response:
        _check_trial(state)
        row = state.by_id(command.id)
        if row is None:
            raise self._refused(command, "missing")
        if not state.account.is_portuguese:
            raise self._refused(command, "not_portuguese")
        if row.registering_until is not None:
            raise self._refused(command, "being_registered")
        if row.is_registered:
            raise self._refused(command, "all_registered")
        # Whether a partial series can be registered again is unknown for the real server. Here
        # it can, and the refused types are requested again.
        self._check_tax_authority(state, command)
        self._register_or_wait(state, row, command)
        return json_response(200, {"sequences": [self._row(state, row)]})

    def _check_name_is_free(self, state: AccountState, new: NewSequence) -> None:
        state.settle(self._generator, now=self._clock())
        existing = state.by_serie(new.serie)
        if existing is not None and existing.registering_until is not None:
            raise create_refused("being_registered")
        if existing is not None:
            raise create_refused("exists")

    def _check_tax_authority(self, state: AccountState, command: Command) -> None:
        state.check_refusals(command.operation)
        account = state.account
        if not account.is_portuguese:
            return
        if not (account.has_at_credentials and account.has_valid_at_credentials):
            raise self._refused(command, "at_credentials")
        is_inactive = account.fiscal_id in self._behaviour.inactive_fiscal_ids
        if is_inactive or not account.has_open_activity:
            raise self._refused(command, "no_activity")

    def _register_or_wait(self, state: AccountState, row: SequenceRow, command: Command) -> None:
        if row.is_registered:
            return
        self.start_registration(state, row, is_new=command.operation == "create")
        state.settle(self._generator, now=self._clock())
        is_waiting = row.registering_until is not None
        if is_waiting and not self._behaviour.may_answer_before_registered:
            raise self._refused(command, "being_registered")

    def _refused(self, command: Command, reason: Reason) -> RefusedError:
        if command.operation == "register":
            return register_refused(self._behaviour, reason)
        return create_refused(reason)

    def _is_listed(self, row: SequenceRow, now: float) -> bool:
        # A row that is registered again was listed before, and stays listed.
        is_hidden = row.is_new and not (
            self._behaviour.is_listed_while_registering
            or self._behaviour.may_answer_before_registered
        )
        return row.listed_from <= now and not is_hidden

    def _one(self, status: int, state: AccountState, row: SequenceRow) -> Response:
        return json_response(status, {self._behaviour.envelope: self._row(state, row)})

    def _row(self, state: AccountState, row: SequenceRow) -> dict[str, object]:
        return wire_row(self._behaviour, row, has_codes=state.account.has_validation_codes)


def _check_trial(state: AccountState) -> None:
    # Which actions a trial forbids is not fully known. Those that need AT communication are
    # forbidden, since it is not available to a trial.
    if state.account.is_trial:
        raise RefusedError(401)


def _find(state: AccountState, command: Command) -> SequenceRow:
    row = state.by_id(command.id)
    if row is None:
        raise RefusedError(404)
    return row
