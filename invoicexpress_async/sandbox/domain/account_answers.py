"""What the account operations return when they succeed."""

from invoicexpress_async.sandbox.domain.accounts import SandboxAccount
from invoicexpress_async.sandbox.domain.answers import Answer, empty_answer, flag, json_answer
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour


def created_answer(behaviour: SandboxBehaviour, account: SandboxAccount, *, status: int) -> Answer:
    """Return the one response that has the key of a new account."""
    content = {
        "id": account.id,
        "name": account.organization_name,
        # Not str.format: a template may be any text.
        "url": behaviour.account_url.replace("{account}", account.name),
        "api_key": account.api_key,
        "state": account.state,
    }
    return json_answer(status, {"account": content})


def got_answer(behaviour: SandboxBehaviour, account: SandboxAccount) -> Answer:
    form = behaviour.account_flag_form
    content = {
        "organization_name": account.organization_name,
        "fiscal_id": account.fiscal_id,
        "email": account.email if behaviour.is_email_shown else None,
        "state": account.state,
        "at_configured": flag(form, is_set=account.has_at_credentials),
        "trial": flag(form, is_set=account.is_trial),
    }
    return json_answer(200, {"account": content})


def at_communication_answer(behaviour: SandboxBehaviour) -> Answer:
    if behaviour.at_communication_body == "empty":
        return empty_answer(behaviour)
    return json_answer(200, {"success": "true"})
