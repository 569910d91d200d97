"""Tools and a schema for the answer in one request: the tools run, and the answer fits the schema."""

import json

import pytest

from sagewire import Client
from sagewire.testing import FakeTransport

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Place", "schema": SCHEMA}}
ANSWER = '{"city": "Bergen"}'


def whole(name, arguments):
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {
        "choices": [{"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]
    }


def client(handler, name, arguments):
    if handler == "tgi":
        text = json.dumps({"name": name, "arguments": json.loads(arguments)})
        body = [{"generated_text": text, "details": {"finish_reason": "eos_token", "generated_tokens": 9}}]
    else:
        body = whole(name, arguments)
    transport = FakeTransport(json.dumps(body).encode())
    options = {"format": "hermes_3"} if handler == "tgi" else {}
    return Client(transport=transport, handler=handler, **options), transport


@pytest.mark.parametrize("handler", ["openai_chat", "tgi_chat", "llamacpp", "tgi"])
def test_a_tool_may_be_called_first(handler):
    asked, transport = client(handler, "look", "{}")
    reply = asked.chat("?", tools=[LOOK], response_format=FORMAT)
    assert [call.name for call in reply.tool_calls] == ["look"]
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")
    sent = json.loads(transport.calls[-1].body)
    if handler != "tgi":
        # The schema would rule the whole answer.
        assert "response_format" not in sent
        assert sent["tool_choice"] == "required"
        assert [tool["function"]["name"] for tool in sent["tools"]] == ["look", "Place"]


@pytest.mark.parametrize("handler", ["openai_chat", "tgi_chat", "llamacpp", "tgi"])
def test_the_answer_is_text_that_fits_the_schema(handler):
    reply = client(handler, "Place", ANSWER)[0].chat("?", tools=[LOOK], response_format=FORMAT)
    assert json.loads(reply.text) == json.loads(ANSWER)
    assert (reply.tool_calls, reply.finish_reason) == ((), "stop")


def test_it_is_streamed_as_text():
    pieces = [
        {"index": 0, "id": "a", "function": {"name": "Place", "arguments": ""}},
        {"index": 0, "function": {"arguments": ANSWER[:9]}},
        {"index": 0, "function": {"arguments": ANSWER[9:]}},
    ]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]} for piece in pieces]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    with Client(transport=FakeTransport(body), handler="openai_chat").stream(
        "?", tools=[LOOK], response_format=FORMAT
    ) as stream:
        assert list(stream.text) == [ANSWER[:9], ANSWER[9:]]
    assert (stream.reply.tool_calls, stream.reply.finish_reason) == ((), "stop")


def test_a_tool_of_the_schemas_name_is_another():
    named = {"type": "function", "function": {"name": "Place", "parameters": {"type": "object", "properties": {}}}}
    asked, transport = client("openai_chat", "Place_answer", ANSWER)
    assert json.loads(asked.chat("?", tools=[named], response_format=FORMAT).text) == json.loads(ANSWER)
    names = [tool["function"]["name"] for tool in json.loads(transport.calls[-1].body)["tools"]]
    assert names == ["Place", "Place_answer"]
