"""The operations on accounts, and the order of their refusals."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import attrs

from invoicexpress_async.sandbox.domain.account_forms import (
    AccountChange,
    AtCredentials,
    NewAccount,
    details_of,
    read_at_communication,
    read_change,
    read_new_account,
)
from invoicexpress_async.sandbox.domain.account_state import AccountState, AtOutcome
from invoicexpress_async.sandbox.domain.accounts import AccountLanguage, SandboxAccount
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.directory import Directory, fold
from invoicexpress_async.sandbox.domain.responses import (
    RefusedError,
    Response,
    at_communication_response,
    created_response,
    empty_response,
    got_response,
)
from invoicexpress_async.sandbox.domain.sequences import SequenceHandlers
from invoicexpress_async.sandbox.requests import Request
from invoicexpress_async.sandbox.routes import Command

_WRONG_PASSWORD = "wrong"  # noqa: S105 - the one wrong for every account


@attrs.define(eq=False)
class TaxAuthority:
    _behaviour: SandboxBehaviour
    _directory: Directory

    def configure(self, state: AccountState, credentials: AtCredentials) -> None:
        """Set an account's sub-user if AT accepts it; else the account keeps what it has."""
        # Not available during the free trial, whose forbidden actions return 401.
        if state.account.is_trial:
            raise RefusedError(401)
        if credentials.subuser.partition("/")[0] != state.account.fiscal_id:
            raise RefusedError(422, reason="at_nif", field="at_subuser")
        outcome = self._judge(state, credentials)
        state.at_outcomes[outcome] += 1
        self._note(state, credentials.subuser, outcome)
        if outcome != "right":
            raise RefusedError(422, reason=f"at_{outcome}", field="at_password")

    def _judge(self, state: AccountState, credentials: AtCredentials) -> AtOutcome:
        account = state.account
        if account.at_failures.get(credentials.subuser, 0) >= self._behaviour.at_attempts:
            return "locked"
        known = self._behaviour.at_passwords.get(account.fiscal_id)
        if known is not None:
            return "right" if credentials.password == known else "wrong"
        return "wrong" if credentials.password == _WRONG_PASSWORD else "right"

    def _note(self, state: AccountState, subuser: str, outcome: AtOutcome) -> None:
        account, failures = state.account, dict(state.account.at_failures)
        if outcome == "wrong":
            failures[subuser] = failures.get(subuser, 0) + 1
            self._directory.update(attrs.evolve(account, at_failures=failures))
        elif outcome == "right":
            failures.pop(subuser, None)
            self._directory.update(
                attrs.evolve(
                    account,
                    at_failures=failures,
                    has_at_credentials=True,
                    has_valid_at_credentials=True,
                )
            )


_COUNTRIES: Mapping[str, str] = MappingProxyType({"1": "PT", "2": "IE", "3": "GB"})


@attrs.define(eq=False)
class AccountHandlers:
    _behaviour: SandboxBehaviour
    _directory: Directory
    _series: SequenceHandlers
    _authority: TaxAuthority = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._authority = TaxAuthority(self._behaviour, self._directory)

    def receive(self, state: AccountState, command: Command, request: Request) -> Command:
        """Read the body, and refuse what can be refused before any effect."""
        match command.operation:
            case "account_get":
                return command
            case "account_update":
                required = self._behaviour.required_update_fields
                return attrs.evolve(command, form=read_change(request, required=required))
            case "at_communication":
                return attrs.evolve(command, form=read_at_communication(request))
            case operation:
                return attrs.evolve(command, form=self._read_new(state, operation, request))

    def commit(self, state: AccountState, command: Command) -> Response:
        state.check_refusals(command.operation)
        match command.form:
            case NewAccount() as new:
                return self._create(state, new)
            case AccountChange() as change:
                return self._update(self._owned(state, command), change)
            case AtCredentials() as credentials:
                self._authority.configure(state, credentials)
                return at_communication_response(self._behaviour)
            case _:
                return got_response(self._behaviour, self._owned(state, command).account)

    def _read_new(self, state: AccountState, operation: str, request: Request) -> NewAccount:
        if not state.account.is_partner:
            status = self._behaviour.not_partner_status
            raise RefusedError(status, reason="rights", field="account")
        new = read_new_account(request, is_user_known=operation == "account_create_already_user")
        if not self._behaviour.is_name_check_atomic:
            self._check_new(new)
        return new

    def _create(self, partner: AccountState, new: NewAccount) -> Response:
        if self._behaviour.is_name_check_atomic:
            self._check_new(new)
        account = self._open(partner.account, new)
        self._directory.add(account)
        self._series.open(self._directory.states[account.name])
        status = self._behaviour.existing_user_status if new.is_user_known else 201
        return created_response(self._behaviour, account, status=status)

    def _check_new(self, new: NewAccount) -> None:
        users = self._directory.by_email(new.email)
        if new.is_user_known:
            if new.password not in {one.account.user_password for one in users} - {""}:
                raise RefusedError(
                    self._behaviour.wrong_user_status, reason="user", field="password"
                )
        elif users:
            raise RefusedError(422, reason="email_taken", field="email")
        if new.fiscal_id and self._directory.by_fiscal_id(new.fiscal_id):
            raise RefusedError(422, reason="fiscal_id_taken", field="fiscal_id")

    def _open(self, partner: SandboxAccount, new: NewAccount) -> SandboxAccount:
        account = SandboxAccount(
            name=self._directory.free_name(new.texts["organization_name"]),
            id=self._directory.free_id(),
            owner=partner.name,
            user_password=new.password,
            is_trial=self._behaviour.is_new_account_trial,
            has_at_credentials=False,
        )
        return _changed(account, new.texts)

    def _owned(self, state: AccountState, command: Command) -> AccountState:
        for found in self._directory.by_id(command.id):
            if found.account.owner == state.account.name:
                return found
        raise RefusedError(404)

    def _update(self, state: AccountState, change: AccountChange) -> Response:
        account, texts = state.account, change.texts
        # Whether the real server refuses or ignores it is unknown; here it is refused.
        if texts.get("fiscal_id", account.fiscal_id) != account.fiscal_id:
            raise RefusedError(422, reason="fiscal_id_fixed", field="fiscal_id")
        email = texts.get("email", account.email or "")
        # Its own is no other's, also when its user has further accounts.
        if fold(email) != fold(account.email or "") and self._directory.by_email(email):
            raise RefusedError(422, reason="email_taken", field="email")
        if change.credentials is not None:
            self._authority.configure(state, change.credentials)
        password = change.password or state.account.user_password
        changed = attrs.evolve(_changed(state.account, texts), user_password=password)
        self._directory.update(changed)
        return empty_response(self._behaviour)


def _changed(account: SandboxAccount, texts: Mapping[str, str]) -> SandboxAccount:
    country, language = texts.get("tax_country"), texts.get("language")
    return attrs.evolve(
        account,
        organization_name=texts.get("organization_name", account.organization_name),
        email=texts.get("email", account.email),
        fiscal_id=texts.get("fiscal_id", account.fiscal_id),
        country=_COUNTRIES[country] if country is not None else account.country,
        language=cast("AccountLanguage", language) if language is not None else account.language,
        details={**account.details, **details_of(texts)},
    )
