"""Conversations that were begun elsewhere, tools in other shapes, and arguments as models write them."""

import json
import logging
import types

import pytest

from sagewire import Client
from sagewire.client.forced_tools import call_schema
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.testing import FakeTransport
from sagewire.types import (
    Message,
    TextPart,
    Tool,
    ToolCall,
    as_message,
    as_messages,
    as_tool,
    parse_arguments,
    sendable_arguments,
)

from ..cases import each

OK = json.dumps({"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}).encode()
USER = {"role": "user", "content": "hi"}
FURTHER = {
    "provider_specific_fields": {"a": 1}, "thinking_blocks": [{"type": "thinking"}], "reasoning_details": [],
    "cache_control": {"type": "ephemeral"}, "id": "m1", "timestamp": 1, "prefix": True, "annotations": [{"a": 1}],
}  # fmt: skip


def sent(messages, **options):
    transport = FakeTransport(OK)
    Client(transport=transport, handler=options.pop("handler", "openai_chat"), **options).chat(messages)
    return json.loads(transport.calls[-1].body)


def test_keys_of_other_programs_pass_on_openais_wires():
    written = sent([USER, {"role": "assistant", "content": "y", **FURTHER, "parsed": object()}, USER])
    assert written["messages"][1] == {"role": "assistant", "content": "y", **FURTHER}


def test_elsewhere_they_are_left_out_and_the_log_says_so_once(caplog):
    caplog.set_level(logging.INFO, "sagewire")
    transport = FakeTransport(b'[{"generated_text": "ok"}]')
    client = Client(transport=transport, handler="tgi", format="zephyr")
    for _ in range(2):
        client.chat([USER, {"role": "assistant", "content": "y", "weight_of_this_turn": 2}, USER])
    assert b"weight" not in transport.calls[-1].body
    assert sum("weight_of_this_turn" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("key", ["tool_call", "contents", "toolCalls", "tool_callid", "conent", "names"])
def test_a_misspelt_key_is_an_error(key):
    with pytest.raises(UsageError, match="did you mean"):
        as_message({"role": "user", "content": "hi", key: "x"})


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": "https://e/x.wav"}},
        {"type": "video_url", "video_url": {"url": "https://e/x.mp4"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ],
)
def test_media_travel_where_the_wire_is_openais_and_are_refused_elsewhere(part):
    assert sent([{"role": "user", "content": [part]}])["messages"][0]["content"] == [part]
    for options in ({"handler": "tgi", "format": "chatml"}, {"handler": "tgi_chat"}, {"handler": "nova"}):
        with pytest.raises(UnsupportedFeature, match=part["type"]):
            sent([{"role": "user", "content": [part]}], **options)


@pytest.mark.parametrize(
    "url",
    [
        "data:image/jpeg;charset=utf-8;base64,aGVsbG8=", "data:image/jpeg;name=13.png;base64,aGVsbG8",
        "data:image/jpeg;base64,aGVs\nbG8=", "data:image/jpeg;base64,aGVsbG8%3D", "data:image/jpeg,hello",
        "DATA:image/jpeg;BASE64,aGVsbG8=",
    ],
)  # fmt: skip
def test_data_urls(url):
    (part,) = as_message({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}).content
    assert (part.data, part.media_type) == (b"hello", "image/jpeg")


def test_images_as_anthropic_and_mcp_write_them():
    source = {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "aGk="}}
    mcp = {"type": "image", "data": "aGk=", "mimeType": "image/gif"}
    for block in (source, mcp):
        (part,) = as_message({"role": "tool", "tool_call_id": "a", "content": [block]}).content
        assert (part.data, part.media_type) == (b"hi", "image/gif")


@pytest.mark.parametrize("content", [{"city": "Bergen"}, [1, 2], 3, [{"rain": True}], True])
def test_what_a_function_returned_is_written_as_json(content):
    assert json.loads(as_message({"role": "tool", "tool_call_id": "a", "content": content}).text) == content


CALL = ToolCall("c", "f", '{"x": 1}')


@each(
    ("message", "expected"),
    [
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]},
         [Message("assistant", (TextPart("Hi"),), thinking="hm")]),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}}]},
         [Message("assistant", tool_calls=(CALL,))]),
        ({"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "f", "input": {"x": 1}}}]},
         [Message("assistant", tool_calls=(CALL,))]),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "4"}, "go on"]},
         [Message("tool", "4", tool_call_id="c"), Message("user", (TextPart("go on"),))]),
        ({"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"json": {"a": 1}}]}}]},
         [Message("tool", '{"a": 1}', tool_call_id="c")]),
        ({"role": "tool", "tool_use_id": "c", "content": "4"}, [Message("tool", "4", tool_call_id="c")]),
        ({"role": "tool", "call_id": "c", "content": "4"}, [Message("tool", "4", tool_call_id="c")]),
        ({"role": "assistant", "tool_calls": [{"id": "c", "name": "f", "args": {"x": 1}}]},
         [Message("assistant", tool_calls=(CALL,))]),
        ({"role": "assistant", "tool_calls": [{"toolUseId": "c", "name": "f", "input": {"x": 1}}]},
         [Message("assistant", tool_calls=(CALL,))]),
        ({"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
         [Message("assistant", tool_calls=(ToolCall("c", "f", '{"input": "x"}'),))]),
        ({"role": "assistant", "content": "x", "reasoning": {"content": "hm"}},
         [Message("assistant", "x", thinking="hm")]),
        ({"role": "assistant", "content": "x", "thinking": [{"type": "thinking", "thinking": "hm"}]},
         [Message("assistant", "x", thinking="hm")]),
        ({"role": "assistant", "content": "x", "thinking": True},
         [Message("assistant", "x", extra={"thinking": True})]),
        ({"role": "assistant", "content": "x", "refusal": "no"}, [Message("assistant", "x", extra={"refusal": "no"})]),
        ({"role": "assistant", "content": [{"type": "web_search_call", "id": "w"}, {"type": "text", "text": "x"}]},
         [Message("assistant", (TextPart("x"),))]),
        ({"role": "user", "content": [{"type": "input_text", "text": "x"}, {"cachePoint": {"type": "default"}}]},
         [Message("user", (TextPart("x"),))]),
    ],
)  # fmt: skip
def test_messages_of_other_apis_are_read_without_loss(message, expected):
    assert list(as_messages([message])) == expected


@each("key", ["text", "parts", "message", "body"])
def test_a_text_under_another_name_is_an_error_and_not_an_empty_message(key):
    with pytest.raises(UsageError, match="did you mean 'content'"):
        as_message({"role": "user", key: "hi"})


def test_one_message_of_several_turns_needs_as_messages():
    blocks = [{"type": "tool_result", "tool_use_id": "c", "content": "4"}, {"type": "text", "text": "x"}]
    with pytest.raises(UsageError, match="use as_messages"):
        as_message({"role": "user", "content": blocks})


def test_calls_in_a_users_message_are_refused():
    with pytest.raises(UsageError, match="an assistant's"):
        as_message({"role": "user", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]})


def test_an_older_function_call_and_its_result_belong_together():
    called = as_message({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}})
    result = as_message({"role": "function", "name": "f", "content": "4"})
    assert called.tool_calls[0].id == result.tool_call_id


def test_a_refusal_and_a_spoken_answer_are_what_was_said():
    assert as_message({"role": "assistant", "content": None, "refusal": "No."}).text == "No."
    assert as_message({"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "Yes."}}).text == "Yes."


def test_tools_of_mcp_and_anthropic_keep_their_schema():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    mcp = types.SimpleNamespace(name="f", description=None, inputSchema=schema)
    for tool in ({"name": "f", "inputSchema": schema}, {"name": "f", "input_schema": schema, "type": "custom"}, mcp):
        assert as_tool(tool).parameters == schema


@pytest.mark.parametrize(
    "tool",
    [{"type": "web_search_20250305", "name": "web_search"}, {"type": "custom", "name": "sql"}, {"type": "web_search"}],
)
def test_tools_that_run_at_a_provider_are_refused(tool):
    with pytest.raises(UsageError, match=r"runs at a provider|takes free text"):
        as_tool(tool)


@pytest.mark.parametrize("text", ["", " ", "null", '"null"', '""', "[]", "{}", '"{}"'])
def test_no_arguments_however_they_are_written(text):
    assert parse_arguments(text) == {}
    assert json.loads(sendable_arguments(text)) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": "x\ny"}', {"a": "x\ny"}),
        (json.dumps(json.dumps({"a": 1})), {"a": 1}),
        ('{"n": 1180591620717411303424}', {"n": 2**70}),
    ],
)
def test_arguments_are_read_and_sent_as_objects(text, expected):
    assert parse_arguments(text) == expected
    assert json.loads(sendable_arguments(text)) == expected


@pytest.mark.parametrize("text", ['{"a": "x', "7", "[1]", "soon", '"soon"'])
def test_broken_arguments_are_an_error_and_do_not_poison_the_next_request(text):
    with pytest.raises(ValueError):  # noqa: PT011  # json's own words
        parse_arguments(text)
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": text}}
    written = sent([USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a"}])
    arguments = json.loads(written["messages"][1]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"invalid_json": text}


def test_big_integers_and_half_characters_on_their_way_out():
    call = {"id": "a", "function": {"name": "f", "arguments": {"n": 2**70}}}
    written = sent([USER, {"role": "assistant", "tool_calls": [call]}])
    assert str(2**70) in written["messages"][1]["tool_calls"][0]["function"]["arguments"]
    with pytest.raises(UsageError, match=r"message 1 \(user\) holds U\+D83D at character 2"):
        sent([USER, {"role": "user", "content": "ab\ud83d"}])


@pytest.mark.parametrize(
    ("parameters", "good", "bad"),
    [
        ({"type": "object", "properties": {"a": {"type": "object", "properties": {"x": {"type": "integer"}}},
                                           "b": {"$ref": "#/properties/a"}}}, {"b": {"x": 1}}, {"b": {"x": "one"}}),
        ({"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v"]},
         {"v": 1, "next": {"v": 2}}, {"v": 1, "next": {"v": "two"}}),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A/properties/x"}},
          "$defs": {"A": {"type": "object", "properties": {"x": {"type": "integer"}, "root": {"$ref": "#"}}}}},
         {"a": {"root": {"b": 1}}, "b": 2}, {"a": {"root": {"b": "one"}}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("others", [0, 1])
def test_references_of_a_forced_calls_schema_point_where_they_did(parameters, good, bad, others):
    jsonschema = pytest.importorskip("jsonschema")
    tools = [Tool("f", "", parameters), *(Tool("other"),) * others]
    validator = jsonschema.Draft202012Validator(call_schema(tools))
    assert validator.is_valid({"name": "f", "arguments": good})
    assert not validator.is_valid({"name": "f", "arguments": bad})


def test_what_parts_lose_is_said_once(caplog, monkeypatch):
    monkeypatch.setattr("sagewire.types.content.left_out._SAID", set())
    part = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    with caplog.at_level("INFO", logger="sagewire"):
        for _ in range(2):
            as_message({"role": "user", "content": [part, {"type": "text", "text": "there"}]})
    assert [record.getMessage() for record in caplog.records] == [
        "fields of message parts that are not sent on are left out: ['cache_control']"
    ]


@each(
    "content",
    [
        [{"type": "reasoning", "steps": 3}],
        [{"type": "search_result", "title": "T", "snippet": "The answer is 42"}],
        [{"type": "tool_call", "name": "f", "when": 3}, {"n": 1}],
    ],
)
def test_a_result_in_a_message_of_ours_is_sent_whole(content):
    (message,) = as_messages([Message("tool", content, tool_call_id="a")])
    assert json.loads(message.content) == content


@each(
    "part",
    [
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "thinking", "thinking": "Hm."},
        {"type": "tool_result", "tool_use_id": "a", "content": "42"},
    ],
)
def test_blocks_that_are_no_parts_of_a_message_of_ours_are_told(part):
    with pytest.raises(UsageError, match="give the whole message as a mapping"):
        as_messages([Message("assistant", [part])])
