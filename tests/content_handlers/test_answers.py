"""What servers do differently, read alike; and what they do wrong, said clearly."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.content_handlers import HANDLERS, get_handler
from sagewire.errors import ModelError, ModelStreamError, SagewireError, StreamTruncated, WireError
from sagewire.streaming.accumulate import fold
from sagewire.types import TextDelta, ToolCallDelta, Usage

from ..cases import each

BASE = {"id": "c", "created": 1767322800, "model": "m"}


def chunk(delta, finish=None, **fields):
    return {**BASE, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


def whole(message, finish="stop", **fields):
    return {**BASE, "choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}


def lines(*events):
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def deltas(name, data, cuts=()):
    decoder = get_handler(name).stream_decoder("")
    out, start = [], 0
    for end in (*cuts, len(data)):
        out += decoder.feed(data[start:end])
        start = end
    return out + decoder.close()


def calls(*pieces):
    events = [chunk({"tool_calls": piece if isinstance(piece, dict) else [piece]}) for piece in pieces]
    return fold(deltas("openai_chat", lines(*events, chunk({}, "stop")))).tool_calls


def piece(name=None, arguments=None, **fields):
    return {**fields, "function": {"name": name, "arguments": arguments}}


def test_tool_calls_of_tgi_get_ids_a_template_takes():
    first, second = calls(piece("f", "", index=0, id="0"), piece("g", "{}", index=1, id="0"))
    assert first.id != second.id
    assert all(call.id.isalnum() and len(call.id) == 9 for call in (first, second))
    other = fold(
        deltas(
            "openai_chat", lines(chunk({"tool_calls": [piece("f", "", index=0, id="0")]}, created=1), chunk({}, "stop"))
        )
    )
    assert other.tool_calls[0].id != first.id


def test_tool_calls_in_the_notations_servers_use():
    assert [call.arguments for call in calls(piece("f", {"a": 1}, index=0, id="x"))] == ['{"a":1}']
    assert [call.name for call in calls({**piece("f", "{}", index=0, id="x")})] == ["f"]
    assert [call.name for call in calls(piece("f", "{", id="x"), piece(None, "}"))] == ["f"]
    assert [
        (call.id, call.name) for call in calls(piece("f", "{}", index=0, id="a"), piece("g", "{}", index=0, id="b"))
    ] == [
        ("a", "f"),
        ("b", "g"),
    ]
    assert [call.arguments for call in calls(piece("f", "{", index=0, id="a"), piece("f", "}", index=0, id="a"))] == [
        "{}"
    ]
    assert [call.name for call in calls(piece(None, "", index=0, id="a"), piece("late", "{}", index=0))] == ["late"]


def test_a_tool_name_inside_the_arguments_is_found():
    pieces = [piece(None, text, index=0, id="") for text in ('{"function": {"_name"', ': "f", "city": "Oslo"}}')]
    (call,) = calls(*pieces)
    assert (call.name, json.loads(call.arguments)) == ("f", {"city": "Oslo"})


def test_a_tool_call_without_any_name_is_an_error():
    with pytest.raises(WireError, match="without a name"):
        calls(piece(None, '{"city": "Oslo"}', index=0, id="x"))


def test_the_first_delta_of_a_call_carries_id_and_name_and_the_others_do_not():
    events = lines(
        chunk({"tool_calls": [piece("f", "{", index=0, id="x")]}),
        chunk({"tool_calls": [piece("f", "}", index=0, id="x")]}),
        chunk({}, "tool_calls"),
    )
    found = [delta for delta in deltas("openai_chat", events) if isinstance(delta, ToolCallDelta)]
    assert found == [ToolCallDelta(0, "x", "f", "{"), ToolCallDelta(0, arguments="}")]


REASONS = {
    "stop": ["stop", "STOP", "eos", "eos_token", "EOS_TOKEN", "stop_sequence", "stop_token", "end_turn", "COMPLETE"],
    "length": ["length", "LENGTH", "max_tokens", "MAX_TOKENS", "max_length", "model_length", "limit",
               {"type": "length", "length": 20}],
    "tool_calls": ["tool_calls", "tool_use", "function_call", "TOOL_CALL"],
    "content_filter": ["content_filter", "SAFETY", "refusal"],
    "error": ["error", "ERROR"],
    "other": ["abort", "repetition", "cancelled", "insufficient_system_resource", 7, ["stop"], {"type": "abort"}],
}  # fmt: skip


@each(("word", "reason"), [(word, reason) for reason, words in REASONS.items() for word in words])
def test_finish_reasons(word, reason):
    reply = get_handler("openai_chat").transform_output(json.dumps(whole({"content": "x"}, word)).encode())
    assert reply.finish_reason == reason
    found = fold(deltas("openai_chat", lines(chunk({"content": "x"}), chunk({}, word))))
    assert found.finish_reason == reason


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": 3, "completion_tokens": 0}, Usage(3, 0)),
        ({"prompt_tokens": 3, "completion_tokens": None, "total_tokens": 3}, Usage(3, None)),
        ({"prompt_tokens": 3, "completion_tokens": -1}, Usage(3, None)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "reasoning_tokens": 2}, Usage(3, 4, None, 2)),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(3, 4, 1, 2),
        ),
    ],
)
def test_usage_is_what_the_server_said(usage, expected):
    body = json.dumps(whole({"content": "x"}, usage=usage)).encode()
    assert get_handler("openai_chat").transform_output(body).usage == expected


def test_usage_in_every_chunk_ends_with_the_last():
    events = lines(
        chunk({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk({"content": "b"}, usage={"prompt_tokens": 1, "completion_tokens": 2}),
        chunk({"content": "c"}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 3}),
    )
    reply = fold(deltas("openai_chat", events))
    assert (reply.text, reply.usage) == ("abc", Usage(1, 3))


def test_a_stream_ends_when_all_answers_did():
    two = {**BASE, "choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}
    one_ended = lines(two, chunk({}, "stop"))
    with pytest.raises(StreamTruncated):
        deltas("openai_chat", one_ended)
    end = {**BASE, "choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}
    assert len(fold(deltas("openai_chat", one_ended + lines(end))).choices) == 2


def test_done_is_an_end_too():
    data = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    with pytest.raises(StreamTruncated):
        deltas("openai_chat", data)
    assert fold(deltas("openai_chat", data + b"data: [DONE]\n\n")).text == "a"


def test_characters_that_only_the_final_event_of_tgi_completes():
    token = {"id": 1, "text": "a", "logprob": -1.0, "special": False}
    events = lines(
        {"index": 1, "token": token, "generated_text": None},
        {"index": 2, "token": {**token, "text": ""}, "generated_text": "a\ufffd", "details": None},
    )
    assert fold(deltas("tgi", events)).text == "a\ufffd"
    # An echoed prompt is no missing end.
    echoed = lines({"index": 1, "token": token, "generated_text": "aaba"})
    assert fold(deltas("tgi", echoed)).text == "a"


FAULTS = [
    ({"error": "Input validation error", "error_type": "validation"}, "Input validation error", "validation"),
    (
        {"error": {"message": "too long", "type": "BadRequestError", "param": None, "code": 400}},
        "too long",
        "BadRequestError",
    ),
    ({"error": {"message": "tool error", "http_status_code": 422}}, "tool error", "422"),
    (
        {"object": "error", "message": "bad", "type": "invalid_request_error", "param": None, "code": 400},
        "bad",
        "invalid_request_error",
    ),
    (
        {"code": 424, "message": "invoke handler failure", "error": "Input parsing failed"},
        "Input parsing failed",
        "424",
    ),
    ({"code": 400, "type": "InternalServerException", "message": "no"}, "no", "InternalServerException"),
    ({"error": "Unauthorized"}, "Unauthorized", None),
    ({"error": {"message": "late"}, "choices": []}, "late", None),
]


@each(("payload", "message", "code"), FAULTS)
@each("name", ["openai_chat", "openai_completions", "tgi", "lmi", "triton", "cohere", "hf_pipeline"])
def test_error_objects(name, payload, message, code):
    handler = get_handler(name)
    with pytest.raises(ModelError) as whole_error:
        handler.transform_output(json.dumps(payload).encode())
    assert (whole_error.value.original_message, whole_error.value.code) == (message, code)
    with pytest.raises(ModelStreamError) as stream_error:
        deltas(name, b"data: " + json.dumps(payload).encode() + b"\n\ndata: [DONE]\n\n")
    assert (stream_error.value.message, stream_error.value.code) == (message, code)


@pytest.mark.parametrize("name", ["openai_chat", "openai_completions"])
def test_a_whole_answer_without_choices_is_an_error(name):
    with pytest.raises(WireError, match="does not understand"):
        get_handler(name).transform_output(b'{"choices": []}')


def test_what_came_before_an_error_is_delivered():
    decoder = get_handler("openai_chat").stream_decoder("")
    got = decoder.feed(lines(chunk({"content": "half"}), {"error": {"message": "gone", "code": 500}}))
    assert TextDelta("half") in got
    with pytest.raises(ModelStreamError, match="gone"):
        decoder.close()


def test_lmi_failure_tokens():
    failed = {
        "token": {"id": -1, "text": "", "log_prob": -1, "error_msg": "CUDA out of memory"},
        "generated_text": "",
        "details": {"finish_reason": "error"},
    }
    with pytest.raises(ModelStreamError, match="CUDA out of memory"):
        deltas("lmi", lines(failed))
    body = json.dumps({"generated_text": "half", "details": {"finish_reason": "error"}}).encode()
    with pytest.raises(ModelError, match="generation failed"):
        get_handler("lmi").transform_output(body)
    with pytest.raises(ModelStreamError, match="generation failed"):
        deltas("lmi", body)
    refused = json.dumps(
        {"generated_text": None, "error": "too long", "code": 400, "details": {"finish_reason": "error"}}
    )
    with pytest.raises(ModelError, match="too long") as error:
        get_handler("lmi").transform_output(refused.encode())
    assert error.value.original_status == 400


GARBAGE = [
    b"",
    b" \n",
    b"<html><body>502 Bad Gateway</body></html>",
    b"null",
    b"true",
    b"3.5",
    b'"text"',
    b"[]",
    b"{}",
    b"[[]]",
    b"[{}]",
    b'{"choices": null}',
    b'{"choices": [{}]}',
    b'{"choices": [{"message": {"content": 5}}]}',
    b'{"choices": [{"message": {"content": "a", "tool_calls": [7]}}]}',
    b'{"choices": "abc"}',
    b'[{"generated_text": 7}]',
    b'{"generated_text": ["a"]}',
    b'{"text": null}',
    b'{"text_output": {"a": 1}}',
    b'{"generations": [{"text": 1}]}',
    b'{"completions": [{}]}',
    b'{"token": {"text": 5}}',
    b'{"a": \xff}',
    b"[" * 2000,
    b"[" * 600 + b"]" * 600,
    b'{"a":' * 600 + b"1" + b"}" * 600,
]


# No entity was found, or one of unknown fields.
NO_ENTITIES = (b"[]", b"[{}]", b"[[]]", GARBAGE[-2], b'[{"generated_text": 7}]')


@pytest.mark.parametrize("name", HANDLERS)
def test_garbage_is_a_typed_error(name):
    handler = get_handler(name)
    for body in GARBAGE:
        if name == "hf_token_classification" and body in NO_ENTITIES:
            continue
        with pytest.raises(WireError) as error:
            handler.transform_output(body)
        assert len(str(error.value)) < 600
        with pytest.raises(WireError):
            deltas(name, body)


def test_an_error_message_of_any_size_stays_readable():
    body = json.dumps({"error": "x" * 5_000_000}).encode()
    with pytest.raises(ModelError) as error:
        get_handler("tgi").transform_output(body)
    assert len(str(error.value)) < 3000


def test_a_large_answer_is_read():
    text = "x" * 25_000_000
    body = json.dumps([{"generated_text": text}]).encode()
    assert get_handler("tgi").transform_output(body).text == text
    assert fold(deltas("tgi", body)).text == text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(TEXT, max_size=5),
    thinking=st.lists(TEXT, max_size=3),
    arguments=st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=2),
    sse=st.booleans(),
    data=st.data(),
)
def test_a_stream_says_what_the_whole_answer_says(text, thinking, arguments, sse, data):
    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"reasoning_content": part}) for part in thinking]
    events += [chunk({"content": part}) for part in text]
    for index, parts in enumerate(arguments):
        events.append(chunk({"tool_calls": [piece("f", "", index=index, id=f"id{index}")]}))
        events += [chunk({"tool_calls": [piece(None, part, index=index)]}) for part in parts]
    events.append(chunk({}, "length"))
    message = {
        "content": "".join(text) or None,
        "reasoning": "".join(thinking) or None,
        "tool_calls": [piece("f", "".join(parts), id=f"id{index}") for index, parts in enumerate(arguments)],
    }
    dump = [json.dumps(event, ensure_ascii=data.draw(st.booleans())).encode() for event in events]
    stream = b"".join(b"data: " + event + b"\r\n\r\n" for event in dump) if sse else b"\n".join(dump)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reply = get_handler("openai_chat").transform_output(json.dumps(whole(message, "length")).encode())
    assert fold(deltas("openai_chat", stream, cuts)) == reply


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(sorted(HANDLERS)),
    body=st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "message", "delta", "token", "text", "generated_text", "details", "error", "index"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
)
def test_no_json_makes_a_handler_fail_untyped(name, body):
    data = json.dumps(body).encode()
    for read in (get_handler(name).transform_output, lambda data: deltas(name, data)):
        with contextlib.suppress(SagewireError):
            read(data)
