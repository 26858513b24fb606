"""Where an account is reached, and how its key gets there without being seen."""

from collections.abc import Callable
from typing import TypeVar

import attrs
from yarl import URL

from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import Request

T = TypeVar("T")


class KeyedUrl:
    """A URL that shows the key on the wire only, and reports when it is sent.

    aiohttp takes the request line from `raw_path_qs`, once, when it has a connection and before
    it writes a byte; everything that people see (trace hooks, spans, `response.url`,
    `request_info`, its own error texts) comes from the rest or later. All but the first look at
    that one attribute is the clean URL. Whatever was sent without that look had no key in it, and
    so no effect: this is as good an evidence as the trace hook for sent headers, and costs
    nothing, where trace hooks cost a tenth of the whole call.

    Args:
        clean: The URL without the key.
        target: The path and query to send.
        on_sending: Called at the first look.
    """

    __slots__ = ("_clean", "_on_sending", "_target")

    def __init__(self, clean: URL, target: Secret, on_sending: Callable[[], None]) -> None:
        self._clean = clean
        self._on_sending = on_sending
        self._target: Secret | None = target

    @property
    def raw_path_qs(self) -> str:
        """The path and query to send, the key in it, for the first who looks."""
        target, self._target = self._target, None
        if target is None:
            return self._clean.raw_path_qs
        self._on_sending()
        return target.reveal()

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
        origin: Scheme, host and port.
        path: What `base` has after the origin.
    """

    account: str
    base: str
    origin: str
    path: str

    @classmethod
    def of(cls, account: str, base: str) -> "Address":
        """Split the account's URL, which has been checked."""
        # By hand: `urlsplit` is expensive, and a bulk job has an account for each row.
        slash = base.find("/", base.index("://") + len("://"))
        ends = len(base) if slash < 0 else slash
        return cls(account=account, base=base, origin=base[:ends], path=base[ends:])

    def target(self, request: Request[T], key: Secret) -> Secret:
        """Return the path and query to send. The key arrives byte for byte."""
        more = f"&{request.query}" if request.query else ""
        return Secret(f"{self.path}{request.path}?api_key={key.quoted()}{more}")
