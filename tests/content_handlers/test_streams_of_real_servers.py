"""Streams and answers as servers really send them: tool calls in odd pieces, keep-alives, errors, odd numbers."""

import json

import pytest

from sagewire import Client
from sagewire.errors import EndpointError, ModelStreamError, WireError
from sagewire.testing import FakeTransport
from sagewire.transports.container_errors import container_message


def piece(name=None, arguments=None, *, id=None, index=None):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"type": "function", "function": function}
    return fields | ({} if id is None else {"id": id}) | ({} if index is None else {"index": index})


def chunk(delta, finish=None, **more):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def events(*chunks):
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"


def read(body, handler="openai_chat", **options):
    with Client(transport=FakeTransport(body), handler=handler).stream("hi", **options) as stream:
        for _ in stream:
            pass
    return stream.reply


def calls_of(*arrays):
    reply = read(events(*(chunk({"tool_calls": array}) for array in arrays), chunk({}, "tool_calls")))
    ids = [call.id for call in reply.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    return [(call.name, call.arguments) for call in reply.tool_calls]


TWO = [("f", '{"x":1}'), ("g", '{"y":2}')]
SAME = [("f", '{"x":1}'), ("f", '{"x":2}')]


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        # No index.
        ([[piece("f", '{"x":', id="a")], [piece("g", '{"y":', id="b")], [piece(None, "1}", id="a")],
          [piece(None, "2}", id="b")]], TWO),
        ([[piece("f", '{"x":1}', id="a"), piece("g", '{"y":', id="b")], [piece(None, "2}")]], TWO),
        ([[piece("f", '{"x":1}', id="a", index=0)], [piece("g", '{"y":', id="b", index=1)], [piece(None, "2}")]], TWO),
        ([[piece("f", '{"x":1}')], [piece("f", '{"x":2}')]], SAME),
        ([[piece("f", '{"x":1}'), piece("f", '{"x":1}')]], [SAME[0], SAME[0]]),
        ([[piece("f", "")], [piece("f", '{"x":')], [piece("f", "1}")]], [SAME[0]]),
        ([[piece("f", '{"x":'), piece("g", '{"y":')], [piece(None, "1}"), piece(None, "2}")]], TWO),
        # The index counts pieces.
        ([[piece("f", '{"x":', id="a", index=0)], [piece(None, "1", index=1)], [piece(None, "}", index=2)]], [TWO[0]]),
        ([[piece("f", '{"x":', id="a", index=0)], [piece("f", "1}", id="a", index=1)]], [TWO[0]]),
        ([[piece("f", '{"x":', index=0)], [piece("f", "1}", index=1)]], [TWO[0]]),
        # One index for all.
        ([[piece("f", '{"x":1}', index=0)], [piece("g", '{"y":2}', index=0)]], TWO),
        ([[piece("f", '{"x":1}', id="a", index=0)], [piece("f", '{"x":2}', id="b", index=0)]], SAME),
        ([[piece("f", '{"x":1}', index=0)], [piece("f", '{"x":2}', index=0)]], SAME),
        ([[piece("f", "", id="0", index=0)], [piece(None, '{"x":1}', id="0", index=0)],
          [piece("f", "", id="0", index=0)], [piece(None, '{"x":', id="0", index=0)],
          [piece(None, "2}", id="0", index=0)]], SAME),
        ([[piece("f", "", id="a", index=0)], [piece(None, '{"x":1}', index=0)], [piece(None, '{"x":1}', index=0)]],
         [SAME[0]]),
        # Ids that say nothing.
        ([[piece("f", '{"x":1}', id="same", index=0)], [piece("f", '{"x":2}', id="same", index=1)]], SAME),
        ([[piece("f", '{"x":1}', id="0", index=0)], [piece("g", '{"y":2}', id="0", index=1)]], TWO),
        ([[piece("f", '{"x":1}', id="", index=0)], [piece("f", '{"x":2}', id="", index=1)]], SAME),
        # The name again, or "null", with each piece.
        ([[piece("f", "", id="a", index=0)], [piece("f", '{"x":', id="a", index=0)],
          [piece("f", "1}", id="a", index=0)]], [TWO[0]]),
        ([[piece("f", "", id="a", index=0)], [piece("null", '{"x":1}', id="null", index=0)]], [TWO[0]]),
        # The arguments again in the last piece.
        ([[piece("f", '{"x":', id="a", index=0)], [piece(None, "1}", index=0)],
          [piece(None, '{"x": 1}', index=0)]], [TWO[0]]),
        ([[piece("f", '{"x":', id="a", index=0)], [piece(None, "1}", index=0)],
          [piece("f", '{"x":1}', id="a", index=0)]], [TWO[0]]),
        # A placeholder before the arguments, and nothing but a placeholder.
        ([[piece("f", "{}", id="a", index=0)], [piece(None, '{"x":', index=0)], [piece(None, "1}", index=0)]],
         [TWO[0]]),
        *(([[piece("f", nothing, id="a", index=0)]], [("f", "{}")]) for nothing in ("", "null", '"null"', "[]", "{}")),
        # The name comes late.
        ([[piece(None, "", id="a", index=0)], [piece("f", '{"x":1}', index=0)]], [TWO[0]]),
    ],
)  # fmt: skip
def test_tool_calls_are_put_together_from_any_pieces(arrays, expected):
    assert calls_of(*arrays) == expected


def test_each_element_of_a_whole_answer_is_a_call():
    calls = [piece("f", '{"x":1}', id="same", index=0), piece("f", '{"x":2}', id="same", index=0)]
    body = {"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    reply = Client(transport=FakeTransport(json.dumps(body).encode()), handler="openai_chat").chat("hi")
    assert [(call.name, call.arguments) for call in reply.tool_calls] == SAME
    assert len({call.id for call in reply.tool_calls}) == 2


@pytest.mark.parametrize("also_list", [False, True])
def test_the_older_function_call_is_a_call(also_list):
    function = {"name": "f", "arguments": '{"x":1}'}
    message = {"content": None, "function_call": function}
    if also_list:
        message["tool_calls"] = [{"id": "a", "type": "function", "function": function}]
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "function_call"}]}
    whole = Client(transport=FakeTransport(json.dumps(body).encode()), handler="openai_chat").chat("hi")
    first, rest = {"name": "f", "arguments": '{"x":'}, {"arguments": "1}"}
    deltas = [{"function_call": part} | ({"tool_calls": [{"index": 0, "function": part}]} if also_list else {})
              for part in (first, rest)]  # fmt: skip
    streamed = read(events(*map(chunk, deltas), chunk({}, "function_call")))
    for reply in (whole, streamed):
        assert [(call.name, call.arguments) for call in reply.tool_calls] == [TWO[0]]
        assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "beat",
    [
        "data: : keepalive\n\n", "data: keep-alive\n\n", "event: ping\ndata: {}\n\n", "data: {}\n\n",
        'event: ping\ndata: {"type": "ping"}\n\n', 'data: {"type": "ping"}\n\n', "event: heartbeat\ndata: 7\n\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("handler", ["openai_chat", "tgi_chat", "tgi"])
def test_keep_alives_are_no_part_of_the_answer(beat, handler):
    if handler == "tgi":
        said = [{"index": 1, "token": {"id": 1, "text": "Hello", "logprob": 0, "special": False},
                 "generated_text": "Hello", "details": None}]  # fmt: skip
    else:
        said = [chunk({"content": "Hel"}), chunk({"content": "lo"}, "stop")]
    body = b"".join(beat.encode() + b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)
    client = Client(transport=FakeTransport(body), handler=handler, format="chatml" if handler == "tgi" else None)
    with client.stream("hi") as stream:
        assert "".join(stream.text) == "Hello"


@pytest.mark.parametrize("choices", [{"choices": None}, {}, {"choices": []}])
@pytest.mark.parametrize("handler", ["openai_chat", "openai_completions"])
def test_token_counts_come_with_any_kind_of_no_choices(choices, handler):
    piece = {"delta": {"content": "a"}} if handler == "openai_chat" else {"text": "a"}
    said = {"choices": [{"index": None, **piece, "finish_reason": "stop"}]}
    body = events(said, {**choices, "usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    client = Client(transport=FakeTransport(body), handler=handler)
    with client.stream_complete("hi") as stream:
        assert "".join(stream.text) == "a"
    assert stream.reply.usage.prompt_tokens == 3


def test_tokens_numbered_in_the_choices_index_are_one_answer():
    said = [
        {"object": "text_completion", "choices": [{"index": n, "delta": {"content": text}, "finish_reason": end}]}
        for n, (text, end) in enumerate((("I", None), ("'", None), ("m", "length")), 1)
    ]
    reply = read(b"".join(b"data:" + json.dumps(one).encode() + b"\n\n" for one in said), "tgi_chat")
    assert (reply.text, reply.finish_reason, len(reply.choices)) == ("I'm", "length", 1)


GOOD = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


@pytest.mark.parametrize("before", [b"", GOOD])
@pytest.mark.parametrize(
    "event",
    [
        b'error: {"code":500,"message":"context shift is disabled","type":"server_error"}\n\n',
        b"event: error\ndata: context shift is disabled\n\n",
        b'event: error\ndata: {"message": "context shift is disabled", "detail": 1}\n\n',
    ],
)
def test_errors_by_name_are_errors_of_the_model(before, event):
    with pytest.raises(ModelStreamError, match="context shift is disabled"):
        read(before + event, "llamacpp")


def test_numbers_and_characters_that_json_has_not():
    logprobs = '{"content":[{"token":"a","logprob":-0.1,"top_logprobs":[{"token":"b","logprob":-Infinity}]}]}'
    body = '{"choices":[{"index":0,"%s":{"content":"a\\ud83d"},"logprobs":' + logprobs + ',"finish_reason":"stop"}]}'
    whole = Client(transport=FakeTransport((body % "message").encode()), handler="openai_chat").chat("hi")
    streamed = read(b"data: " + (body % "delta").encode() + b"\n\n")
    assert whole.choices == streamed.choices
    assert whole.text == "a\ufffd"


def test_big_integers_stay_integers():
    number = 2**70
    calls = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"n": number}}}]
    assert calls_of(calls) == [("f", json.dumps({"n": number}, separators=(",", ":")))]


def test_a_refusal_names_the_field_it_is_about():
    detail = [{"type": "string_type", "loc": ["body", "messages", 2, "content"], "msg": "Input should be a string"}]
    assert container_message(json.dumps({"detail": detail})) == "messages.2.content: Input should be a string"


def test_pages_and_bare_text_are_still_errors():
    for body in (b"data: <html>\n\n", b"data: hello\n\n"):
        with pytest.raises(WireError):
            read(body)
    with pytest.raises((WireError, EndpointError)):
        read(b"<html>")
