"""OpenAI's client in process: the Responses API, the ids of requests, and what the native route must not be sent."""

import json

from pydantic import BaseModel

from sagewire import Client
from sagewire.integrations.openai import async_openai_client, openai_client
from sagewire.integrations.openai._in_process_server import InProcessServer
from sagewire.testing import FakeTransport
from sagewire.types import ResponseInfo

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}


class Place(BaseModel):
    city: str


def answering(body, request_id="req-7"):
    transport = FakeTransport(json.dumps(body).encode())
    invoke = transport.invoke

    def with_id(call):
        found = invoke(call)
        return type(found)(found.data, ResponseInfo(found.info.content_type, request_id=request_id))

    transport.invoke = with_id
    return openai_client(Client(transport=transport, handler="openai_chat"))


def test_the_requests_id_is_on_every_answer():
    message = {"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}
    client = answering(message)
    asked = {"model": "", "messages": [{"role": "user", "content": "x"}]}
    assert client.chat.completions.create(**asked)._request_id == "req-7"
    assert client.chat.completions.with_raw_response.create(**asked).request_id == "req-7"
    assert client.responses.create(model="", input="x")._request_id == "req-7"


def test_responses_whole_and_streamed(emulator):
    emulator.add("echo", "openai_chat:echo")
    client = openai_client(Client("echo", handler="openai_chat", region_name="us-east-1"))
    whole = client.responses.create(model="", input="one two")
    assert whole.output_text
    with client.responses.stream(model="", input="one two") as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == whole.output_text


async def test_responses_awaited(emulator):
    emulator.add("echo", "openai_chat:echo")
    client = async_openai_client(Client("echo", handler="openai_chat", region_name="us-east-1"))
    whole = await client.responses.create(model="", input="one two")
    events = [event.type async for event in await client.responses.create(model="", input="one two", stream=True)]
    assert whole.output_text
    assert events[0] == "response.created"
    assert events[-1] == "response.completed"


def test_responses_parse():
    body = {"choices": [{"index": 0, "message": {"content": '{"city": "Bergen"}'}, "finish_reason": "stop"}]}
    parsed = answering(body).responses.parse(model="", input="x", text_format=Place)
    assert parsed.output_parsed == Place(city="Bergen")


def test_a_tool_loop_of_responses():
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
    body = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    first = answering(body).responses.create(model="", input="x", tools=[TOOL])
    (item,) = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": item.call_id, "output": "blue"}
    transport = FakeTransport(
        json.dumps({"choices": [{"message": {"content": "Blue."}, "finish_reason": "stop"}]}).encode()
    )
    client = openai_client(Client(transport=transport, handler="openai_chat"))
    history = [{"role": "user", "content": "x"}, item.model_dump(), result]
    assert client.responses.create(model="", input=history, tools=[TOOL]).output_text == "Blue."
    assert [turn["role"] for turn in json.loads(transport.calls[-1].body)["messages"]] == ["user", "assistant", "tool"]


def test_streamed_responses_carry_the_logprobs_asked_for():
    logprobs = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": []}]}
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": logprobs, "finish_reason": "stop"}]}
    transport = FakeTransport(b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n")
    client = openai_client(Client(transport=transport, handler="openai_chat"))
    include = ["message.output_text.logprobs"]
    with client.responses.stream(model="", input="x", include=include) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output[0].content[0].logprobs[0].token == "a"
    assert any(getattr(event, "logprobs", None) for event in events if event.type == "response.output_text.delta")


def test_the_native_route_is_sent_no_empty_list_of_tools():
    server = InProcessServer(("e",), {}, None)
    changed = json.loads(server.native_body(b'{"model": "e", "tools": [], "tool_choice": "auto", "n": 1}'))
    assert changed == {"model": "", "n": 1}
    untouched = b'{"model": "other", "tools": [{"type": "function"}]}'
    assert server.native_body(untouched) == untouched
