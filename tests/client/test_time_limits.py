"""The limit on a whole call holds for the look-up of the endpoint's container, too."""

import asyncio
import socket
import threading

import pytest

from sagewire import AsyncClient, Client, EndpointTimeout, Timeouts
from sagewire.client.batch_run import BatchRun
from sagewire.http.deadlines import Deadlines
from sagewire.testing import AsyncFakeTransport, FakeTransport
from sagewire.transports.base import Body
from sagewire.types import EmbedOptions, ResponseInfo


@pytest.fixture
def silent(monkeypatch):
    """A control plane that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_silent_control_plane(silent, streamed):
    limits = Timeouts(total=0.3)
    client, twin = Client("my-llm", timeout=limits), AsyncClient("my-llm", timeout=limits)
    says = r"'my-llm' \(looking up its container\) did not end within 0\.3 s"
    with pytest.raises(EndpointTimeout, match=says) as caught:
        list(client.stream("Hi")) if streamed else client.chat("Hi")
    assert caught.value.code == "total"
    with pytest.raises(EndpointTimeout, match=says):
        [delta async for delta in twin.stream("Hi")] if streamed else await twin.chat("Hi")
    # Somebody else's limit ends the wait at once, without one of ours.
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await AsyncClient("my-llm").chat("Hi")


def test_a_name_that_nobody_finds(monkeypatch):
    """Neither the call nor the end of the loop waits for the system's look-up."""
    going, known = threading.Event(), socket.getaddrinfo

    def slow(host, *arguments, **named):
        if host == "slow.example":
            going.wait(10)
        return known("127.0.0.1" if host == "slow.example" else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def run(kind, limits, own):
        async with AsyncClient(url="http://slow.example:9", handler="openai_chat", timeout=limits, retries=1) as client:
            with pytest.raises(kind):
                async with asyncio.timeout(own):
                    await asyncio.gather(*(client.chat("Hi") for _ in range(50)))

    asyncio.run(run(EndpointTimeout, Timeouts(total=0.05), None))
    asyncio.run(run(TimeoutError, Timeouts(), 0.05))
    with (
        Client(url="http://slow.example:9", handler="openai_chat", timeout=Timeouts(total=0.05)) as client,
        pytest.raises(EndpointTimeout),
    ):
        client.chat("Hi")
    assert not going.is_set()
    going.set()


def test_what_has_passed_counts():
    with pytest.raises(EndpointTimeout, match="within 5 s"):
        Deadlines(Timeouts(total=5), "my-llm", spent=5.1).left()


def test_a_call_is_told_how_long_the_look_up_took(monkeypatch):
    transport = FakeTransport(b'[{"generated_text": "Hi"}]')
    client = Client(transport=transport, handler="tgi")
    wait = threading.Event()
    found = client._resolver.finding
    monkeypatch.setattr(client._resolver, "finding", lambda given: wait.wait(0.05) or found(given))
    client.complete("a")
    assert transport.calls[0].spent >= 0.05


@pytest.mark.parametrize("task", ["embed", "rerank"])
async def test_a_batch_is_told_how_long_the_look_up_took(monkeypatch, task):
    made = b"[[1.0]]" if task == "embed" else b'[{"index": 0, "score": 1.0}]'
    wait = threading.Event()
    for kind, played in ((Client, FakeTransport), (AsyncClient, AsyncFakeTransport)):
        transport = played(made)
        client = kind(transport=transport, handler="tei" if task == "embed" else "tei_rerank")
        found = client._resolver.finding
        monkeypatch.setattr(client._resolver, "finding", lambda given, found=found: wait.wait(0.05) or found(given))
        answer = client.embed(["a"]) if task == "embed" else client.rerank("a", ["b"])
        if kind is AsyncClient:
            await answer
        assert transport.calls[-1].spent >= 0.05
    # As nobody waits for the look-up any more, the whole limit is for the calls that follow.
    client = Client(transport=FakeTransport(made), handler="tei")
    run = BatchRun(client._embedding(["a", "b"], EmbedOptions(), None), 1, None, 0.5)
    assert run.invocation((0, ["a"])).spent == 0.5
    run.start()
    run.answered((0, ["a", "b"]), Body(b"[[1.0], [2.0]]", ResponseInfo()))
    assert run.invocation((1, ["b"])).spent == 0.0
