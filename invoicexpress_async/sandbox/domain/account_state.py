"""The state of one account: its rows, its default, its request window, its AT attempts."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Literal

import attrs

from invoicexpress_async.sandbox.domain.accounts import Operation, SandboxAccount
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour, WindowKind
from invoicexpress_async.sandbox.domain.responses import coded_refusal
from invoicexpress_async.sandbox.domain.rows import IdGenerator, SandboxSequence, SequenceRow

_WINDOW_SECONDS = 60.0


@attrs.define(eq=False)
class SlidingWindow:
    """No window of 60 seconds admits more than the limit; a refused request does not count."""

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
    """Each minute of the clock admits the whole limit; a refused request counts."""

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
    """A bucket that is full at first and refilled evenly."""

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


Window = SlidingWindow | FixedWindow | TokenBucket

_WINDOWS: Mapping[WindowKind, type[Window]] = {
    "sliding": SlidingWindow,
    "fixed": FixedWindow,
    "token_bucket": TokenBucket,
}

AtOutcome = Literal["right", "wrong", "locked"]


@attrs.define(eq=False)
class AccountState:
    account: SandboxAccount
    at_outcomes: Counter[AtOutcome] = attrs.field(factory=Counter[AtOutcome], init=False)
    _rows: dict[str, SequenceRow] = attrs.field(factory=dict[str, SequenceRow], init=False)
    _by_serie: dict[str, SequenceRow] = attrs.field(factory=dict[str, SequenceRow], init=False)
    _default: SequenceRow | None = attrs.field(default=None, init=False)
    _registering: list[SequenceRow] = attrs.field(factory=list[SequenceRow], init=False)
    _window: Window | None = attrs.field(default=None, init=False)

    @property
    def rows(self) -> tuple[SequenceRow, ...]:
        return tuple(self._rows.values())

    @property
    def size(self) -> int:
        return len(self._rows)

    def by_id(self, row_id: str) -> SequenceRow | None:
        return self._rows.get(row_id)

    def by_serie(self, serie: str | int) -> SequenceRow | None:
        return self._by_serie.get(str(serie))

    def add(self, row: SequenceRow) -> None:
        self._rows[str(row.id)] = row
        self._by_serie[str(row.serie)] = row
        if row.is_default:
            self.make_default(row)

    def make_default(self, row: SequenceRow) -> None:
        if self._default is not None:
            self._default.is_default = False
        row.is_default = True
        self._default = row

    def start_registration(self, row: SequenceRow, *, until: float, is_new: bool) -> None:
        row.registering_until = until
        row.is_new = is_new
        self._registering.append(row)

    def settle(self, generator: IdGenerator, *, now: float) -> None:
        """End the registrations whose time has come. No timer does this, so call it first."""
        for row in [f for f in self._registering if (f.registering_until or 0.0) <= now]:
            self._registering.remove(row)
            row.registering_until = None
            row.is_new = False
            generator.register(row, refused=self.account.refused_document_types)

    def snapshots(self) -> tuple[SandboxSequence, ...]:
        return tuple(row.snapshot() for row in self._rows.values())

    def check_refusals(self, operation: Operation) -> None:
        refusal = self.account.refusals.get(operation)
        if refusal is not None:
            raise coded_refusal(operation, *refusal)

    def admits(self, behaviour: SandboxBehaviour, *, now: float) -> bool:
        limit = behaviour.requests_per_minute
        if limit is None:
            return True
        kind, window = _WINDOWS[behaviour.window], self._window
        if window is None or type(window) is not kind or window.limit != limit:
            window = self._window = kind(limit)
        return window.admit(now)
