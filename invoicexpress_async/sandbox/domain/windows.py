"""The limit on requests per minute, in each way a server may count a minute."""

from collections import deque
from typing import Protocol

import attrs

from invoicexpress_async.sandbox.domain.behaviour import WindowKind

_WINDOW_SECONDS = 60.0


class Window(Protocol):
    def admit(self, now: float) -> bool: ...


@attrs.define(eq=False)
class SlidingWindow:
    """No 60 seconds, wherever they begin, admit more than the limit; a refusal costs nothing."""

    limit: int
    _admitted: deque[float] = attrs.field(factory=deque[float], init=False)

    def admit(self, now: float) -> bool:
        while self._admitted and self._admitted[0] <= now - _WINDOW_SECONDS:
            self._admitted.popleft()
        if len(self._admitted) >= self.limit:
            return False
        self._admitted.append(now)
        return True


@attrs.define(eq=False)
class FixedWindow:
    """Minutes of the clock, each with the whole limit."""

    limit: int
    _minute: float = attrs.field(default=float("-inf"), init=False)
    _count: int = attrs.field(default=0, init=False)

    def admit(self, now: float) -> bool:
        minute = now // _WINDOW_SECONDS
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        return self._count <= self.limit


@attrs.define(eq=False)
class TokenBucket:
    """A full bucket at first, refilled evenly."""

    limit: int
    _tokens: float = attrs.field(init=False)
    _filled_at: float = attrs.field(default=float("inf"), init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = float(self.limit)

    def admit(self, now: float) -> bool:
        gained = max(0.0, now - self._filled_at) * self.limit / _WINDOW_SECONDS
        self._tokens = min(float(self.limit), self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def make_window(kind: WindowKind, limit: int) -> Window:
    match kind:
        case "sliding":
            return SlidingWindow(limit)
        case "fixed":
            return FixedWindow(limit)
        case "token_bucket":
            return TokenBucket(limit)
