import asyncio
import time
from typing import Any

import pytest

from invoicexpress_async._deadlines import Deadline, Deadlines

LONG = 60.0


async def test_a_block_that_takes_too_long_is_cancelled_and_raises() -> None:
    deadlines = Deadlines()
    deadline = Deadline(deadlines, time.monotonic() + 0.01)

    with pytest.raises(TimeoutError):
        async with deadline:
            await asyncio.sleep(LONG)

    assert deadline.expired()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_block_that_ends_in_time_is_left_alone() -> None:
    deadlines = Deadlines()
    async with Deadline(deadlines, time.monotonic() + 0.01) as deadline:
        pass

    await asyncio.sleep(0.03)

    assert not deadline.expired()


async def test_an_earlier_deadline_that_comes_later_is_not_overlooked() -> None:
    deadlines = Deadlines()
    async with Deadline(deadlines, time.monotonic() + LONG) as outer:
        with pytest.raises(TimeoutError):
            async with Deadline(deadlines, time.monotonic() + 0.01):
                await asyncio.sleep(LONG)

    assert not outer.expired()


async def test_a_deadline_after_one_that_was_not_needed_comes_too() -> None:
    deadlines = Deadlines()
    async with Deadline(deadlines, time.monotonic() + 0.01):
        pass  # its timer stays, and is the one that looks at the next

    with pytest.raises(TimeoutError):
        async with Deadline(deadlines, time.monotonic() + 0.03):
            await asyncio.sleep(LONG)


async def test_a_thousand_blocks_are_ended_each_in_its_time() -> None:
    deadlines = Deadlines()
    started = time.monotonic()

    async def run(seconds: float) -> float:
        with pytest.raises(TimeoutError):
            async with Deadline(deadlines, started + seconds):
                await asyncio.sleep(LONG)
        return time.monotonic() - started - seconds

    late = await asyncio.gather(*(run(0.0001 * number) for number in range(1_000)))

    assert min(late) >= 0.0


async def test_who_else_cancels_at_the_same_moment_is_not_kept_from_it() -> None:
    deadline = Deadline(Deadlines(), time.monotonic() + LONG)

    async def run() -> None:
        async with deadline:
            await asyncio.sleep(LONG)

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    deadline.expire()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_is_not_replaced() -> None:
    async def run() -> None:
        async with Deadline(Deadlines(), time.monotonic() + 0.01):
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                raise KeyError("mine") from None

    with pytest.raises(KeyError, match="mine"):
        await run()


async def test_a_block_can_be_ended_sooner_and_only_while_it_runs() -> None:
    deadline = Deadline(Deadlines(), time.monotonic() + LONG)

    async def run() -> None:
        async with deadline:
            deadline.reschedule(time.monotonic())
            await asyncio.sleep(LONG)

    with pytest.raises(RuntimeError, match="being run"):
        deadline.reschedule(0.0)
    with pytest.raises(TimeoutError):
        await run()
    with pytest.raises(RuntimeError, match="being run"):
        deadline.reschedule(None)


async def test_one_timer_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines = Deadlines()
    loop = asyncio.get_running_loop()
    made: list[object] = []
    call_later = loop.call_later

    def count(*args: Any) -> asyncio.TimerHandle:
        made.append(args)
        return call_later(*args)

    monkeypatch.setattr(loop, "call_later", count)

    for _ in range(100):
        async with Deadline(deadlines, time.monotonic() + LONG):
            await asyncio.sleep(0)

    assert len(made) == 1
