"""The first delta of a burst is handed on before the rest of it is decoded."""

import asyncio
import json

import pytest

from sagewire import AsyncClient, Client, StreamTruncated
from sagewire.content_handlers import OpenAiChatHandler, TgiHandler
from sagewire.streaming.eventstream import encode_payload_part
from sagewire.testing import AsyncFakeTransport, FakeTransport, Recording
from tests.cases import each

PIECES = 400


def chat_events():
    """Return some 64 KB of events: the role first, as vLLM sends it."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": f"{n:05}."} for n in range(PIECES))]
    chunks = [{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-model",
               "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]  # fmt: skip
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def token_events():
    """Return the same of TGI."""
    events = [{"index": n, "token": {"id": n, "text": f"{n:05}.", "logprob": -0.5, "special": False},
               "generated_text": None, "details": None} for n in range(PIECES)]  # fmt: skip
    events[-1]["generated_text"] = "".join(event["token"]["text"] for event in events)
    return b"".join(b"data:" + json.dumps(event).encode() + b"\n\n" for event in events)


class Counting:
    """A handler that counts the events it has read."""

    read_so_far = 0

    def event_reader(self):
        reader = super().event_reader()
        read = reader.read

        def counted(event):
            self.read_so_far += 1
            return read(event)

        reader.read = counted
        return reader


class CountingChat(Counting, OpenAiChatHandler):
    pass


class CountingTgi(Counting, TgiHandler):
    pass


BURSTS = [(CountingChat, chat_events()), (CountingTgi, token_events())]


def cut(data, framed):
    if not framed:
        return data
    return b"".join(encode_payload_part(data[start : start + 700]) for start in range(0, len(data), 700))


@each(("handler", "data", "framed"), [(*burst, framed) for burst in BURSTS for framed in (False, True)])
def test_the_first_delta_does_not_wait_for_the_others(handler, data, framed):
    burst = Recording(cut(data, framed), "text/event-stream", event_stream=framed)
    words = [f"{n:05}." for n in range(PIECES)]

    def first_text(deltas):
        return next(delta.text for delta in deltas if getattr(delta, "text", ""))

    reading = handler()
    format = "chatml" if reading.speaks == "prompt" else None
    with Client(transport=FakeTransport(burst), handler=reading, format=format).stream("hi") as stream:
        deltas = iter(stream)
        assert first_text(deltas) == words[0]
        assert reading.read_so_far < 12
        rest = [delta.text for delta in deltas if getattr(delta, "text", "")]
    assert rest == words[1:]
    assert stream.reply.text == "".join(words)

    async def awaited():
        reading = handler()
        client = AsyncClient(transport=AsyncFakeTransport(burst), handler=reading, format=format)
        async with client.stream("hi") as stream:
            async for delta in stream:
                if getattr(delta, "text", ""):
                    assert reading.read_so_far < 12
                    break
            async for _ in stream:
                pass
        return stream.reply.text

    assert asyncio.run(awaited()) == "".join(words)


@each("end", [b"", b'data: {"choices"', b'data: {"error": {"message": "out of memory"}}\n\n', b"data: <html>\n\n"])
def test_what_is_wrong_at_the_end_of_a_burst_comes_behind_what_is_right(end):
    data = chat_events().removesuffix(b"data: [DONE]\n\n").rpartition(b"data: ")[0] + end
    client = Client(transport=FakeTransport(Recording(data, content_type="text/event-stream")), handler="openai_chat")
    seen = []
    with pytest.raises(Exception, match=r".") as caught, client.stream("hi") as stream:
        seen += [delta.text for delta in stream if getattr(delta, "text", "")]
    assert caught.value.partial.text == "".join(f"{n:05}." for n in range(PIECES))
    assert isinstance(caught.value, StreamTruncated) == (end in (b"", b'data: {"choices"'))
