"""The five operations on series, and the order in which they are refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import attrs

from invoicexpress_async.sandbox.domain.answers import (
    Answer,
    RefusedError,
    create_refused,
    empty_answer,
    json_answer,
    register_refused,
    row,
)
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.codes import RegisterReason
from invoicexpress_async.sandbox.domain.families import Family, Mint
from invoicexpress_async.sandbox.domain.ledger import Ledger
from invoicexpress_async.sandbox.requests import Request
from invoicexpress_async.sandbox.routes import (
    MAX_SERIE_LENGTH,
    NewSequence,
    Order,
    is_name_allowed,
    read_new_sequence,
)


@attrs.define(eq=False)
class SequenceDesk:
    _behaviour: SandboxBehaviour
    _clock: Callable[[], float]
    _mint: Mint

    def receive(self, ledger: Ledger, order: Order, request: Request) -> Order:
        """Refuse what can be refused before anything has an effect; reads the body."""
        if order.operation != "create" or ledger.account.is_trial:
            return order
        new = read_new_sequence(request)
        if not is_name_allowed(new.serie) or str(new.serie) in self._behaviour.refused_names:
            raise create_refused("name")
        if not self._behaviour.is_name_check_atomic:
            self._check_name_is_free(ledger, new)
        return Order(operation="create", form=new)

    def commit(self, ledger: Ledger, order: Order) -> Answer:
        ledger.settle(self._mint, now=self._clock())
        match order.operation:
            case "create":
                return self._create(ledger, order)
            case "list":
                return self._list(ledger)
            case "get":
                ledger.check_refusals("get")
                return self._one(200, ledger, _find(ledger, order))
            case "set_current":
                ledger.check_refusals("set_current")
                ledger.make_default(_find(ledger, order))
                return empty_answer(self._behaviour)
            case "register":
                return self._register(ledger, order)
            case _:
                raise RefusedError(302)

    def insert(
        self, ledger: Ledger, new: NewSequence, *, is_registered: bool, listed_from: float
    ) -> Family:
        account = ledger.account
        family = self._mint.family(
            new.serie, account.document_types, is_relevant=account.is_portuguese
        )
        family.is_default = new.is_default
        family.listed_from = listed_from
        if is_registered:
            self._mint.register(family, refused=account.refused_document_types)
        ledger.add(family)
        return family

    def open(self, ledger: Ledger) -> None:
        """Give a new account the default series that it begins with, which is unregistered."""
        match self._behaviour.new_account_serie:
            case "none":
                return
            case "company":
                serie = ledger.account.name.upper()[:MAX_SERIE_LENGTH]
            case "year":
                serie = str(datetime.now(UTC).year)
        new = NewSequence(serie=serie, is_default=True)
        self.insert(ledger, new, is_registered=False, listed_from=self._clock())

    def start_registration(self, ledger: Ledger, family: Family, *, is_new: bool) -> None:
        seconds = ledger.account.registration_seconds
        if seconds is None:
            seconds = self._behaviour.registration_seconds
        ledger.start_registration(family, until=self._clock() + seconds, is_new=is_new)

    def _create(self, ledger: Ledger, order: Order) -> Answer:
        _check_trial(ledger)
        new = order.form
        if not isinstance(new, NewSequence):
            raise create_refused("invalid_series")
        if self._behaviour.is_name_check_atomic:
            self._check_name_is_free(ledger, new)
        listed_from = self._clock() + self._behaviour.list_lag_seconds
        try:
            self._check_tax_authority(ledger, order)
        except RefusedError:
            if self._behaviour.has_row_after_refusal:
                self.insert(ledger, new, is_registered=False, listed_from=listed_from)
            raise
        family = self.insert(ledger, new, is_registered=False, listed_from=listed_from)
        self._register_or_wait(ledger, family, order)
        return self._one(201, ledger, family)

    def _list(self, ledger: Ledger) -> Answer:
        ledger.check_refusals("list")
        now = self._clock()
        families = [f for f in ledger.families if self._is_listed(f, now)]
        rows = [self._row(ledger, family) for family in families]
        is_object = self._behaviour.list_form == "object_when_single" and len(rows) == 1
        return json_answer(200, {"sequences": rows[0] if is_object else rows})

    def _register(self, ledger: Ledger, order: Order) -> Answer:
        _check_trial(ledger)
        family = ledger.by_id(order.id)
        if family is None:
            raise self._register_refused("missing")
        if not ledger.account.is_portuguese:
            raise self._register_refused("not_portuguese")
        if family.registering_until is not None:
            raise self._register_refused("being_registered")
        if family.is_registered:
            raise self._register_refused("all_registered")
        # Whether a partial series can really be registered again is unknown; here it can,
        # and the types that were refused are requested again.
        self._check_tax_authority(ledger, order)
        self._register_or_wait(ledger, family, order)
        return json_answer(200, {"sequences": [self._row(ledger, family)]})

    def _check_name_is_free(self, ledger: Ledger, new: NewSequence) -> None:
        ledger.settle(self._mint, now=self._clock())
        existing = ledger.by_serie(new.serie)
        if existing is not None and existing.registering_until is not None:
            raise create_refused("being_registered")
        if existing is not None:
            raise create_refused("exists")

    def _check_tax_authority(self, ledger: Ledger, order: Order) -> None:
        ledger.check_refusals(order.operation)
        account = ledger.account
        if not account.is_portuguese:
            return
        if not (account.has_at_credentials and account.has_valid_at_credentials):
            raise self._refused(order, "at_credentials")
        is_inactive = account.fiscal_id in self._behaviour.inactive_fiscal_ids
        if is_inactive or not account.has_open_activity:
            raise self._refused(order, "no_activity")

    def _register_or_wait(self, ledger: Ledger, family: Family, order: Order) -> None:
        if family.is_registered:
            return
        self.start_registration(ledger, family, is_new=order.operation == "create")
        ledger.settle(self._mint, now=self._clock())
        is_waiting = family.registering_until is not None
        if is_waiting and not self._behaviour.may_answer_before_registered:
            raise self._refused(order, "being_registered")

    def _refused(
        self, order: Order, reason: Literal["at_credentials", "no_activity", "being_registered"]
    ) -> RefusedError:
        if order.operation == "register":
            return self._register_refused(reason)
        return create_refused(reason)

    def _register_refused(self, reason: RegisterReason) -> RefusedError:
        return register_refused(self._behaviour, reason)

    def _is_listed(self, family: Family, now: float) -> bool:
        # A row being registered again has been listed before, and stays so.
        is_hidden = family.is_new and not (
            self._behaviour.is_listed_while_registering
            or self._behaviour.may_answer_before_registered
        )
        return family.listed_from <= now and not is_hidden

    def _one(self, status: int, ledger: Ledger, family: Family) -> Answer:
        return json_answer(status, {self._behaviour.envelope: self._row(ledger, family)})

    def _row(self, ledger: Ledger, family: Family) -> dict[str, object]:
        return row(self._behaviour, family, has_codes=ledger.account.has_validation_codes)


def _check_trial(ledger: Ledger) -> None:
    # Which of its actions a trial forbids is not known; those that need AT communication
    # are, as that is not available to it.
    if ledger.account.is_trial:
        raise RefusedError(401)


def _find(ledger: Ledger, order: Order) -> Family:
    family = ledger.by_id(order.id)
    if family is None:
        raise RefusedError(404)
    return family
