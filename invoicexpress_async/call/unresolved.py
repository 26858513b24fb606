"""What this process has sent and does not know the outcome of."""

import threading

from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.models.intent import Intent


class UnresolvedIntents:
    """Intents by account, one for each thing that was requested."""

    def __init__(self) -> None:
        self._by_account: dict[str, dict[tuple[object, ...], Intent]] = {}
        self._mutex = threading.Lock()  # managers in several threads share it

    def add(self, intent: Intent) -> None:
        """Keep one."""
        with self._mutex:
            self._by_account.setdefault(intent["account"], {})[_identity(intent)] = intent

    def discard(self, intent: Intent) -> None:
        """Remove the one that requests the same as `intent`, if there is one."""
        with self._mutex:
            mine = self._by_account.get(intent["account"])
            if mine is None:
                return
            mine.pop(_identity(intent), None)
            if not mine:
                del self._by_account[intent["account"]]

    def get(self, intent: Intent) -> Intent | None:
        """Return the one that requests the same."""
        mine = self._by_account.get(intent["account"])
        return None if mine is None else mine.get(_identity(intent))

    def for_account(self, account: str) -> tuple[Intent, ...]:
        """Return those of one account."""
        with self._mutex:
            return tuple(self._by_account.get(account, {}).values())

    def all(self) -> tuple[Intent, ...]:
        """Return those of all accounts."""
        with self._mutex:
            return tuple(one for mine in self._by_account.values() for one in mine.values())


def _identity(intent: Intent) -> tuple[object, ...]:
    serie = intent["serie"]
    form = None if serie is None else canonical(serie)
    what = intent["operation"], form, intent["sequence_id"]
    if intent["operation"] != "create_account":
        return what
    return (*what, *map(intent.get, ("email", "organization_name", "fiscal_id")))
