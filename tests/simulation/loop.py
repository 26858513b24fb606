"""An event loop with virtual time, on which several simulated processes take turns."""

import asyncio
import functools
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar, TypeVarTuple

import attrs

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.Protocol)
Ts = TypeVarTuple("Ts")

# The time of a callback; above 0, so that no two of one process run at the same instant.
_STEP_SECONDS: Final = 2e-5
# A cancelled task may await in its clean-up, and be cancelled again there.
_MOST_CANCELS: Final = 20
_UNWIND_SECONDS: Final = 30.0
_PROCESS: ContextVar["Process"] = ContextVar("process")


@attrs.define(eq=False)
class Machine:
    """The state that the processes of one machine share.

    Attributes:
        boot: The id of the machine's boot.
        slept_seconds: How far its monotonic clock is behind, since it stops while suspended.
        wall_offset: How far its wall clock is off, in seconds.
    """

    boot: str
    slept_seconds: float = 0.0
    wall_offset: float = 0.0


class _Handle(asyncio.Handle):
    """A callback, without the debugging of asyncio's own: a history has a thousand of them."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._cancelled, self._repr, self._source_traceback = False, None, None

    def run(self) -> None:
        """Run the callback."""
        try:
            self._context.run(self._callback, *self._args)
        except Exception as error:  # noqa: BLE001  # as asyncio's own loops do
            message = f"Exception in callback {self._callback!r}"
            self._loop.call_exception_handler({"message": message, "exception": error})


class _Future(asyncio.Future[Any]):
    """A future whose place in a set follows from the history, and not from its address."""

    def __init__(self, number: int, **settings: Any) -> None:
        self._number = number
        super().__init__(**settings)

    def __hash__(self) -> int:
        return self._number


class _Task(asyncio.Task[T]):
    """A task of that kind: a TaskGroup cancels its tasks in the order of a set."""

    def __init__(self, number: int, *args: Any, **settings: Any) -> None:
        self._number = number
        super().__init__(*args, **settings)

    def __hash__(self) -> int:
        return self._number


@attrs.define(eq=False)
class Process:
    """One simulated process: its callbacks, its tasks, and its clocks.

    A callback belongs to the process in whose context it was made. A dead process runs no
    callbacks; a frozen process runs them later.

    Attributes:
        name: The name in the trace.
        machine: The machine it runs on.
        is_alive: Whether its actions have an effect.
        is_running: Whether its callbacks are run at all.
        frozen_until: When it continues, on the loop's clock.
        context: The context of callbacks that come from outside.
        ready: The callbacks to run next, in order, as in a real event loop.
        tasks: All tasks that have begun and not ended, in order.
        on_end: Called when it is killed.
    """

    name: str
    machine: Machine
    is_alive: bool = True
    is_running: bool = True
    frozen_until: float = 0.0
    context: Context = attrs.field(factory=Context)
    ready: "deque[_Handle]" = attrs.field(factory=deque)
    tasks: "dict[asyncio.Task[Any], None]" = attrs.field(factory=dict)
    on_end: Callable[[], None] = lambda: None

    def kill(self) -> None:
        """End the process as kill -9 does: none of its callbacks runs from now on."""
        self.is_alive = self.is_running = False
        self.on_end()


class _Timer(_Handle, asyncio.TimerHandle):
    __slots__ = ("process",)

    def __init__(self, process: Process, when: float, *rest: Any) -> None:
        _Handle.__init__(self, *rest)
        self._when, self._scheduled = when, False
        self.process = process


class StuckError(AssertionError):
    """Nothing is left to run, or too many steps were run."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in an order decided by the seed, but in order within each process.

    Attributes:
        now: The virtual seconds of the whole simulated world.
        errors: The errors of callbacks that nothing caught.
        on_switch: Called with the process that is to run next.
        connect: Opens a connection, or raises.
        make_transport: Returns the transport of an open connection.
    """

    def __init__(self, chance: random.Random) -> None:
        self.now = 1_000.0
        self.world = Process("world", Machine("world"))
        self.errors: list[str] = []
        self.on_switch: Callable[[Process], None] = lambda _: None
        self.connect: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.make_transport: Callable[[asyncio.Protocol], asyncio.Transport] | None = None
        self._chance = chance
        self._processes: list[Process] = [self.world]
        # The processes whose callbacks are run.
        self._running: list[Process] = [self.world]
        self._switched_to: Process | None = None
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self._steps_left = 0

    @property
    def process(self) -> Process:
        """The process that runs now."""
        return _PROCESS.get(self.world)

    async def run_process(
        self, name: str, machine: Machine, main: Callable[[], Coroutine[Any, Any, None]]
    ) -> bool:
        """Run a process until it ends; return whether it ended by itself."""
        ended = self.create_future()
        process = Process(name, machine)
        process.on_end = lambda: self._ended(process, ended)
        process.context.run(_PROCESS.set, process)
        self._processes.append(process)
        self._running.append(process)
        task = process.context.copy().run(self.create_task, main())
        task.add_done_callback(lambda _: process.on_end())
        await ended
        if process.is_alive:
            task.result()
            process.tasks.pop(task, None)
        return process.is_alive

    def _ended(self, process: Process, ended: "asyncio.Future[None]") -> None:
        if not process.is_alive and process in self._running:
            self._running.remove(process)
        self.call_in(self.world, _set, ended)

    def end(self, *, steps: int) -> None:
        """Cancel all tasks and let them unwind without any effect, so that none is left open."""
        dead = self._processes
        for process in dead:
            process.on_end = lambda: None
            process.kill()
            process.is_running, process.frozen_until = True, 0.0
        self._running[:] = dead
        for _ in range(_MOST_CANCELS):
            tasks = [task for process in dead for task in process.tasks]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            until = self.now + _UNWIND_SECONDS
            self.run_until(functools.partial(self._is_after, until, dead), steps=steps)

    def _is_after(self, until: float, dead: list[Process]) -> bool:
        is_idle = not any(process.ready for process in dead)
        return not any(one.tasks for one in dead) or (is_idle and self._next_at() > until)

    def _next_at(self) -> float:
        times = [self._timers[0][0]] if self._timers else []
        times += [one.frozen_until for one in self._running if one.ready]
        return min(times, default=float("inf"))

    def call_in(self, process: Process, callback: Callable[..., object], *args: object) -> None:
        """Schedule a callback in a process."""
        self.call_soon(callback, *args, context=process.context)

    def run_until(self, is_over: Callable[[], bool], *, steps: int) -> None:
        """Run callbacks until `is_over`, which is checked each time before time passes.

        Raises:
            StuckError: nothing is left to run, or it takes more than `steps`.
        """
        before = asyncio._get_running_loop()  # noqa: SLF001  # as asyncio's own loops do
        asyncio._set_running_loop(self)  # noqa: SLF001
        self._steps_left = steps
        try:
            self._run_able()
            while not is_over():
                self._jump()
                self._run_able()
        finally:
            asyncio._set_running_loop(before)  # noqa: SLF001

    def sleep(self, machine: Machine, seconds: float) -> None:
        """Suspend a machine with all its processes; the world and other machines continue."""
        machine.slept_seconds += seconds
        for process in self._processes:
            if process.machine is machine:
                process.frozen_until = max(process.frozen_until, self.now) + seconds

    def in_world(self, delay: float, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Schedule a callback that runs even if the present process is killed."""
        self._add_timer(self.world, self.now + delay, callback, args, None)

    def _run_able(self) -> None:
        """Run callbacks as long as one can run at the present time."""
        timers, running, choice = self._timers, self._running, self._chance.choice
        while True:
            now = self.now
            if timers and timers[0][0] <= now:
                self._admit_due()
            able = [one for one in running if one.ready and one.frozen_until <= now]
            if not able:
                return
            self._steps_left -= 1
            if self._steps_left < 0:
                raise StuckError("the history does not end")
            process = able[0] if len(able) == 1 else choice(able)
            handle = process.ready.popleft()
            if handle.cancelled():
                continue
            self.now = now + _STEP_SECONDS
            if process is not self._switched_to:
                self._switched_to = process
                self.on_switch(process)
            handle.run()

    def _admit_due(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            _, _, timer = heapq.heappop(self._timers)
            process = timer.process
            if timer.cancelled() or not process.is_running:
                continue
            when = timer.when() + process.machine.slept_seconds
            if when > self.now:  # the clock of its machine stood still meanwhile
                heapq.heappush(self._timers, (when, next(self._order), timer))
            else:
                process.ready.append(timer)

    def _jump(self) -> None:
        when = self._next_at()
        if when == float("inf"):
            raise StuckError("nothing is left to run")
        self.now = max(self.now, when)

    def _add_timer(
        self,
        process: Process,
        when: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: Context | None,
    ) -> _Timer:
        timer = _Timer(process, when - process.machine.slept_seconds, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    # The methods of a loop that asyncio and aiohttp use.

    def time(self) -> float:
        return self.now - _PROCESS.get(self.world).machine.slept_seconds

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._process_of(context).ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self._add_timer(
            self._process_of(context), self.now + max(0.0, delay), callback, args, context
        )

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        process = self._process_of(context)
        return self._add_timer(
            process, when + process.machine.slept_seconds, callback, args, context
        )

    def _process_of(self, context: Context | None) -> Process:
        return self.process if context is None else context.get(_PROCESS, self.world)

    def create_future(self) -> "asyncio.Future[Any]":
        return _Future(next(self._order), loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: object,
    ) -> "asyncio.Task[T]":
        number = next(self._order)
        task: asyncio.Task[T] = _Task(number, coro, loop=self, name=name, context=context)
        tasks = self._process_of(context).tasks
        tasks[task] = None
        task.add_done_callback(lambda one: tasks.pop(one, None))
        return task

    async def start_connection(self, *_: object, **__: object) -> None:
        """Replace `aiohappyeyeballs.start_connection`, without a socket."""
        if self.connect is not None:
            await self.connect()

    async def create_connection(  # type: ignore[override]  # only the arguments that matter
        self, protocol_factory: Callable[[], P], *_: object, **__: object
    ) -> tuple[asyncio.Transport, P]:
        """Make a transport, without TLS."""
        assert self.make_transport is not None
        protocol = protocol_factory()
        transport = self.make_transport(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    async def run_in_executor(  # type: ignore[override]  # a coroutine instead of a future
        self, executor: object, func: Callable[[*Ts], T], *args: *Ts
    ) -> T:
        del executor
        await asyncio.sleep(0.001)
        return func(*args)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled timer is dropped when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        process = self.process
        if process.is_alive:
            what = f"{context.get('message')}: {context.get('exception')!r}"
            self.errors.append(f"{process.name}: {what}")


def _set(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_result(None)
