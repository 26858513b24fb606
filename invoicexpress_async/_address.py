"""Where an account is reached, and how its key gets there without being seen."""

from typing import TypeVar
from urllib.parse import quote, urlsplit

import attrs
from yarl import URL

from invoicexpress_async._wire import Request
from invoicexpress_async.config import Secret

T = TypeVar("T")


class KeyedUrl:
    """A URL that shows the key on the wire only.

    aiohttp takes the request line from `raw_path_qs`, once, and everything that people see (trace
    hooks, spans, `response.url`, `request_info`, its own error texts) from the rest or later. All
    but the first look at that one attribute is the clean URL.
    """

    __slots__ = ("_clean", "_target")

    def __init__(self, clean: URL, target: Secret) -> None:
        self._clean = clean
        self._target: Secret | None = target

    @property
    def raw_path_qs(self) -> str:
        """The path and query to send, the key in it, for the first who looks."""
        target, self._target = self._target, None
        return self._clean.raw_path_qs if target is None else target.reveal()

    def __getattr__(self, name: str) -> object:
        return getattr(self._clean, name)

    def __str__(self) -> str:
        return str(self._clean)

    def __repr__(self) -> str:
        return repr(self._clean)

    def __eq__(self, other: object) -> bool:
        return self._clean == (other._clean if isinstance(other, KeyedUrl) else other)

    def __hash__(self) -> int:
        return hash(self._clean)


@attrs.frozen(kw_only=True)
class Address:
    """Where one account is reached.

    Attributes:
        account: The account's name.
        base: Its URL without a trailing slash.
        origin: Scheme, host and port: the key is added for this one only.
    """

    account: str
    base: str
    origin: str

    @classmethod
    def of(cls, account: str, base: str) -> "Address":
        """Split the account's URL."""
        parts = urlsplit(base)
        return cls(account=account, base=base, origin=f"{parts.scheme}://{parts.netloc}")

    def target(self, request: Request[T], key: Secret) -> Secret:
        """Return the path and query to send. The key arrives byte for byte."""
        path = self.base.removeprefix(self.origin) + request.path
        more = f"&{request.query}" if request.query else ""
        return Secret(f"{path}?api_key={quote(key.reveal(), safe='')}{more}")
