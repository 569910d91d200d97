"""A handler declares what its wire can express; everything else is refused before it is called, by name."""

import json
from dataclasses import dataclass

import pytest

from sagewire import AsyncClient, Client, ImagePart, Message, TextPart, Tool, ToolCall, UnsupportedFeature, UsageError
from sagewire.content_handlers import JsonHandler
from sagewire.content_handlers.embeddings import JsonEmbeddingHandler
from sagewire.content_handlers.rerank import JsonRerankHandler
from sagewire.testing import AsyncFakeTransport, FakeTransport
from sagewire.types import Embeddings, TextDelta

TOOL = Tool("look", "Look around.")
CALL = Message("assistant", "", tool_calls=(ToolCall("1", "look", "{}"),))
RESULT = Message("tool", "a star", tool_call_id="1")
HISTORY = [Message("user", "Look!"), CALL, RESULT, Message("user", "And?")]


class TenLines(JsonHandler):
    name = "ten_lines"

    def payload(self, request):
        return {"turns": [message.text for message in request.messages]}

    def read_reply(self, payload):
        yield TextDelta(payload["out"])


class TenLinesOfText(TenLines):
    speaks = "prompt"

    def payload(self, request):
        return {"text": request.prompt}


@dataclass(frozen=True)
class SoundPart:
    data: bytes


def image():
    return [Message("user", (TextPart("What is this?"), ImagePart(data=b"\x89PNG\r\n\x1a\n")))]


ASKED = {
    "tools": ("Hi", {"tools": [TOOL]}, "tools"),
    "tool choice": ("Hi", {"tools": [TOOL], "tool_choice": "required"}, "tools"),
    "tool calls": (HISTORY[:2], {}, "tool calls in the conversation"),
    "tool results": (HISTORY[2:], {}, "tool calls in the conversation"),
    "images": (image(), {}, "images"),
    "other parts": ([Message("user", (SoundPart(b"la"),))], {}, "parts of type SoundPart"),
    "response_format": ("Hi", {"response_format": {"type": "json_object"}}, "'response_format'"),
    "n": ("Hi", {"n": 2}, "'n'"),
    "logprobs": ("Hi", {"logprobs": True}, "'logprobs'"),
    "top_logprobs": ("Hi", {"top_logprobs": 2}, "'top_logprobs'"),
    "max_tokens": ("Hi", {"max_tokens": 3}, "'max_tokens'"),
    "temperature": ("Hi", {"temperature": 0}, "'temperature'"),
    "adapter": ("Hi", {"adapter": "tone"}, "'adapter'"),
    "reasoning_effort": ("Hi", {"reasoning_effort": "low"}, "'reasoning_effort'"),
    "extra": ("Hi", {"extra": {"own": 1}}, "extra: own"),
}


@pytest.mark.parametrize("asked", ASKED)
async def test_nothing_is_sent_of_what_a_handler_does_not_declare(asked):
    messages, given, named = ASKED[asked]
    transport, later = FakeTransport(b'{"out": "ok"}'), AsyncFakeTransport(b'{"out": "ok"}')
    client = Client(transport=transport, handler=TenLines())
    with pytest.raises(UnsupportedFeature, match=named):
        client.chat(messages, **given)
    with pytest.raises(UnsupportedFeature, match=named), client.stream(messages, **given) as stream:
        list(stream)
    with pytest.raises(UnsupportedFeature, match=named):
        await AsyncClient(transport=later, handler=TenLines()).chat(messages, **given)
    assert transport.calls == later.calls == []


@pytest.mark.parametrize("option", ["n", "logprobs", "max_tokens", "extra"])
def test_completions_are_held_to_the_same(option):
    client = Client(transport=FakeTransport(b'{"out": "ok"}'), handler=TenLinesOfText(), format="chatml")
    _, given, named = ASKED[option]
    with pytest.raises(UnsupportedFeature, match=named):
        client.complete("Hi", **given)
    with pytest.raises(UnsupportedFeature, match=named):
        client.chat("Hi", **given)


def test_what_asks_for_nothing_is_left_out():
    transport = FakeTransport(b'{"out": "ok STOP more"}')
    nothing = {
        "n": 1,
        "logprobs": False,
        "top_logprobs": 0,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "response_format": {"type": "text"},
        "model": "served",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    reply = Client(transport=transport, handler=TenLines()).chat("Hi", stop="STOP", **nothing)
    # Stop strings are enforced by sagewire itself.
    assert (reply.text, json.loads(transport.calls[0].body)) == ("ok ", {"turns": ["Hi"]})


def test_tools_that_must_not_be_called_need_no_place():
    transport = FakeTransport(b'{"out": "ok"}')
    assert Client(transport=transport, handler=TenLines()).chat("Hi", tools=[TOOL], tool_choice="none").text == "ok"


@pytest.mark.parametrize(("handler", "format"), [("openai_chat", None), ("tgi", "qwen2_5")])
def test_a_tool_choice_that_cannot_be_met(handler, format):
    client = Client(transport=FakeTransport(b"{}"), handler=handler, format=format)
    with pytest.raises(UsageError, match="needs tools"):
        client.chat("Hi", tool_choice="required")
    with pytest.raises(UsageError, match=r"did you mean 'look'\?"):
        client.chat("Hi", tools=[TOOL], tool_choice="lok")


def test_one_tool_call_at_a_time_where_the_wire_has_no_field_for_it():
    calls = '<tool_call>\n{"name": "look", "arguments": {"at": %d}}\n</tool_call>'
    answer = json.dumps([{"generated_text": f"{calls % 1}\n{calls % 2}"}]).encode()
    client = Client(transport=FakeTransport(answer), handler="tgi", format="qwen2_5")
    both = client.chat("Hi", tools=[TOOL]).tool_calls
    only = client.chat("Hi", tools=[TOOL], parallel_tool_calls=False).tool_calls
    assert [json.loads(call.arguments)["at"] for call in both] == [1, 2]
    assert [json.loads(call.arguments)["at"] for call in only] == [1]


class Vectors(JsonEmbeddingHandler):
    name = "vectors"

    def payload(self, texts, options):
        return {"texts": list(texts)}

    def read(self, payload, count):
        return Embeddings(payload)


class Ranks(JsonRerankHandler):
    name = "ranks"

    def payload(self, query, documents, top_n, extra):
        return {"q": query, "d": list(documents)}

    def read(self, payload):
        return list(enumerate(payload))


@pytest.mark.parametrize("option", [{"dimensions": 4}, {"truncate": True}, {"normalize": False}, {"extra": {"own": 1}}])
def test_embeddings_are_held_to_the_same(option):
    transport = FakeTransport(b"[[1.0]]")
    for handler in (Vectors(), "hf_feature_extraction"):
        if "extra" in option and handler == "hf_feature_extraction":
            continue
        with pytest.raises(UnsupportedFeature, match=str(next(iter(option)))):
            Client(transport=transport, handler=handler).embed(["a"], **option)
    assert transport.calls == []
    assert Client(transport=transport, handler=Vectors()).embed(["a"], input_type="query", model="m").rows == [[1.0]]


def test_reranking_is_held_to_the_same():
    transport = FakeTransport(b"[0.5]")
    client = Client(transport=transport, handler=Ranks())
    with pytest.raises(UnsupportedFeature, match="extra: own"):
        client.rerank("q", ["a"], extra={"own": 1})
    assert transport.calls == []
    assert client.rerank("q", ["a"], top_n=1).results[0].score == 0.5
