"""The movable timeout beside asyncio's own."""

import asyncio

import pytest

from sagewire.transports._watch import Watch


async def forever():
    await asyncio.get_running_loop().create_future()


async def test_time_up():
    with pytest.raises(TimeoutError):
        async with Watch(0.01):
            await forever()
    assert asyncio.current_task().cancelling() == 0


async def test_in_time():
    async with Watch(10):
        await asyncio.sleep(0)


async def test_no_limit():
    async with Watch(None) as watch:
        await asyncio.sleep(0)
        watch.set(0.01)
        with pytest.raises(asyncio.CancelledError):
            await forever()
        asyncio.current_task().uncancel()


@pytest.mark.parametrize(("first", "then"), [(10, 0.01), (0.01, 0.03), (None, 0.01)])
async def test_moved(first, then):
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def work():
        async with Watch(first) as watch:
            watch.set(then)
            await forever()

    with pytest.raises(TimeoutError):
        await work()
    assert then - 0.005 <= loop.time() - started < 2


async def test_switched_off():
    async with Watch(0.001) as watch:
        watch.set(None)
        await asyncio.sleep(0.01)


async def test_somebody_elses_cancellation_stays_one():
    async def work():
        async with Watch(10):
            await forever()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_a_cancellation():
    async def work():
        async with Watch(0.001) as watch:
            try:
                await forever()
            finally:
                # Time is up; now the task is cancelled as well.
                assert watch._expired
                asyncio.current_task().cancel()

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_is_not_covered_up():
    with pytest.raises(KeyError):
        async with Watch(10):
            raise KeyError("mine")


async def test_inside_of_asyncios_timeout():
    async def work():
        async with asyncio.timeout(0.01), Watch(10):
            await forever()

    with pytest.raises(TimeoutError):
        await work()


async def test_nothing_happens_once_the_block_is_left():
    async with Watch(10) as watch:
        pass
    watch.set(0.001)
    await asyncio.sleep(0.01)
