"""Plain conversations that are passed on: always the same events as if every byte had been read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagewire.client.prepared_call import ResponseReader
from sagewire.content_handlers import OpenAiChatHandler
from sagewire.errors import SagewireError
from sagewire.gateway.event_relay import EventRelay
from sagewire.gateway.stream_events import ChunkEvents
from sagewire.gateway.stream_opening import OpeningMemory
from sagewire.openai_shapes import BadRequest, ChatChunks, chat_arguments
from sagewire.openai_shapes.plain import plain_chat
from sagewire.streaming import EventStreamDecoder, Pipeline, encode_exception, encode_payload_part
from sagewire.streaming.base import Decoder
from sagewire.types import ChatRequest, Delta, ResponseInfo, TextDelta, ThinkingDelta, ToolCallDelta, make_options
from tests.cases import each

HANDLER = OpenAiChatHandler()


def told(error: SagewireError) -> tuple[type, str]:
    """Return an error's kind and reason, without the bytes it shows, which depend on what had arrived."""
    return type(error), str(error).partition(", got ")[0]


class Account:
    """Notes all text of an answer."""

    def __init__(self) -> None:
        self.words = ""

    def delta(self, delta: Delta) -> None:
        if isinstance(delta, TextDelta | ThinkingDelta):
            self.text(delta.text)
        elif isinstance(delta, ToolCallDelta):
            self.text(delta.arguments)

    def text(self, text: str) -> None:
        self.words += text


def encoder() -> ChunkEvents:
    return ChunkEvents(ChatChunks('m"?"', id="i", created=0, include_usage=True, calls_are_final=True))


def in_full(pieces: list[bytes], *, framed: bool = False) -> tuple[Any, ...]:
    decoder: Decoder[bytes, Delta] = HANDLER.stream_decoder("")
    if framed:
        decoder = Pipeline(EventStreamDecoder(), decoder)
    reader, account, events = ResponseReader(decoder, ResponseInfo()), Account(), encoder()
    out, error = b"", None

    def deltas() -> Iterator[Delta]:
        for piece in pieces:
            yield from reader.feed(piece)
        yield from reader.close()

    try:
        for delta in deltas():
            account.delta(delta)
            out += events.feed(delta)
    except SagewireError as raised:
        error = told(raised)
    return out, error, account.words, reader.reply.usage, events.end()


def relayed(pieces: list[bytes], *, framed: bool = False, openings: OpeningMemory | None = None) -> tuple[Any, ...]:
    account, events = Account(), encoder()
    relay = EventRelay(HANDLER.stream_decoder(""), events, account, framed=framed, openings=openings)
    out, error = b"", None
    try:
        for piece in pieces:
            for written in relay.feed(piece):
                out += written
        for written in relay.close():
            out += written
    except SagewireError as raised:
        error = told(raised)
    return out, error, account.words, relay.usage, events.end()


def chunk(delta: Any, *, choice: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": choices, **more}


WORDS = ["", " ", "Hi", "a\n\nb", '"content":"x"', "\\", 'say "so"', "é", "日本", "\x00", "data: {}\n\n"]
TEXTS = st.sampled_from(WORDS)
FIELDS = st.sampled_from([*[b"data: "] * 4, b"data:", b"event: m\ndata: ", b"id: 1\ndata: "])
ENDS = st.sampled_from([*[b"\n\n"] * 5, b"\r\n\r\n", b"\n", b"\n\n: wait\n\n", b"\n\n\n"])
LAST = st.sampled_from([*[b"data: [DONE]\n\n"] * 3, b"data: [DONE]", b"", b'data: {"cho', b"\xff\n\n"])
CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
EVENTS = st.one_of(
    TEXTS.map(lambda text: chunk({"content": text})),
    TEXTS.map(lambda text: chunk({"content": text})),
    TEXTS.map(lambda text: chunk({"role": "assistant", "content": text})),
    TEXTS.map(lambda text: chunk({"content": text}, choice=1)),
    TEXTS.map(lambda text: chunk({"reasoning_content": text})),
    TEXTS.map(lambda text: chunk({"content": text}, system_fingerprint=f"fp{len(text)}")),
    TEXTS.map(lambda text: chunk({"content": text}, usage={"prompt_tokens": 1, "completion_tokens": len(text)})),
    st.sampled_from([
        chunk({}, finish="stop"),
        chunk({"content": "end"}, finish="length"),
        chunk({"tool_calls": [CALL]}),
        chunk({"content": None}),
        chunk({"content": 7}),
        chunk({"content": "x"}, choice=10**9),
        chunk({"content": [{"type": "text", "text": "part"}]}),
        {"id": "x", "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}},
        {"error": {"message": "out of memory", "code": 500}},
        {"type": "ping"},
    ]),
)  # fmt: skip


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A server's bytes, mostly events that are alike, sometimes other ways of writing them, sometimes broken."""
    spaced = draw(st.booleans())
    escapes = draw(st.booleans())
    separators = (", ", ": ") if spaced else (",", ":")
    out = []
    for event in draw(st.lists(EVENTS, max_size=12)):
        data = json.dumps(event, separators=separators, ensure_ascii=escapes).encode()
        out.append(draw(FIELDS) + data + draw(ENDS))
    return b"".join(out) + draw(LAST)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@given(streams(), st.lists(st.integers(0, 2000), max_size=12))
def test_the_events_are_those_of_reading_everything(data: bytes, cuts: list[int]) -> None:
    pieces = cut(data, cuts)
    assert relayed(pieces) == in_full(pieces)
    by_event = data.replace(b"\n\n", b"\n\n\x01").split(b"\x01")
    assert relayed(by_event) == in_full(by_event)


@given(streams())
def test_byte_by_byte(data: bytes) -> None:
    pieces = [bytes([byte]) for byte in data]
    assert relayed(pieces) == in_full(pieces)


FRAME_ENDS = st.sampled_from([
    *[b""] * 4,
    encode_exception("ModelStreamError", b'{"Message": "out of memory", "ErrorCode": "500"}'),
    encode_exception("InternalStreamFailure", b"{}"),
    encode_payload_part(b"lost")[:-3],
    encode_payload_part(b"damaged")[:-4] + b"\0\0\0\0",
])  # fmt: skip


@given(streams(), st.lists(st.integers(0, 2000), max_size=12), st.lists(st.integers(0, 4000), max_size=12), FRAME_ENDS)
def test_sagemakers_frames_wherever_events_and_frames_are_cut(
    data: bytes, cuts: list[int], frame_cuts: list[int], end: bytes
) -> None:
    stream = b"".join(map(encode_payload_part, cut(data, cuts))) + end
    for pieces in ([stream], cut(stream, frame_cuts), [bytes([byte]) for byte in stream]):
        assert relayed(pieces, framed=True) == in_full(pieces, framed=True)


# How servers begin, and what comes instead now and then.
FIRST = [
    {"role": "assistant", "content": ""}, {"role": "assistant"}, {"role": "assistant", "content": None},
    {"role": "assistant", "content": "Hi"}, {"role": "assistant", "tool_calls": [CALL]},
]  # fmt: skip
MORE = st.sampled_from([{}, {}, {"system_fingerprint": "fp"}, {"usage": None}])
IDS = st.sampled_from(["chatcmpl-1", "chatcmpl-2", "chatcmpl-234567", "x", 'a "b"', "chatcmpl-?", 7, None, ""])


@st.composite
def streams_of_one_server(draw: st.DrawFn) -> list[bytes]:
    """What one server sends in several streams, which mostly begin alike."""
    first = draw(st.sampled_from(FIRST))
    more, later = draw(MORE), draw(MORE)
    if draw(st.integers(0, 3)) == 0:
        # Facts alone, ahead of the first choice.
        more = {**more, "choices": []}
    out = []
    for _ in range(draw(st.integers(2, 5))):
        facts = {"id": draw(IDS), "created": draw(st.sampled_from([1, 17, 17, None, "now"]))}
        events = [chunk(first if draw(st.integers(0, 5)) else draw(st.sampled_from(FIRST))) | more]
        events += [chunk({"content": draw(TEXTS)}, **later) for _ in range(draw(st.integers(0, 3)))]
        written = [event | facts for event in events] + draw(st.lists(EVENTS, max_size=4))
        data = [b"data: " + orjson.dumps(event) + draw(ENDS) for event in written]
        out.append(b"".join(data) + draw(LAST))
    return out


@given(streams_of_one_server(), st.lists(st.integers(0, 900), max_size=4), st.booleans())
def test_streams_that_begin_alike(streams: list[bytes], cuts: list[int], framed: bool) -> None:
    memory = OpeningMemory()
    for data in streams:
        for pieces in (cut(data, cuts), data.replace(b"\n\n", b"\n\n\x01").split(b"\x01")):
            sent = [*map(encode_payload_part, pieces)] if framed else pieces
            assert relayed(sent, framed=framed, openings=memory) == in_full(sent, framed=framed)


ALONE = chunk({}) | {"choices": []}
TWO = [{"index": number, "delta": {"content": ""}} for number in (0, 1)]


@each(
    ("what", "events"),
    [
        ("facts alone", [ALONE, chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"})]),
        ("a fingerprint with the text", [ALONE, *[chunk({"content": "a"}, system_fingerprint="fp")] * 3]),
        ("a model with the text", [ALONE | {"model": ""}, *[chunk({"content": "a"})] * 3]),
        ("two answers, one of them cut off", [ALONE, chunk({"content": "a"}), chunk({}, choice=1, finish="stop")]),
        ("counts with the first", [ALONE | {"usage": {"prompt_tokens": 1}}, *[chunk({"content": "a"})] * 2]),
        ("two answers at once", [ALONE | {"choices": TWO}, chunk({"content": "a"}), chunk({"content": "b"}, choice=1)]),
    ],
)
def test_streams_whose_second_event_has_more_than_text(what: str, events: list[dict[str, Any]]) -> None:
    for end in (b"", b"data: [DONE]\n\n"):
        memory = OpeningMemory()
        for id in ("c1", "c2", "c3"):
            pieces = [*(b"data: " + orjson.dumps(event | {"id": id}) + b"\n\n" for event in events), end]
            assert relayed(pieces, openings=memory) == in_full(pieces)


def test_the_beginning_of_a_stream_is_recognised() -> None:
    memory, decoders = OpeningMemory(), []

    def stream(id: str, *texts: str) -> bytes:
        deltas = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts)]
        return b"".join(b"data: " + orjson.dumps(chunk(delta) | {"id": id}) + b"\n\n" for delta in deltas)

    def read_of(data: bytes) -> bytes:
        """Return what the decoder was given."""
        decoder: Any = HANDLER.stream_decoder("")
        given, feed = [], decoder.feed
        decoder.feed = lambda piece: [given.append(piece), feed(piece)][1]
        relay = EventRelay(decoder, encoder(), Account(), openings=memory)
        assert b"".join(relay.feed(data)).count(b"data: ") == data.count(b"data: ")
        decoders.append(decoder)
        return b"".join(given)

    assert read_of(stream("chatcmpl-1", "Hi", "!")).count(b"data: ") == 2
    assert read_of(stream("chatcmpl-22", "Hello", "!")) == b""
    assert read_of(stream("chatcmpl-333", "no", " end")) == b""
    # Large events are not remembered.
    large = stream("chatcmpl-4", "a").replace(b"served", b"s" * 5_000)
    assert [read_of(large).count(b"data: ") for _ in range(2)] == [2, 2]
    # A server whose streams all begin differently is left alone after a while.
    for number in range(20):
        other = stream(f"chatcmpl-{number}", "a").replace(b'"created"', b'"n%d":1,"created"' % number)
        assert read_of(other).count(b"data: ") == 2
    assert memory.opening is None


def test_the_first_event_of_a_burst_is_handed_on_alone_and_the_rest_together() -> None:
    relay = EventRelay(HANDLER.stream_decoder(""), encoder(), Account())
    burst = b"".join(b"data: " + orjson.dumps(chunk({"content": str(number)})) + b"\n\n" for number in range(9))
    pieces = [piece.count(b"data: ") for piece in relay.feed(burst) if piece]
    # The first comes with the chunk that names the role.
    assert pieces == [2, 8]
    assert [piece.count(b"data: ") for piece in relay.feed(burst)] == [9]


VALUES = st.sampled_from([None, 0, 1, 2.5, -1, True, "x", [], {}, ["x"], {"type": "text"}, 10**20])
MESSAGE = st.sampled_from([
    {"role": "user", "content": "Hi"},
    {"role": "system", "content": ""},
    {"role": "developer", "content": "Hi"},
    {"role": "assistant", "content": "x", "reasoning_content": "y"},
    {"role": "user", "content": None},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    {"role": "tool", "content": "x", "tool_call_id": "1"},
    {"role": ["user"], "content": "x"},
    "Hi",
])  # fmt: skip
NAMES = (
    "temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "max_completion_tokens", "n", "stop", "logprobs",
    "tools", "response_format", "stream_options", "user", "metadata", "guided", "frequency_penalty", "typical_p",
    "repetition_penalty", "reasoning_effort", "extra", "modalities", "audio",
)  # fmt: skip


@given(st.lists(MESSAGE, max_size=3), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_a_plain_request_is_the_one_that_reading_it_would_make(messages: list[Any], fields: dict[str, Any]) -> None:
    body = {"model": "m", "messages": messages, **fields}
    plain = plain_chat(body)
    if plain is None:
        return
    arguments = chat_arguments(body)
    request = ChatRequest(arguments.pop("messages"), make_options(**arguments))
    assert plain == orjson.loads(HANDLER.transform_input(request))


@pytest.mark.parametrize("wrong", [{"stream_options": 5}, {"max_tokens": 0}, {"temperature": "hot"}, {"messages": []}])
def test_what_is_wrong_is_not_plain(wrong: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **wrong}
    assert plain_chat(body) is None
    with pytest.raises(BadRequest):
        chat_arguments(body)


def test_numbers_that_no_server_takes_are_not_plain() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    for wrong in ({"temperature": -1}, {"top_p": 1.5}, {"min_p": -0.1}, {"repetition_penalty": -1.0}, {"top_k": -2}):
        assert plain_chat({"messages": messages, **wrong}) is None, wrong
        assert plain_chat({"messages": messages, **dict.fromkeys(wrong, 1)}) is not None
