"""The routes under `/_sandbox/`: for people, scripts and oracles, never counted as API calls."""

import ipaddress
import json
from collections import Counter
from collections.abc import Mapping
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
            "account": _shown(state.account, _SHOWN),
            "sequences": [_shown(row, _SHOWN_OF_ROW) for row in engine.sequences(name)],
            "requests": counts.get(name, {}),
            "at_communications": {str(outcome): n for outcome, n in state.at_outcomes.items()},
        }
        for name, state in engine.states.items()
    }
    return {"accounts": accounts, "requests": len(engine.log.records)}


# The fields of an account that anybody may see: no key and no password.
_SHOWN = (
    "id", "owner", "organization_name", "email", "fiscal_id", "state", "is_partner", "is_trial",
    "has_at_credentials", "has_open_activity", "at_failures", "details",
)  # fmt: skip
_SHOWN_OF_ROW = (
    "id", "serie", "is_default", "is_registering", "is_registered",
    "sequence_ids", "validation_codes", "numbers",
)  # fmt: skip


def _shown(value: SandboxAccount | SandboxSequence, names: tuple[str, ...]) -> dict[str, object]:
    found = ((name, cast("object", getattr(value, name))) for name in names)
    return {
        name: dict(cast("Mapping[str, object]", one)) if isinstance(one, Mapping) else one
        for name, one in found
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
