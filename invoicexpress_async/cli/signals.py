"""Runs a coroutine until it ends or a signal stops it."""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import TypeAlias, TypeVar

import attrs

from invoicexpress_async.jobs.stop import DRAIN_SECONDS
from invoicexpress_async.provisioning import RunStop

T = TypeVar("T")

Handler: TypeAlias = Callable[[int, FrameType | None], object]


def run_until_signal(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine. SIGINT and SIGTERM cancel it, so that it can clean up."""

    async def cancelled_by_sigterm() -> T:
        if (task := asyncio.current_task()) is not None:
            # Windows has no such handlers, and only the main thread may set them.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return run_to_its_end(cancelled_by_sigterm())


def run_to_its_end(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine that handles the signals itself, with an `Interruption`."""
    with contextlib.suppress(asyncio.CancelledError):
        return asyncio.run(work)
    raise KeyboardInterrupt


def plain_interrupts() -> contextlib.AbstractContextManager[None]:
    """Let Ctrl-C end a question inside a running event loop, which otherwise delays it."""
    return _handled(signal.default_int_handler, signal.SIGINT)


@contextlib.contextmanager
def _handled(handler: Handler, *numbers: signal.Signals) -> Generator[None]:
    """Handle signals; only in the main thread. An ignored one, as by `nohup`, stays ignored."""
    with contextlib.ExitStack() as stack:
        for number in numbers:
            before = signal.getsignal(number)
            if before not in {None, signal.SIG_IGN}:
                with contextlib.suppress(ValueError):  # not the main thread
                    # Not the handlers of the loop, which Windows does not have.
                    signal.signal(number, handler)
                    stack.callback(signal.signal, number, before)
        yield


@attrs.define(eq=False)
class Interruption:
    """SIGINT and SIGTERM during a run: the first stops it cleanly, the second cuts it off."""

    stop: RunStop = attrs.field(factory=RunStop)
    drain_seconds: float = DRAIN_SECONDS
    on_request: Callable[[], None] | None = None
    has_come: bool = False

    def __call__(self) -> None:
        """End the run: cleanly at the first signal, at once at the second."""
        if self.has_come:
            self.stop.cut_off()
            return
        self.has_come = True
        self.stop.request(drain_seconds=self.drain_seconds)
        if self.on_request is not None:
            self.on_request()

    def catching(self) -> contextlib.AbstractContextManager[None]:
        """Handle the two signals inside a running event loop; only in the main thread."""
        loop = asyncio.get_running_loop()
        count = itertools.count()

        def note(_number: int, _frame: FrameType | None) -> None:
            if next(count) > 1:
                # A reader of stdout that does not read blocks the loop: only this ends the run.
                raise KeyboardInterrupt
            loop.call_soon_threadsafe(self)

        return _handled(note, signal.SIGINT, signal.SIGTERM)
