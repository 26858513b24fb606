"""The plan of faults: which fault each request gets, planned one by one or drawn at random."""

import random
from collections import deque
from collections.abc import Collection, Mapping
from typing import Generic, TypeVar, get_args

import attrs

from invoicexpress_async.sandbox.domain.accounts import Operation
from invoicexpress_async.sandbox.faults.fault import ArrivalFault, ExchangeFault, Fault
from invoicexpress_async.sandbox.faults.registry import make_fault
from invoicexpress_async.sandbox.http import Head

_OPERATIONS: tuple[str, ...] = get_args(Operation)

_F = TypeVar("_F", bound=Fault)


@attrs.define(eq=False)
class _Planned(Generic[_F]):
    fault: _F
    operation: Operation | None
    remaining: int | None


@attrs.define(eq=False)
class _Lottery(Generic[_F]):
    """Draws one of its faults for a share of the requests; the others get none."""

    share: float
    weights: Mapping[_F, float]
    operations: Collection[str] | None = None

    def draw(self, dice: random.Random) -> _F | None:
        if not self.weights or dice.random() >= self.share:
            return None
        (fault,) = dice.choices(tuple(self.weights), tuple(self.weights.values()))
        return fault


@attrs.define(eq=False)
class FaultPlan:
    """The faults to come. Planned faults go before random ones.

    Args:
        seed: Equal seeds draw equal faults for requests in the same order.
    """

    seed: int = 0
    _dice: random.Random = attrs.field(init=False)
    _arrivals: deque[_Planned[ArrivalFault]] = attrs.field(init=False)
    # By account; None is any. Most plans name an account, and there may be thousands of them.
    _exchanges: dict[str | None, list[_Planned[ExchangeFault]]] = attrs.field(init=False)
    _arrival_lottery: _Lottery[ArrivalFault] = attrs.field(init=False)
    _exchange_lottery: _Lottery[ExchangeFault] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - reproducible, and no secret
        self.clear()

    def next(
        self,
        fault: str | Fault,
        *,
        operation: Operation | None = None,
        account: str | None = None,
        times: int | None = 1,
        **options: object,
    ) -> None:
        """Plan a fault for the next request that matches and has none yet.

        Args:
            fault: A name of `FAULT_NAMES`, or a value made by `make_fault`.
            operation: Only requests of this operation; None for any API request.
            account: Only this account's requests; None for any.
            times: How many requests get the fault; None for all until `clear()`.
            options: The options of the fault, as `describe_fault` lists them.

        Raises:
            ValueError: The fault or one of its options is unknown, or an operation or account is
                given for a fault that comes before any request is known.
        """
        _check_operations((operation,) if operation is not None else ())
        made = make_fault(fault, **options) if isinstance(fault, str) else fault
        if isinstance(made, ArrivalFault):
            if operation is not None or account is not None:
                raise ValueError(f"{made.name} comes before anything is known of a request")
            self._arrivals.append(_Planned(made, None, times))
        elif isinstance(made, ExchangeFault):
            planned = _Planned(made, operation, times)
            self._exchanges.setdefault(account and account.lower(), []).append(planned)

    def randomly(
        self,
        weights: Mapping[str, float] | Mapping[Fault, float],
        *,
        share: float,
        operations: Collection[str] | None = None,
    ) -> None:
        """Inject faults into a share of all requests, drawn by weight, until `clear()`.

        Faults that come before a request are drawn for each connection with their part of the
        share, whatever the operation. A second call replaces the first.

        Args:
            weights: The relative frequency of each fault, by name or by value of `make_fault`.
            share: The share of the requests, 0.0 to 1.0.
            operations: Only requests of these operations; None for any API request.

        Raises:
            ValueError: A fault or operation is unknown, or the share is not 0 to 1.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share is between 0 and 1, not {share!r}")
        _check_operations(operations or ())
        made = {
            make_fault(fault) if isinstance(fault, str) else fault: weight
            for fault, weight in weights.items()
        }
        total = sum(made.values()) or 1.0
        arrivals = {f: w for f, w in made.items() if isinstance(f, ArrivalFault)}
        exchanges = {f: w for f, w in made.items() if isinstance(f, ExchangeFault)}
        self._arrival_lottery = _Lottery(share * sum(arrivals.values()) / total, arrivals)
        self._exchange_lottery = _Lottery(
            share * sum(exchanges.values()) / total, exchanges, operations
        )

    def clear(self) -> None:
        """Remove every fault that has not begun."""
        self._arrivals = deque()
        self._exchanges = {}
        self._arrival_lottery = _Lottery(0.0, {})
        self._exchange_lottery = _Lottery(0.0, {})

    @property
    def planned(self) -> int | None:
        """How many planned faults are still to come; None if one has no end."""
        counts = [one.remaining for one in self._arrivals]
        counts += [one.remaining for plans in self._exchanges.values() for one in plans]
        return None if None in counts else sum(count or 0 for count in counts)

    def for_arrival(self) -> ArrivalFault | None:
        if not self._arrivals:
            return self._arrival_lottery.draw(self._dice)
        planned = self._arrivals[0]
        if _is_used_up(planned):
            self._arrivals.popleft()
        return planned.fault

    def for_request(self, head: Head, *, is_reused: bool) -> ExchangeFault | None:
        operation = head.command.operation if head.command is not None else None
        if self._exchanges:
            for key in (head.account, None):
                fault = self._take(key, operation, is_reused=is_reused)
                if fault is not None:
                    return fault
        lottery = self._exchange_lottery
        if lottery.operations is not None and operation not in lottery.operations:
            return None
        fault = lottery.draw(self._dice)
        return None if fault is not None and fault.needs_reuse and not is_reused else fault

    def _take(
        self, key: str | None, operation: Operation | None, *, is_reused: bool
    ) -> ExchangeFault | None:
        plans = self._exchanges.get(key, [])
        for index, planned in enumerate(plans):
            is_meant = planned.operation is None or planned.operation == operation
            if is_meant and (is_reused or not planned.fault.needs_reuse):
                if _is_used_up(planned):
                    del plans[index]
                return planned.fault
        return None


def _is_used_up(planned: _Planned[_F]) -> bool:
    if planned.remaining is not None:
        planned.remaining -= 1
    return planned.remaining == 0


def _check_operations(operations: Collection[str]) -> None:
    unknown = [name for name in operations if name not in _OPERATIONS]
    if unknown:
        known = ", ".join(_OPERATIONS)
        raise ValueError(f"not an operation: {', '.join(unknown)}; there are: {known}")
