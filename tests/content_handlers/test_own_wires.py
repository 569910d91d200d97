"""A container of somebody's own: its named events and its own error bodies reach the handler written for it."""

from collections.abc import Iterator
from typing import Any

import pytest

from sagewire import AsyncClient, Client, EndpointError, ModelError, ModelStreamError, StreamTruncated, TextDelta
from sagewire.content_handlers import Capabilities, EventReader, JsonHandler
from sagewire.content_handlers.embeddings import JsonEmbeddingHandler
from sagewire.content_handlers.error_bodies import ErrorBody, find_fault
from sagewire.content_handlers.rerank import JsonRerankHandler
from sagewire.streaming import NamedEvent, SseDecoder
from sagewire.testing import AsyncFakeTransport, FakeTransport, Recording, chop
from sagewire.types import Embeddings, FinishDelta, ThinkingDelta


def own_error(payload: Any) -> ErrorBody | None:
    if isinstance(payload, dict) and "oops" in payload:
        return ErrorBody(payload["oops"]["why"], payload["oops"]["kind"])
    return find_fault(payload)


class Reader(EventReader):
    def read(self, event: Any) -> Iterator[Any]:
        if self.event_name == "thought":
            yield ThinkingDelta(event["v"])
        elif self.event_name == "answer":
            yield TextDelta(event["v"])
        elif self.event_name == "end":
            self.finished = True
            yield FinishDelta("stop")


class Named(JsonHandler):
    name = "named"
    can = Capabilities()

    def payload(self, request: Any, /) -> dict[str, Any]:
        return {"turns": [message.text for message in request.messages]}

    def read_reply(self, payload: Any, /) -> Iterator[Any]:
        yield TextDelta(payload["out"])

    def event_reader(self) -> EventReader:
        return Reader()

    def read_error(self, payload: Any, /) -> ErrorBody | None:
        return own_error(payload)


class Vectors(JsonEmbeddingHandler):
    name = "vectors"

    def payload(self, texts: Any, options: Any, /) -> dict[str, Any]:
        return {"texts": list(texts)}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        return Embeddings(payload)

    def read_error(self, payload: Any, /) -> ErrorBody | None:
        return own_error(payload)


class Ranks(JsonRerankHandler):
    name = "ranks"

    def payload(self, query: str, documents: Any, top_n: Any, extra: Any, /) -> dict[str, Any]:
        return {"q": query}

    def read(self, payload: Any, /) -> list[tuple[int, float]]:
        return list(enumerate(payload))

    def read_error(self, payload: Any, /) -> ErrorBody | None:
        return own_error(payload)


STREAM = (
    b'event: thought\ndata: {"v": "hm"}\n\n'
    b'data: {"v": "no name, so not for this reader"}\n\n'
    b'event: answer\ndata: {"v":\ndata: "Hi"}\n\n'
    b"event: end\ndata: {}\n\n"
)
OOPS = b'{"oops": {"why": "the cat sat on it", "kind": "Cat"}}'


def streamed(body: bytes) -> FakeTransport:
    return FakeTransport(Recording(body, content_type="text/event-stream"))


def test_event_names_reach_the_reader_at_every_cut() -> None:
    whole = STREAM.replace(b"event: end\ndata: {}", b'event: end\ndata: {"ended": true}')
    for pieces in chop(whole):
        transport = FakeTransport(Recording(pieces, content_type="text/event-stream"))
        with Client(transport=transport, handler=Named()).stream("?") as stream:
            list(stream)
        choice = stream.reply.choices[0]
        assert (choice.thinking, choice.text, choice.finish_reason) == ("hm", "Hi", "stop")


def test_the_decoder_names_events_only_when_asked() -> None:
    data = b"event: a\ndata: 1\n\ndata: 2\n\nevent: b\n\ndata: 3\n\n"
    assert SseDecoder().feed(data) == [b"1", b"2", b"3"]
    assert SseDecoder(names=True).feed(data) == [NamedEvent("a", b"1"), b"2", b"3"]


@pytest.mark.parametrize(
    "end",
    [b"data: " + OOPS + b"\n\n", b"event: error\ndata: " + OOPS + b"\n\n", b"event: broken\ndata: " + OOPS + b"\n\n"],
)
def test_an_error_of_its_own_in_a_stream(end: bytes) -> None:
    begun = b'event: answer\ndata: {"v": "Hi"}\n\n'
    with pytest.raises(ModelStreamError, match=r"the cat sat on it \(Cat\)") as failed:
        list(Client(transport=streamed(begun + end), handler=Named()).stream("?"))
    assert failed.value.partial is not None
    assert failed.value.partial.text == "Hi"
    with pytest.raises(StreamTruncated):
        list(Client(transport=streamed(begun), handler=Named()).stream("?"))


async def test_an_error_of_its_own_as_a_whole_body() -> None:
    for call in (
        lambda: Client(transport=FakeTransport(OOPS), handler=Named()).chat("?"),
        lambda: Client(transport=FakeTransport(OOPS), handler=Vectors()).embed(["?"]),
        lambda: Client(transport=FakeTransport(OOPS), handler=Ranks()).rerank("?", ["a"]),
    ):
        with pytest.raises(ModelError, match="the cat sat on it") as failed:
            call()
        assert failed.value.code == "Cat"


def refused(kind: type[EndpointError], body: bytes = OOPS) -> Recording:
    error = kind("the server answered 500: {'oops': ...}", status=500, fault="model")
    error.body = body.decode()
    return Recording(error=error)


@pytest.mark.parametrize("kind", [ModelError, EndpointError])
async def test_an_error_of_its_own_with_an_error_status(kind: type[EndpointError]) -> None:
    transport, later = FakeTransport(refused(kind)), AsyncFakeTransport(refused(kind))
    for call in (
        lambda: Client(transport=transport, handler=Named()).chat("?"),
        lambda: list(Client(transport=transport, handler=Named()).stream("?")),
        lambda: Client(transport=transport, handler=Vectors()).embed(["?"]),
        lambda: Client(transport=transport, handler=Ranks()).rerank("?", ["a"]),
    ):
        with pytest.raises(kind, match="the cat sat on it") as failed:
            call()
        assert failed.value.code == "Cat"
    with pytest.raises(kind, match="the cat sat on it"):
        await AsyncClient(transport=later, handler=Named()).chat("?")
    with pytest.raises(kind, match="the cat sat on it"):
        await AsyncClient(transport=later, handler=Vectors()).embed(["?"])


def test_a_body_that_the_handler_does_not_know_changes_nothing() -> None:
    for body in (b"<html>Bad Gateway</html>", b'{"strange": 1}'):
        transport = FakeTransport(refused(ModelError, body))
        with pytest.raises(ModelError, match="the server answered 500"):
            Client(transport=transport, handler=Named()).chat("?")


def test_the_body_of_an_error_is_there_for_handlers(emulator: Any) -> None:
    emulator.add("broken", "openai_chat:echo")
    with pytest.raises(ModelError) as failed:
        Client("broken", handler="openai_chat").chat("Hi", extra={"n": "many"})
    assert failed.value.body
    assert failed.value.body != str(failed.value)
