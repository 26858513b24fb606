"""What a fault is, and what it may do to a connection."""

import abc
from typing import ClassVar, Literal, Protocol

import attrs

from invoicexpress_async.sandbox.domain.answers import Answer
from invoicexpress_async.sandbox.http import Head

Commits = bool | Literal["late"]


class Arrival(Protocol):
    """A TCP connection that was accepted, and of which nothing was read."""

    def close(self) -> None: ...
    def reset(self) -> None: ...
    async def hang(self, seconds: float | None) -> None: ...


class Exchange(Protocol):
    """A request and the connection it came on; whatever waits ends when the peer leaves."""

    @property
    def head(self) -> Head: ...
    async def write(self, data: bytes) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def hang(self) -> None: ...
    async def body_arrives(self, length: int) -> None: ...
    def settle(self, commits: Commits, *, late_seconds: float | None) -> Answer: ...
    def close(self) -> None: ...
    def reset(self) -> None: ...


@attrs.frozen(kw_only=True)
class Fault:
    """One way of going wrong, with its options; `make_fault` makes them by name."""

    name: str


@attrs.frozen(kw_only=True)
class ArrivalFault(Fault, abc.ABC):
    """Meets a connection before TLS, when nothing is known of the request."""

    @abc.abstractmethod
    async def meet(self, arrival: Arrival) -> None: ...


@attrs.frozen(kw_only=True)
class ExchangeFault(Fault, abc.ABC):
    """Is done to a request.

    `is_early` ones begin when its head has arrived, and then its body is not read.
    `needs_reuse` ones wait for a connection that has served a request already.
    """

    is_early: ClassVar[bool] = False
    needs_reuse: ClassVar[bool] = False

    @abc.abstractmethod
    async def play(self, exchange: Exchange) -> None: ...


def _check_commits(_fault: object, _field: object, commits: object) -> None:
    if commits not in (True, False, "late"):
        raise ValueError(f"commits is True, False or 'late', not {commits!r}")


@attrs.frozen(kw_only=True)
class ReadFault(ExchangeFault):
    """It is done when the request was read to its end.

    Args:
        commits: Whether the request takes effect before the fault begins. "late" lets it take
            effect when the server's `commit_late()` is called.
        late_seconds: With "late": it also takes effect by itself after so long.
    """

    commits: Commits = attrs.field(default=True, validator=_check_commits)
    late_seconds: float | None = None

    def settle(self, exchange: Exchange) -> Answer:
        return exchange.settle(self.commits, late_seconds=self.late_seconds)
