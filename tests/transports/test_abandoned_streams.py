"""However a stream is given up, its connection is closed and nothing stays behind: no socket, no thread, no task."""

import asyncio
import contextlib
import gc
import json
import os
import threading
import time
from pathlib import Path

import pytest

from sagewire import Client
from sagewire.streaming.eventstream import encode_payload_part

SOCKETS = Path("/proc/self/fd")
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
AT_ONCE = 20

pytestmark = pytest.mark.skipif(not SOCKETS.exists(), reason="asks Linux for the open files")


@pytest.fixture
def endless(server):
    """A container that goes on until nobody listens any more."""
    data = json.dumps({"choices": [{"index": 0, "delta": {"content": "and so on "}}]})
    frame = encode_payload_part(f"data: {data}\n\n".encode())

    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(frame)
        peer.chunk(frame)
        peer.wait_until_closed(30)
        peer.close()

    server.script = script
    return server


def made(server):
    return Client("endless", handler="openai_chat", endpoint_url=server.url, **KEYS)


def leave_block(client):
    with client.stream("?") as stream:
        next(iter(stream))


def close(client):
    stream = client.stream("?")
    next(iter(stream))
    stream.close()


def drop(client):
    next(iter(client.stream("?")))


def raise_inside(client):
    with contextlib.suppress(KeyError), client.stream("?") as stream:
        for _ in stream:
            raise KeyError


SYNC = [leave_block, close, drop, raise_inside]


async def aleave_block(client):
    async with client.stream("?") as stream:
        await anext(aiter(stream))


async def aclose(client):
    stream = client.stream("?")
    await anext(aiter(stream))
    await stream.close()


async def adrop(client):
    await anext(aiter(client.stream("?")))


async def cancel(client):
    begun = asyncio.Event()

    async def read():
        async with client.stream("?") as stream:
            async for _ in stream:
                begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


ASYNC = [aleave_block, aclose, adrop, cancel]
COUNTS = [120, pytest.param(10_000, marks=pytest.mark.slow)]


def open_files():
    return len(os.listdir(SOCKETS))


def settled(server, count):
    """Wait until no more than `count` files are open and the server has no connection left."""
    return server.wait_for(lambda: gc.collect() >= 0 and server.open_now == 0 and open_files() <= count, 20)


@pytest.mark.parametrize("count", COUNTS)
def test_abandoned_streams_leave_nothing_behind(endless, count):
    files, threads = open_files(), threading.active_count()
    with made(endless) as client:
        for number in range(count):
            SYNC[number % len(SYNC)](client)
            assert open_files() < files + 200
    assert settled(endless, files)
    assert endless.opened == count
    assert threads_end(endless, threads)


@pytest.mark.parametrize("count", COUNTS)
def test_abandoned_streams_of_a_loop_leave_nothing_behind(endless, count):
    files, threads = open_files(), threading.active_count()

    async def main():
        async with made(endless).to_async() as client:
            for start in range(0, count, AT_ONCE):
                numbers = range(start, min(start + AT_ONCE, count))
                await asyncio.gather(*[ASYNC[number % len(ASYNC)](client) for number in numbers])
                assert open_files() < files + 400
            await asyncio.sleep(0)
            while len(asyncio.all_tasks()) > 1:
                await asyncio.wait([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])

    asyncio.run(main())
    assert settled(endless, files)
    assert endless.opened == count
    assert threads_end(endless, threads)


def threads_end(server, count):
    """Return whether no more than `count` threads are left; those of the server end with their connections."""
    until = time.monotonic() + 20
    for thread in list(server._threads):
        thread.join(max(0.0, until - time.monotonic()))
    return threading.active_count() <= count
