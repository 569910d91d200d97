"""The movable timeout beside asyncio's own."""

import asyncio
import sys

import pytest

from sagewire.http.timer_pool import Timer, TimerPool


@pytest.fixture
async def alarms():
    return TimerPool(asyncio.get_running_loop())


async def forever():
    await asyncio.get_running_loop().create_future()


async def test_time_up(alarms):
    with pytest.raises(TimeoutError), Timer(0.01, alarms):
        await forever()
    assert asyncio.current_task().cancelling() == 0


async def test_in_time(alarms):
    with Timer(10, alarms):
        await asyncio.sleep(0)


async def test_no_limit(alarms):
    with Timer(None, alarms) as watch:
        await asyncio.sleep(0)
        watch.set(0.01)
        with pytest.raises(asyncio.CancelledError):
            await forever()
        asyncio.current_task().uncancel()


@pytest.mark.parametrize(("first", "then"), [(10, 0.01), (0.01, 0.03), (None, 0.01)])
async def test_moved(alarms, first, then):
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def work():
        with Timer(first, alarms) as watch:
            watch.set(then)
            await forever()

    with pytest.raises(TimeoutError):
        await work()
    assert then - 0.005 <= loop.time() - started < 2


async def test_switched_off(alarms):
    with Timer(0.001, alarms) as watch:
        watch.set(None)
        await asyncio.sleep(0.01)


async def test_somebody_elses_cancellation_stays_one(alarms):
    async def work():
        with Timer(10, alarms):
            await forever()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_a_cancellation(alarms):
    async def work():
        with Timer(0.001, alarms) as watch:
            try:
                await forever()
            finally:
                # Time is up; now the task is cancelled as well.
                assert watch._expired
                asyncio.current_task().cancel()

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_is_not_covered_up(alarms):
    with pytest.raises(KeyError), Timer(10, alarms):
        raise KeyError("mine")


async def test_inside_of_asyncios_timeout(alarms):
    async def work():
        async with asyncio.timeout(0.01):
            with Timer(10, alarms):
                await forever()

    with pytest.raises(TimeoutError):
        await work()


async def test_nothing_happens_once_the_block_is_left(alarms):
    with Timer(10, alarms) as watch:
        pass
    watch.set(0.001)
    await asyncio.sleep(0.01)


class CountingLoop:
    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self.timers = 0

    def __getattr__(self, name):
        return getattr(self._loop, name)

    def call_at(self, *arguments):
        self.timers += 1
        return self._loop.call_at(*arguments)


async def test_one_timer_serves_waits_one_after_the_other():
    loop = CountingLoop()
    alarms = TimerPool(loop)
    for _ in range(100):
        with Timer(10, alarms):
            pass
    assert loop.timers == 1


async def test_a_timer_that_fires_for_an_earlier_wait_does_not_end_a_later_one(alarms):
    with Timer(0.005, alarms):
        pass
    started = alarms.loop.time()
    with pytest.raises(TimeoutError), Timer(0.03, alarms):
        await forever()
    assert alarms.loop.time() - started >= 0.025


async def test_a_shorter_wait_after_a_longer_one(alarms):
    with Timer(10, alarms):
        pass
    with pytest.raises(TimeoutError), Timer(0.01, alarms):
        await forever()


async def test_waits_side_by_side(alarms):
    async def work(seconds):
        with Timer(seconds, alarms):
            await forever()

    results = await asyncio.gather(*[work(seconds / 1000) for seconds in (30, 10, 20)], return_exceptions=True)
    assert [type(result) for result in results] == [TimeoutError] * 3


async def test_a_timer_that_fires_while_nobody_waits_is_gone(alarms):
    with Timer(0.001, alarms):
        pass
    await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError), Timer(0.01, alarms):
        await forever()


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_a_time_that_has_come_on_uvloop():
    # Its timers that are due at once are handles without a time of their own.
    import uvloop

    async def run():
        alarm = TimerPool(asyncio.get_running_loop()).take()
        for earlier in (0.0, 1.0, 2.0):
            alarm.fire_by(asyncio.get_running_loop().time() - earlier)
        await asyncio.sleep(0)

    uvloop.run(run())
