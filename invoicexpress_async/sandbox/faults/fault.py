"""Faults, their access to a connection, and the decorators that make a function a fault."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, cast

import attrs

from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.http import Head, encode_response

Commits = bool | Literal["late"]


class Exchange(Protocol):
    """A connection and its request. Every wait ends when the peer leaves.

    A fault on arrival has the connection only: no byte of it was read.
    """

    async def hang(self, seconds: float | None = None) -> None:
        """Wait, and then close; None waits until the peer leaves."""
        ...

    def close(self) -> None: ...
    def reset(self) -> None: ...
    @property
    def head(self) -> Head: ...
    async def write(self, data: bytes) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def body_arrives(self, length: int) -> None: ...
    def settle(self, commits: Commits, *, late_seconds: float | None) -> Response: ...


Work = Callable[..., Awaitable[None]]
Reader = Callable[[Any], object]
Options = tuple[tuple[str, object], ...]


@attrs.frozen(kw_only=True)
class Fault:
    """A fault with its options. `make_fault` makes one by name."""

    name: str
    _work: Work = attrs.field(repr=False)
    _options: Options

    async def play(self, exchange: Exchange) -> None:
        await self._work(exchange, **dict(self._options))


@attrs.frozen(kw_only=True)
class ArrivalFault(Fault):
    """A fault on an accepted connection, before TLS and before any request is known."""


@attrs.frozen(kw_only=True)
class ExchangeFault(Fault):
    """A fault on a request whose head has arrived; its body is not read."""

    is_early: ClassVar[bool] = True
    needs_reuse: ClassVar[bool] = False
    """Whether the fault waits for a connection that has already served a request."""


@attrs.frozen(kw_only=True)
class ReuseFault(ExchangeFault):
    needs_reuse: ClassVar[bool] = True


def _check_commits(_fault: object, _field: object, commits: object) -> None:
    if commits not in (True, False, "late"):
        raise ValueError(f"commits is True, False or 'late', not {commits!r}")


@attrs.frozen(kw_only=True)
class ReadFault(ExchangeFault):
    """The fault happens when the request was read to its end.

    Args:
        commits: Whether the request takes effect before the fault begins. With "late" it takes
            effect when the server's `commit_late()` is called.
        late_seconds: With "late": after this time the request also takes effect by itself.
    """

    is_early: ClassVar[bool] = False
    commits: Commits = attrs.field(default=True, validator=_check_commits)
    late_seconds: float | None = None

    async def play(self, exchange: Exchange) -> None:
        exchange.settle(self.commits, late_seconds=self.late_seconds)
        await self._work(exchange, **dict(self._options))


@attrs.frozen(kw_only=True)
class ResponseFault(ReadFault):
    status: int | None = None

    async def play(self, exchange: Exchange) -> None:
        response = exchange.settle(self.commits, late_seconds=self.late_seconds)
        if self.status is not None:
            response = attrs.evolve(response, status=self.status)
        await self._work(exchange, response, **dict(self._options))


@attrs.frozen
class Kind:
    """A kind of fault: a function whose name and docstring are those of the fault.

    The options are the function's keyword-only parameters. `readers` check or convert them.
    """

    _of: type[Fault]
    _work: Work
    _readers: Mapping[str, Reader]

    @property
    def name(self) -> str:
        return self._work.__name__

    def make(self, options: dict[str, object]) -> Fault:
        unknown = [option for option in options if option not in self.options()]
        if unknown:
            known = ", ".join(self.options()) or "none"
            raise ValueError(
                f"not an option of {self.name}: {', '.join(unknown)}; there are: {known}"
            )
        read = {
            name: self._readers[name](value) if name in self._readers else value
            for name, value in (self._own() | options).items()
        }
        own = tuple((name, read.pop(name)) for name in self._own())
        construct = cast("Callable[..., Fault]", self._of)
        return construct(name=self.name, work=self._work, options=own, **read)

    def options(self) -> dict[str, object]:
        """Return the options that may be given, and their defaults."""
        fields = attrs.fields(self._of)
        common = {one.name: one.default for one in fields if one.default is not attrs.NOTHING}
        return common | self._own()

    def description(self) -> str:
        options = ", ".join(f"{name}={default!r}" for name, default in self.options().items())
        parts = [f"{self.name}({options})", inspect.getdoc(self._work) or ""]
        if issubclass(self._of, ReadFault):
            parts.append(inspect.getdoc(ReadFault) or "")
        return "\n\n".join(parts)

    def _own(self) -> dict[str, object]:
        parameters = inspect.signature(self._work).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def on_arrival(**readers: Reader) -> Callable[[Work], Kind]:
    """Make the function a fault on an accepted connection, before any request is known."""
    return lambda work: Kind(ArrivalFault, work, readers)


def early(*, needs_reuse: bool = False, **readers: Reader) -> Callable[[Work], Kind]:
    """Make the function a fault on a request whose head has arrived."""
    of = ReuseFault if needs_reuse else ExchangeFault
    return lambda work: Kind(of, work, readers)


def silent(**readers: Reader) -> Callable[[Work], Kind]:
    """Make the function a fault on a request that was read to its end and gets no response."""
    return lambda work: Kind(ReadFault, work, readers)


def responding(**readers: Reader) -> Callable[[Work], Kind]:
    """Make the function a fault that sends the true response itself.

    The fault has an option `status`, which replaces the true status; a function that has a
    parameter of that name applies it itself.
    """
    return lambda work: Kind(ResponseFault, work, readers)


def altering(**readers: Reader) -> Callable[[Callable[..., Response]], Kind]:
    """Make the function a fault that sends the response it returns for the true one."""

    def decorate(alter: Callable[..., Response]) -> Kind:
        @functools.wraps(alter)
        async def work(exchange: Exchange, response: Response, **options: object) -> None:
            await respond(exchange, alter(response, **options))

        return Kind(ResponseFault, work, readers)

    return decorate


def body(render: Callable[[bytes], bytes]) -> Kind:
    """Make the function a fault that replaces the body; content type and status stay."""

    @functools.wraps(render)
    async def work(exchange: Exchange, response: Response) -> None:
        await respond(exchange, attrs.evolve(response, body=render(response.body)))

    return Kind(ResponseFault, work, {})


def fixed(name: str, content: bytes, description: str) -> Kind:
    """Return a fault that sends this body; content type and status stay."""

    def render(_: bytes) -> bytes:
        return content

    render.__name__, render.__doc__ = name, description
    return body(render)


async def respond(exchange: Exchange, response: Response) -> None:
    """Send a response without any fault."""
    await exchange.write(encode_response(response, is_last=exchange.head.is_last))


def as_bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def positive(number: float) -> float:
    if number <= 0:
        raise ValueError(f"it must be over 0, not {number!r}")
    return number
