"""Sub-users of the tax authority (AT): the right password, the wrong one, and the lock."""

import attrs

from invoicexpress_async.sandbox.domain.account_forms import AtCredentials
from invoicexpress_async.sandbox.domain.answers import RefusedError
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.directory import Directory
from invoicexpress_async.sandbox.domain.ledger import AtOutcome, Ledger

_WRONG_PASSWORD = "wrong"  # noqa: S105 - the one that is wrong for everybody


@attrs.define(eq=False)
class TaxAuthority:
    _behaviour: SandboxBehaviour
    _directory: Directory

    def configure(self, ledger: Ledger, credentials: AtCredentials) -> None:
        """Give an account its sub-user, if AT takes it; what it has is kept if not."""
        # Not available during the free trial, whose forbidden actions get 401.
        if ledger.account.is_trial:
            raise RefusedError(401)
        if credentials.subuser.partition("/")[0] != ledger.account.fiscal_id:
            raise RefusedError(422, reason="at_nif", field="at_subuser")
        outcome = self._judge(ledger, credentials)
        ledger.at_outcomes[outcome] += 1
        self._note(ledger, credentials.subuser, outcome)
        if outcome != "right":
            raise RefusedError(422, reason=f"at_{outcome}", field="at_password")

    def _judge(self, ledger: Ledger, credentials: AtCredentials) -> AtOutcome:
        account = ledger.account
        if account.at_failures.get(credentials.subuser, 0) >= self._behaviour.at_attempts:
            return "locked"
        known = self._behaviour.at_passwords.get(account.fiscal_id)
        if known is not None:
            return "right" if credentials.password == known else "wrong"
        return "wrong" if credentials.password == _WRONG_PASSWORD else "right"

    def _note(self, ledger: Ledger, subuser: str, outcome: AtOutcome) -> None:
        account, failures = ledger.account, dict(ledger.account.at_failures)
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
