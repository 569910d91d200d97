"""One transport in many threads, loops and processes; nothing left behind; credentials replaced once."""

import asyncio
import gc
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sagewire import AsyncClient
from sagewire.aws.credential_cache import BotocoreSource
from sagewire.aws.credentials import Credentials
from sagewire.errors import CredentialsExpired
from sagewire.transports.base import Retries
from sagewire.transports.sagemaker import AsyncSageMakerTransport, SageMakerTransport
from sagewire.types import Invocation

CALL = Invocation(b"{}")


@pytest.fixture
def make(server, session):
    def make(kind=SageMakerTransport, **options):
        return kind("my-llm", session=session, endpoint_url=server.url, **options)

    return make


def echo(peer, seen):
    peer.answer(seen.body)


def frames(peer, seen):
    peer.start_chunks()
    for _ in range(3):
        peer.chunk(seen.body)
    peer.end_chunks()


def test_32_threads(server, make):
    server.script = echo
    transport = make()

    def use(number):
        for turn in range(5):
            body = f"{number}.{turn}".encode()
            assert transport.invoke(Invocation(body)).data == body
        return number

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(use, range(32))) == list(range(32))
    assert len(server.seen) == 160
    assert server.opened <= 32
    transport.close()


def test_idle_connections_are_bounded(server, make):
    from botocore.config import Config

    barrier = threading.Barrier(8)

    def together(peer, seen):
        barrier.wait(5)
        peer.answer()

    server.script = together
    transport = make(config=Config(max_pool_connections=3))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: transport.invoke(CALL), range(8)))
    assert server.wait_for(lambda: server.open_now == 3)
    transport.close()
    assert server.wait_for(lambda: server.open_now == 0)
    server.script = echo
    assert transport.invoke(CALL).data == b"{}", "a closed transport may be used again"
    transport.close()


@pytest.mark.parametrize(("config", "kept"), [(3, 3), (1, 1), (None, 8)])
def test_idle_connections_of_an_async_client_are_bounded(server, session, config, kept):
    from botocore.config import Config

    barrier = threading.Barrier(8)
    answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": "ok"}}]}).encode()

    def together(peer, seen):
        # Eight at once are eight connections, whatever is kept of them.
        barrier.wait(5)
        peer.answer(answer)

    async def main():
        arguments = {} if config is None else {"config": Config(max_pool_connections=config)}
        client = AsyncClient("e", handler="openai_chat", session=session, endpoint_url=server.url, **arguments)
        async with client:
            await asyncio.gather(*(client.chat("Hi") for _ in range(8)))
            assert await asyncio.to_thread(server.wait_for, lambda: server.open_now == kept)
            assert server.opened == 8
            server.script = lambda peer, seen: peer.answer(answer)
            await client.chat("Hi")
            assert server.opened == 8, "one of those that were kept is used"

    server.script = together
    asyncio.run(main())
    assert server.wait_for(lambda: server.open_now == 0)


def test_a_dropped_transport_closes_its_connections(server, make):
    make().invoke(CALL)
    gc.collect()
    assert server.wait_for(lambda: server.open_now == 0)


def test_one_loop_after_the_other(server, make):
    server.script = echo
    transport = make(AsyncSageMakerTransport)

    async def main():
        return [body.data for body in await asyncio.gather(*[transport.invoke(CALL) for _ in range(20)])]

    for _ in range(3):
        assert asyncio.run(main()) == [b"{}"] * 20
        assert server.wait_for(lambda: server.open_now == 0), "a session is closed with its loop"


def test_loops_in_several_threads_at_once(server, make):
    server.script = echo
    transport = make(AsyncSageMakerTransport)

    async def main():
        return [body.data for body in await asyncio.gather(*[transport.invoke(CALL) for _ in range(10)])]

    with ThreadPoolExecutor(6) as pool:
        results = [future.result() for future in [pool.submit(asyncio.run, main()) for _ in range(6)]]
    assert results == [[b"{}"] * 10] * 6


def test_an_async_transport_can_be_closed_and_used_again(server, make):
    async def main():
        transport = make(AsyncSageMakerTransport)
        await transport.close()
        await transport.invoke(CALL)
        await transport.close()
        assert await asyncio.to_thread(server.wait_for, lambda: server.open_now == 0)
        await transport.invoke(CALL)

    asyncio.run(main())


def test_256_calls_in_flight(server, make):
    server.script = echo
    transport = make(AsyncSageMakerTransport)

    async def main():
        calls = [transport.invoke(Invocation(str(number).encode())) for number in range(256)]
        return [body.data for body in await asyncio.gather(*calls)]

    assert asyncio.run(main()) == [str(number).encode() for number in range(256)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_a_fork(server, make):
    """Parent and child go on at the same time, each on connections of its own."""
    server.script = echo
    transport, async_transport = make(), make(AsyncSageMakerTransport)
    transport.invoke(CALL)
    asyncio.run(async_transport.invoke(CALL))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            bodies = [transport.invoke(Invocation(b"child")).data for _ in range(3)]
            bodies.append(asyncio.run(async_transport.invoke(Invocation(b"child"))).data)
            status = 0 if bodies == [b"child"] * 4 else 2
        finally:
            os._exit(status)
    for _ in range(3):
        assert transport.invoke(Invocation(b"parent")).data == b"parent"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    used = {seen.connection for seen in server.seen if seen.body == b"parent"}
    assert used.isdisjoint(seen.connection for seen in server.seen if seen.body == b"child")
    transport.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_refreshes():
    """The child does not wait for a lock that nobody in it holds."""
    inside, leave = threading.Event(), threading.Event()

    class Slow:
        calls = 0

        def get_frozen_credentials(self):
            return Credentials("AK", "s")

    def load():
        inside.set()
        leave.wait(5)
        return Slow()

    source = BotocoreSource(load, load)
    thread = threading.Thread(target=source.get)
    thread.start()
    inside.wait(5)
    child = os.fork()
    if child == 0:
        leave.set()
        try:
            os._exit(0 if source.get().access_key == "AK" else 2)
        finally:
            os._exit(1)
    leave.set()
    thread.join()
    until = time.monotonic() + 5
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done != (0, 0), "the child hung"
    assert os.waitstatus_to_exitcode(done[1]) == 0


def endless(peer, seen):
    peer.start_chunks()
    while not peer.stopping.is_set():
        peer.chunk(b"x" * 1000)


def test_forgotten_streams_leave_nothing_behind(server, make):
    server.script = endless
    transport = make()
    for _ in range(50):
        stream = transport.stream(CALL).__enter__()
        next(iter(stream))
    del stream
    gc.collect()
    assert server.wait_for(lambda: server.open_now == 0)


def test_cancelled_async_streams_leave_nothing_behind(server, make):
    server.script = endless
    transport = make(AsyncSageMakerTransport)

    async def read(entered):
        async with transport.stream(CALL) as stream:
            async for _ in stream:
                entered.set()

    async def main():
        for _ in range(4):
            entered = [asyncio.Event() for _ in range(25)]
            tasks = [asyncio.create_task(read(event)) for event in entered]
            await asyncio.gather(*[event.wait() for event in entered])
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert await asyncio.to_thread(server.wait_for, lambda: server.open_now == 0)

    asyncio.run(main())


def test_forgotten_async_streams_leave_nothing_behind(server, make):
    server.script = endless
    transport = make(AsyncSageMakerTransport)

    async def main():
        for _ in range(20):
            stream = await transport.stream(CALL).__aenter__()
            pieces = aiter(stream)
            await anext(pieces)
            del stream, pieces
        gc.collect()
        await asyncio.sleep(0)
        assert await asyncio.to_thread(server.wait_for, lambda: server.open_now == 0)

    asyncio.run(main())


def test_a_cancelled_call_closes_its_connection(server, make):
    closed = []
    server.script = lambda peer, seen: closed.append(peer.wait_until_closed())
    transport = make(AsyncSageMakerTransport)

    async def main():
        task = asyncio.create_task(transport.invoke(CALL))
        await asyncio.to_thread(server.wait_for, lambda: len(server.seen) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_for, lambda: closed == [True])

    asyncio.run(main())


def test_streams_and_calls_share_connections(server, make):
    server.script = lambda peer, seen: frames(peer, seen) if "stream" in seen.path else echo(peer, seen)
    transport = make()
    for _ in range(5):
        with transport.stream(CALL) as stream:
            assert b"".join(stream) == b"{}{}{}"
        assert transport.invoke(CALL).data == b"{}"
    assert server.opened == 1
    transport.close()


class Keys:
    """A session's credentials that are replaced when they are called expired."""

    def __init__(self):
        self.number = 1
        self.lock = threading.Lock()

    def get_frozen_credentials(self):
        return Credentials(f"AKIA{self.number}", "s")

    def invalidate(self):
        with self.lock:
            self.number += 1


def expired_first(peer, seen):
    if "Credential=AKIA1/" in seen.headers["authorization"]:
        fields = {"message": "The security token included in the request is expired"}
        peer.answer(json.dumps(fields).encode(), 403, x_amzn_errortype="ExpiredTokenException")
    else:
        peer.answer(b"ok")


@pytest.mark.parametrize("kind", [SageMakerTransport, AsyncSageMakerTransport])
def test_expired_credentials_are_replaced_and_the_call_is_made_once_more(server, make, kind):
    server.script = expired_first
    keys = Keys()
    transport = make(kind, retries=Retries(attempts=1))
    transport._source = BotocoreSource(lambda: keys, lambda: keys)
    if kind is SageMakerTransport:
        with ThreadPoolExecutor(16) as pool:
            bodies = list(pool.map(lambda _: transport.invoke(CALL).data, range(16)))
        transport.close()
    else:

        async def main():
            return [body.data for body in await asyncio.gather(*[transport.invoke(CALL) for _ in range(16)])]

        bodies = asyncio.run(main())
    assert bodies == [b"ok"] * 16
    assert keys.number == 2, "sixteen callers, one replacement"


@pytest.mark.parametrize("kind", [SageMakerTransport, AsyncSageMakerTransport])
def test_expired_for_good_is_reported_after_one_more_try(server, make, kind):
    fields = {"message": "The security token included in the request is expired"}
    server.script = lambda peer, seen: peer.answer(
        json.dumps(fields).encode(), 403, x_amzn_errortype="ExpiredTokenException"
    )
    keys = Keys()
    transport = make(kind)
    transport._source = BotocoreSource(lambda: keys, lambda: keys)
    with pytest.raises(CredentialsExpired, match="refreshes itself"):
        transport.invoke(CALL) if kind is SageMakerTransport else asyncio.run(transport.invoke(CALL))
    assert len(server.seen) == 2


def test_keys_that_cannot_be_replaced_are_not_tried_twice(server, make):
    server.script = expired_first
    transport = make(retries=Retries(attempts=1))
    transport._source = BotocoreSource(lambda: FixedKeys(), lambda: None)
    with pytest.raises(CredentialsExpired):
        transport.invoke(CALL)
    assert len(server.seen) == 1


class FixedKeys:
    method = "explicit"

    def get_frozen_credentials(self):
        return Credentials("AKIA1", "s")
