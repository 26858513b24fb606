"""The companies that a service acts for, and their keys."""

import json
import os
from pathlib import Path

import attrs

from invoicexpress_async import Secret


@attrs.frozen
class CompanyKey:
    """The async callable that `manager.account()` takes: called when a key is needed, then kept.

    Equal for equal companies, so that the manager calls it once for all the handles of one.
    """

    _companies: "Companies"
    _name: str

    async def __call__(self) -> str:
        """Return the key; a vault would be called here."""
        return self._companies.read(self._name).reveal()


@attrs.frozen(eq=False)
class Companies:
    """Who there is. The file that `COMPANIES_FILE` names is JSON: account name to API key."""

    _keys: dict[str, Secret]

    @classmethod
    def from_env(cls) -> "Companies":
        """Read the file."""
        keys: dict[str, str] = json.loads(Path(os.environ["COMPANIES_FILE"]).read_text())
        return cls({name: Secret(key) for name, key in keys.items()})

    def key_of(self, name: str) -> CompanyKey | None:
        """Return what gives a company's key; None when it is not ours."""
        return CompanyKey(self, name) if name in self._keys else None

    def read(self, name: str) -> Secret:
        """Return the key itself."""
        return self._keys[name]
