"""Content blocks of replies and streams: LangChain's translator lookup, merging, and event streams."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from sagewire.emulator.engines import Call, Reply, Scripted
from sagewire.integrations.langchain import ChatSagemakerEndpoint

ANSWER = Reply(
    text="Let me look.",
    thinking="Two cities, so two calls.",
    calls=[Call("weather", '{"city": "Köln"}', "c1"), Call("weather", '{"city": "東京"}', "c2")],
)
CALLS = [
    {"type": "tool_call", "id": "c1", "name": "weather", "args": {"city": "Köln"}},
    {"type": "tool_call", "id": "c2", "name": "weather", "args": {"city": "東京"}},
]
BLOCKS = [
    {"type": "reasoning", "reasoning": "Two cities, so two calls."},
    {"type": "text", "text": "Let me look."},
    *CALLS,
]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@pytest.fixture
def model(add):
    endpoint = add("openai_chat", Scripted([ANSWER], loop=True))
    return ChatSagemakerEndpoint(endpoint_name=endpoint, content_handler="openai_chat")


def bare(blocks):
    return [{name: value for name, value in block.items() if name != "index"} for block in blocks]


def summed(chunks) -> AIMessageChunk:
    first, *rest = chunks
    return first.__add__(rest)


def test_a_whole_reply(model):
    message = model.bind_tools([weather]).invoke("?")
    assert message.content == "Let me look."
    assert message.additional_kwargs == {"reasoning_content": "Two cities, so two calls."}
    assert [call["args"]["city"] for call in message.tool_calls] == ["Köln", "東京"]
    assert message.content_blocks == BLOCKS


@pytest.mark.parametrize("version", [None, "v1"])
def test_a_stream_adds_up_to_the_same_blocks(model, version):
    model = model.model_copy(update={"output_version": version})
    merged = summed(list(model.bind_tools([weather]).stream("?")))
    assert bare(merged.content_blocks) == BLOCKS
    assert merged.tool_calls == model.bind_tools([weather]).invoke("?").tool_calls
    assert merged.chunk_position == "last"


async def test_an_awaited_stream_adds_up_to_the_same_blocks(model):
    model = model.model_copy(update={"output_version": "v1"})
    merged = summed([chunk async for chunk in model.bind_tools([weather]).astream("?")])
    assert bare(merged.content) == BLOCKS


def test_version_one_content_is_blocks(model):
    message = model.model_copy(update={"output_version": "v1"}).bind_tools([weather]).invoke("?")
    assert message.content == BLOCKS
    assert message.response_metadata["output_version"] == "v1"


def test_a_piece_of_a_tool_call_is_never_a_finished_call(model):
    pieces = [
        block
        for chunk in model.bind_tools([weather]).stream("?")
        if chunk.chunk_position != "last"
        for block in chunk.content_blocks
    ]
    assert {block["type"] for block in pieces} == {"reasoning", "text", "tool_call_chunk"}
    numbers = [call["index"] for chunk in model.bind_tools([weather]).stream("?") for call in chunk.tool_call_chunks]
    assert set(numbers) == {0, 1}


def test_event_streams_keep_the_rules(model):
    stream = model.bind_tools([weather]).stream_events("?", version="v3")
    assert_valid_event_stream(list(stream))
    assert bare(stream.output.content_blocks) == BLOCKS
    assert stream.output.response_metadata["model_name"]


async def test_awaited_event_streams_keep_the_rules(model):
    stream = await model.bind_tools([weather]).astream_events("?", version="v3")
    assert_valid_event_stream([event async for event in stream])
    output = await stream.output
    assert bare(output.content_blocks) == BLOCKS


async def test_older_event_streams_tell_every_chunk(model):
    events = [event async for event in model.astream_events("?", version="v2")]
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    assert "".join(chunk.content for chunk in chunks) == "Let me look."
    assert [event["event"] for event in events].count("on_chat_model_end") == 1


def test_arguments_that_are_no_json_are_kept_apart(add):
    calls = [Call("weather", '{"city": ', "c1"), Call("weather", "[1]", "c2"), Call("weather", "", "c3")]
    endpoint = add("openai_chat", Scripted([Reply(calls=calls)], loop=True))
    model = ChatSagemakerEndpoint(endpoint_name=endpoint, content_handler="openai_chat").bind_tools([weather])
    message = model.invoke("?")
    assert [call["id"] for call in message.invalid_tool_calls] == ["c1", "c2"]
    assert message.invalid_tool_calls[0]["args"] == '{"city": '
    assert message.tool_calls == [{"type": "tool_call", "id": "c3", "name": "weather", "args": {}}]


def test_usage_and_metadata_ride_on_one_chunk(model):
    chunks = list(model.stream("?"))
    assert [chunk.usage_metadata is not None for chunk in chunks].count(True) == 1
    assert [set(chunk.response_metadata) for chunk in chunks[:-1]] == [{"model_provider"}] * (len(chunks) - 1)
    merged, whole = summed(chunks), model.invoke("?")
    for name in ("model_name", "finish_reason", "model_provider", "production_variant"):
        assert merged.response_metadata[name] == whole.response_metadata[name]
    assert merged.usage_metadata == whole.usage_metadata
    assert len(merged.response_metadata["request_id"]) == len(whole.response_metadata["request_id"])


def test_usage_of_a_stream_can_be_left_out(model, last_call):
    chunks = list(model.stream("?", stream_usage=False))
    assert summed(chunks).usage_metadata is None
    assert "stream_options" not in last_call(model.endpoint_name)


def test_a_reply_can_be_sent_back(model):
    whole = model.bind_tools([weather]).invoke("?")
    as_blocks = AIMessage(content=whole.content_blocks, tool_calls=whole.tool_calls)
    from sagewire.integrations.langchain._messages import to_messages

    assert to_messages([whole]) == to_messages([as_blocks])
