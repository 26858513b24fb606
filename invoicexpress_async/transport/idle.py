"""The idle lanes of a pool, and which of them is worth keeping."""

from collections import OrderedDict
from typing import Final, Generic, Protocol, TypeVar

# As long as servers commonly keep an idle connection: who comes back later needs a new one anyway.
_REMEMBERED_SECONDS: Final = 60.0
_MAX_REMEMBERED: Final = 10_000


class Lane(Protocol):
    """One connection to one origin."""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        ...

    async def close(self) -> None:
        """Close the connection at once."""
        ...

    def abandon(self) -> None:
        """Close it without waiting."""
        ...


L = TypeVar("L", bound=Lane)


class IdleLanes(Generic[L]):
    """Idle lanes of visitors and of regulars, each oldest first.

    Args:
        max_visitors: The idle lanes of origins of which nothing is known.
        max_regulars: The origins that came back after their lane had been closed. When there are
            so many, further ones stay visitors: more regulars than lanes would drive one another
            out in turn, and none would find its lane again.
    """

    def __init__(self, *, max_visitors: int, max_regulars: int) -> None:
        self._max_visitors = max_visitors
        self._max_regulars = max_regulars
        self._visitors: OrderedDict[L, float] = OrderedDict()  # with its idle-since
        self._regulars: OrderedDict[L, float] = OrderedDict()
        self._by_origin: dict[str, list[L]] = {}
        self._regular_origins: set[str] = set()
        self._closed_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._visitors) + len(self._regulars)

    def has(self, origin: str) -> bool:
        """Whether there is one of the origin."""
        return origin in self._by_origin

    def take(self, origin: str) -> L | None:
        """Take out the lane of the origin that was used last."""
        lanes = self._by_origin.get(origin)
        if not lanes:
            return None
        lane = lanes.pop()
        if not lanes:
            del self._by_origin[origin]
        if lane in self._visitors:
            del self._visitors[lane]
        else:
            del self._regulars[lane]
        return lane

    def give(self, lane: L, now: float) -> list[L]:
        """Put a lane in; return those that are no longer worth keeping."""
        self._by_origin.setdefault(lane.origin, []).append(lane)
        if self._is_regular(lane.origin, now):
            self._regulars[lane] = now
            return []
        self._visitors[lane] = now
        if len(self._visitors) <= self._max_visitors:
            return []
        return [self._pop(self._visitors, now)]

    def pop_oldest(self, now: float, idle_seconds: float = 0.0) -> L | None:
        """Take out the visitor, else the regular, that has been idle longest, and so long."""
        for lanes in (self._visitors, self._regulars):
            if lanes and next(iter(lanes.values())) <= now - idle_seconds:
                return self._pop(lanes, now)
        return None

    def _is_regular(self, origin: str, now: float) -> bool:
        if origin in self._regular_origins:
            return True
        closed_at = self._closed_at.get(origin)
        if closed_at is None or now - closed_at >= _REMEMBERED_SECONDS:
            return False
        if len(self._regular_origins) >= self._max_regulars:
            return False
        self._regular_origins.add(origin)
        return True

    def _pop(self, lanes: OrderedDict[L, float], now: float) -> L:
        lane, _ = lanes.popitem(last=False)
        of_origin = self._by_origin[lane.origin]
        of_origin.remove(lane)
        if not of_origin:
            del self._by_origin[lane.origin]
            self._regular_origins.discard(lane.origin)
        self._remember(lane.origin, now)
        return lane

    def _remember(self, origin: str, now: float) -> None:
        self._closed_at[origin] = now
        self._closed_at.move_to_end(origin)
        if len(self._closed_at) > _MAX_REMEMBERED:
            self._closed_at.popitem(last=False)
