"""The testing kit: it passes what is right, and above all fails what is wrong."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sagewire.testing
from sagewire import AsyncClient, Client
from sagewire.content_handlers import get_handler
from sagewire.content_handlers.base import Capabilities, EventReader, JsonHandler, Request
from sagewire.errors import EndpointTimeout, NotReady, StreamTruncated
from sagewire.streaming import BaseDecoder, Decoder, Utf8Decoder, encode_payload_part
from sagewire.streaming.base import Pipeline
from sagewire.testing import AsyncFakeTransport, FakeTransport, Recording, check_handler, chop
from sagewire.transports.base import AsyncTransport, Transport
from sagewire.types import Delta, FinishDelta, PromptRequest, Reply, TextDelta, ToolCallDelta

WHOLE = b'{"text": "Hello you", "end": "stop"}'
STREAM = b'data: {"text": "Hello "}\n\ndata: {"text": "you"}\n\ndata: {"end": "stop"}\n\n'


class PlainReader(EventReader):
    def read(self, event: Any) -> Iterable[Delta]:
        if "text" in event:
            yield TextDelta(event["text"])
        if "end" in event:
            self.finished = True
            yield FinishDelta(event["end"])


class Plain(JsonHandler):
    """A handler with nothing wrong with it, for a wire of its own."""

    speaks = "prompt"

    def payload(self, request: Request, /) -> dict[str, Any]:
        return {"prompt": request.prompt, "stream": request.stream}

    def read_reply(self, payload: Any, /) -> Iterable[Delta]:
        return [TextDelta(payload["text"]), FinishDelta(payload["end"])]

    def event_reader(self) -> EventReader:
        return PlainReader()


def test_a_good_handler_passes() -> None:
    check_handler(Plain(), whole=WHOLE, stream=STREAM)
    check_handler(Plain(), stream=STREAM.replace(b"data: ", b"").replace(b"\n\n", b"\n"))


def test_a_shipped_handler_passes() -> None:
    whole = b'[{"generated_text": " there was", "details": {"finish_reason": "length", "generated_tokens": 2}}]'
    stream = (
        b'data:{"index":1,"token":{"id":27,"text":" there","special":false},"generated_text":null,"details":null}\n\n'
        b":\n\n"
        b'data:{"index":2,"token":{"id":13,"text":" was","special":false},"generated_text":" there was",'
        b'"details":{"finish_reason":"length","generated_tokens":2,"seed":null,"input_length":1}}\n\n'
    )
    check_handler(get_handler("tgi"), whole=whole, stream=stream, content_type="text/event-stream")


class Forgetful(Plain):
    option_names: Mapping[str, str] = {"max_tokens": "max_tokens"}

    def payload(self, request: Request, /) -> dict[str, Any]:
        return {"prompt": request.prompt}


class Talker(Plain):
    """A handler of conversations that carries whatever it declares."""

    speaks = "messages"
    can = Capabilities(tools=True, tool_choice=True, parallel_tool_calls=True)

    def payload(self, request: Request, /) -> dict[str, Any]:
        turns = [[m.text, [[c.name, c.arguments] for c in m.tool_calls]] for m in request.messages]
        tools = [[tool.name, tool.description, tool.parameters] for tool in request.tools]
        return {"turns": turns, "tools": tools, "choice": request.tool_choice, "several": request.parallel_tool_calls}


class ChoosesForItself(Talker):
    def payload(self, request: Request, /) -> dict[str, Any]:
        return super().payload(request) | {"choice": None}


class ForgetsCalls(Talker):
    def payload(self, request: Request, /) -> dict[str, Any]:
        return super().payload(request) | {"turns": [m.text for m in request.messages]}


class CallsAtWill(Talker):
    def payload(self, request: Request, /) -> dict[str, Any]:
        return super().payload(request) | {"several": None}


def test_tools_that_are_declared_must_be_carried() -> None:
    check_handler(Talker())
    for handler, message in (
        (ChoosesForItself(), r"declares tool_choice \('required'\), but"),
        (ForgetsCalls(), r"declares tool calls in the conversation \(name\), but"),
        (CallsAtWill(), "declares parallel_tool_calls, but"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_handler(handler)


class Moody(Plain):
    calls = 0

    def payload(self, request: Request, /) -> dict[str, Any]:
        Moody.calls += 1
        return super().payload(request) | {"call": self.calls}


class Credulous(Plain):
    def transform_output(self, body: bytes, /) -> Reply:
        return super().transform_output(body) if body.endswith(b"}") and body.startswith(b"{") else Reply()


class Shifting(Plain):
    def read_reply(self, payload: Any, /) -> Iterable[Delta]:
        Moody.calls += 1
        return [TextDelta(str(Moody.calls))]


class Textual(Plain):
    def transform_input(self, request: Request, /) -> Any:
        return super().transform_input(request).decode()


class PartByPart(Plain):
    """Takes each piece for a whole document: the mistake that most clients make."""

    class Piecewise(BaseDecoder[bytes, Delta]):
        finished = False

        def _decode(self, data: bytes, out: list[Delta]) -> None:
            for event in data.split(b"\n\n"):
                if event.startswith(b"data: ") and event.endswith(b"}"):
                    document = orjson.loads(event[6:])
                    out.append(TextDelta(document["text"]) if "text" in document else FinishDelta("stop"))
                    self.finished = self.finished or "end" in document

        def _finish(self, out: list[Delta]) -> None:
            if not self.finished:
                raise StreamTruncated("cut")

    def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
        return self.Piecewise()


class Counting(Plain):
    """Makes of each piece what it likes."""

    class PieceCount(BaseDecoder[bytes, Delta]):
        def _decode(self, data: bytes, out: list[Delta]) -> None:
            out.append(TextDelta("piece "))

    def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
        return self.PieceCount()


class Endless(Plain):
    """Does not notice a missing end."""

    def event_reader(self) -> EventReader:
        reader = PlainReader()
        reader.finished = True
        return reader


class Overheard(Plain):
    """Keeps one reader for all streams."""

    def __init__(self) -> None:
        self.reader = PlainReader()

    def event_reader(self) -> EventReader:
        return self.reader


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (Forgetful(), "declares the option max_tokens, but what it sends does not depend on it"),
        (Moody(), "same bytes for the same request"),
        (Textual(), "must return bytes, not str"),
        (Credulous(), "must raise WireError for b''"),
        (Shifting(), "same reply for the same body"),
        (PartByPart(), "cutting the stream into 72 pieces ends in an error"),
        (Counting(), "cutting the stream into 3 pieces changes the deltas"),
        (Endless(), "StreamTruncated was not raised"),
        (Overheard(), "StreamTruncated was not raised"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Plain) else "",
)
def test_a_faulty_handler_fails_and_is_told_why(handler: Plain, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_handler(handler, whole=WHOLE, stream=STREAM)


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (b'{"text": "Hello me", "end": "stop"}', "text of answer 0 differ: 'Hello you' in the stream, 'Hello me'"),
        (b'{"text": "Hello you", "end": "length"}', "finish_reason of answer 0"),
    ],
)
def test_stream_and_whole_must_say_the_same(whole: bytes, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_handler(Plain(), whole=whole, stream=STREAM)


class Silence(BaseDecoder[Delta, Delta]):
    def _decode(self, data: Delta, out: list[Delta]) -> None:
        pass


def test_samples_that_say_nothing_or_end_badly_are_refused() -> None:
    class Deaf(Plain):
        def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
            return Pipeline(super().stream_decoder(content_type), Silence())

    with pytest.raises(AssertionError, match="finds nothing"):
        check_handler(Deaf(), stream=STREAM)
    with pytest.raises(AssertionError, match="ends in an error: StreamTruncated"):
        check_handler(Plain(), stream=STREAM[:-40])


def test_a_stream_for_a_handler_that_cannot_stream_is_refused() -> None:
    class Whole(Plain):
        can = Capabilities(streaming=False)

    check_handler(Whole(), whole=WHOLE)
    with pytest.raises(AssertionError, match="cannot stream"):
        check_handler(Whole(), stream=STREAM)


class TextReader(BaseDecoder[str, Delta]):
    def _decode(self, data: str, out: list[Delta]) -> None:
        out.append(TextDelta(data))


class PlainText(Plain):
    """A wire without framing and without an end."""

    accept = "text/plain"

    def transform_output(self, body: bytes, /) -> Reply:
        return Reply()

    def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
        return Pipeline(Utf8Decoder(), TextReader())


def test_a_wire_without_end_marker_may_be_cut_anywhere() -> None:
    check_handler(PlainText(), stream="Grüße an alle".encode(), ends_visibly=False)
    with pytest.raises(AssertionError, match="cut short after"):
        check_handler(PlainText(), stream="Grüße an alle".encode())


def test_a_request_of_ones_own_is_used() -> None:
    seen = []

    class Noting(Plain):
        def payload(self, request: Request, /) -> dict[str, Any]:
            seen.append(request.prompt)
            return super().payload(request)

    check_handler(Noting(), request=PromptRequest("mine"))
    assert set(seen) == {"mine", "mine Now."}


@given(st.binary(max_size=60), st.integers(0, 5))
def test_chop_loses_nothing_and_repeats(data: bytes, seed: int) -> None:
    cuts = list(chop(data, seed=seed))
    assert all(b"".join(pieces) == data for pieces in cuts)
    assert cuts == list(chop(data, seed=seed))
    assert [data] in cuts
    assert [data[i : i + 1] for i in range(len(data))] in cuts
    assert any(b"" in pieces for pieces in cuts)


def recorded(framed: bool, error: Exception | None = None, cut: int = 16) -> Recording:
    pieces = [STREAM[i : i + cut] for i in range(0, len(STREAM), cut)]
    return Recording(
        [encode_payload_part(piece) for piece in pieces] if framed else pieces,
        "text/event-stream",
        event_stream=framed,
        error=error,
    )


@pytest.mark.parametrize("framed", [False, True])
async def test_recordings_are_played_in_both_colours(framed: bool) -> None:
    transport: Transport = FakeTransport([WHOLE, recorded(framed)])
    client = Client(transport=transport, handler=Plain())
    assert client.complete("Hi").text == "Hello you"
    with client.stream_complete("Hi") as stream:
        assert "".join(stream.text) == "Hello you"
    assert [orjson.loads(call.body)["stream"] for call in transport.calls] == [False, True]
    assert transport.open_streams == 0

    other: AsyncTransport = AsyncFakeTransport([WHOLE, recorded(framed)])
    async_client = AsyncClient(transport=other, handler=Plain())
    assert (await async_client.complete("Hi")).text == "Hello you"
    async with async_client.stream_complete("Hi") as async_stream:
        assert [text async for text in async_stream.text] == ["Hello ", "you"]
    assert other.calls == transport.calls
    assert other.open_streams == 0


def test_a_stream_left_early_is_closed() -> None:
    transport = FakeTransport(recorded(False))
    stream = Client(transport=transport, handler=Plain()).stream_complete("Hi")
    assert next(iter(stream)) == TextDelta("Hello ")
    assert transport.open_streams == 1
    stream.close()
    assert transport.open_streams == 0


def test_a_stream_cut_short_delivers_what_was_read_and_carries_it() -> None:
    transport = FakeTransport(Recording(STREAM[:-10], "text/event-stream"))
    got = []
    with pytest.raises(StreamTruncated) as caught:
        got.extend(Client(transport=transport, handler=Plain()).stream_complete("Hi"))
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hello you"


def test_errors_are_raised_before_or_behind_the_bytes() -> None:
    asleep, late = NotReady("scaled to zero", status=400), EndpointTimeout("no more bytes", code="idle")
    client = Client(transport=FakeTransport([Recording(error=asleep), recorded(False, late)]), handler=Plain())
    with pytest.raises(NotReady):
        client.complete("Hi")
    with pytest.raises(EndpointTimeout) as caught:
        list(client.stream_complete("Hi"))
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hello you"


def test_an_answer_may_depend_on_the_call_and_a_missing_one_is_an_error() -> None:
    echo = FakeTransport(lambda call: orjson.dumps({"text": orjson.loads(call.body)["prompt"], "end": "stop"}))
    client = Client(transport=echo, handler=Plain())
    assert [client.complete(prompt).text for prompt in ("a", "b")] == ["a", "b"]
    once = Client(transport=FakeTransport([WHOLE]), handler=Plain())
    once.complete("a")
    with pytest.raises(AssertionError, match="every recording has been played back"):
        once.complete("a")


def test_public_names_are_sorted() -> None:
    assert sagewire.testing.__all__ == sorted(sagewire.testing.__all__)


def test_the_tool_calls_are_compared() -> None:
    class Calling(Plain):
        def read_reply(self, payload: Any, /) -> Iterable[Delta]:
            return [*super().read_reply(payload), ToolCallDelta(0, "1", "f", "{}")]

    with pytest.raises(AssertionError, match="tool calls of answer 0"):
        check_handler(Calling(), whole=WHOLE, stream=STREAM)
