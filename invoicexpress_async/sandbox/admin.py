"""The routes under `/_sandbox/`: for people, scripts and oracles, never counted as API calls."""

import ipaddress
import json
from collections import Counter
from typing import cast

from invoicexpress_async.sandbox.domain.accounts import SandboxAccount, make_account
from invoicexpress_async.sandbox.domain.engine import Engine
from invoicexpress_async.sandbox.domain.responses import Response, json_response, page_response
from invoicexpress_async.sandbox.domain.rows import SandboxSequence

PREFIX = "/_sandbox/"


def respond_to_admin(
    engine: Engine, *, method: str, path: str, body: bytes, remote: str
) -> Response:
    match method, path.removeprefix(PREFIX):
        case "GET", "state.json":
            return json_response(200, _state(engine))
        case "GET", "login.html":
            return page_response(200, "Login")
        case (("GET" | "POST"), "accounts.json") if not _is_loopback(remote):
            return json_response(403, {"error": "keys are shown on the sandbox's own machine only"})
        case "GET", "accounts.json":
            return json_response(200, _keys(*engine.accounts.values()))
        case "POST", "accounts.json":
            return _create_accounts(engine, body)
        case _:
            return json_response(404, {"error": "the sandbox has no such page"})


def _is_loopback(remote: str) -> bool:
    try:
        return ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False


def _state(engine: Engine) -> dict[str, object]:
    counts = engine.log.by_account()
    accounts = {
        name: {
            "account": _account(state.account),
            "sequences": [_sequence(row) for row in engine.sequences(name)],
            "requests": counts.get(name, {}),
            "at_communications": {str(outcome): n for outcome, n in state.at_outcomes.items()},
        }
        for name, state in engine.states.items()
    }
    return {"accounts": accounts, "requests": len(engine.log.records)}


def _account(account: SandboxAccount) -> dict[str, object]:
    """Return what may be shown to anybody: neither its key nor a password."""
    return {
        "id": account.id,
        "owner": account.owner,
        "organization_name": account.organization_name,
        "email": account.email,
        "fiscal_id": account.fiscal_id,
        "state": account.state,
        "is_partner": account.is_partner,
        "is_trial": account.is_trial,
        "has_at_credentials": account.has_at_credentials,
        "has_open_activity": account.has_open_activity,
        "at_failures": dict(account.at_failures),
        "details": dict(account.details),
    }


def _sequence(row: SandboxSequence) -> dict[str, object]:
    return {
        "id": row.id,
        "serie": row.serie,
        "is_default": row.is_default,
        "is_registering": row.is_registering,
        "is_registered": row.is_registered,
        "sequence_ids": dict(row.sequence_ids),
        "validation_codes": dict(row.validation_codes),
        "numbers": dict(row.numbers),
    }


def _keys(*accounts: SandboxAccount) -> dict[str, object]:
    return {"accounts": [{"name": one.name, "api_key": one.api_key} for one in accounts]}


def _create_accounts(engine: Engine, body: bytes) -> Response:
    try:
        document = cast("dict[str, list[dict[str, object]]]", json.loads(body))
        accounts = [make_account(settings) for settings in document["accounts"]]
        _check_new(engine, accounts)
    except (KeyError, TypeError, ValueError) as error:
        return json_response(400, {"error": f"nothing was created: {error}"})
    for account in accounts:
        engine.add_account(account)
    return json_response(201, _keys(*accounts))


def _check_new(engine: Engine, accounts: list[SandboxAccount]) -> None:
    names = Counter(account.name for account in accounts)
    taken = [name for name, number in names.items() if number > 1 or name in engine.states]
    if taken:
        raise ValueError(f"taken: {', '.join(taken)}")
