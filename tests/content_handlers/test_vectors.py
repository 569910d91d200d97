"""Every handler against sample bytes of its container, in both directions; see `tests/vectors/containers/README.md`."""

import json
from pathlib import Path

import pytest

from sagewire.client.prepared_call import prepare
from sagewire.content_handlers import HANDLERS
from sagewire.streaming.accumulate import fold
from sagewire.testing import check_handler
from sagewire.types import ChatRequest, Message, PromptRequest, Tool, ToolCall, make_options

ROOT = Path(__file__).parents[1] / "vectors" / "containers"
CASES = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.glob("*/*.json"))
    if path.parent.name in HANDLERS
}


def make_handler(name, case):
    return HANDLERS[name.split("/")[0]](**case.get("arguments", {}))


def make_request(fields, *, stream=False):
    options = make_options(**fields.get("options", {}))
    if "prompt" in fields:
        return PromptRequest(fields["prompt"], options, stream=stream)
    messages = tuple(
        Message(**{**message, "tool_calls": tuple(ToolCall(*call) for call in message.get("tool_calls", ()))})
        for message in fields["messages"]
    )
    return ChatRequest(
        messages,
        options,
        tools=tuple(Tool(**tool) for tool in fields.get("tools", ())),
        tool_choice=fields.get("tool_choice"),
        parallel_tool_calls=fields.get("parallel_tool_calls"),
        stream=stream,
    )


def check_reply(reply, expected, *, streamed=False):
    expected = dict(expected)
    for name in ("usage", "stop"):
        if streamed and f"stream_{name}" in expected:
            expected[name] = expected[f"stream_{name}"]
    choices = expected.get("choices", [expected])
    assert len(reply.choices) == len(choices)
    for choice, wanted in zip(reply.choices, choices, strict=True):
        assert choice.text == wanted["text"]
        assert choice.thinking == wanted.get("thinking")
        assert choice.finish_reason == wanted.get("finish_reason")
        if "stop" in wanted:
            assert choice.stop == wanted["stop"]
        got = [[token.token, token.logprob, [list(pair) for pair in token.top]] for token in choice.logprobs]
        assert got == wanted.get("logprobs", [])
        calls = [[call.id, call.name, call.arguments] for call in choice.tool_calls]
        for call, other in zip(calls, wanted.get("tool_calls", []), strict=True):
            assert call[0]
            assert call == [other[0] or call[0], *other[1:]]
    if "usage" in expected:
        counts = {name: getattr(reply.usage, name) for name in expected["usage"]} if expected["usage"] else None
        assert (counts if reply.usage else None) == expected["usage"]
    for name in ("id", "model", "extra"):
        if name in expected:
            assert getattr(reply, name) == expected[name]


def test_every_handler_has_vectors():
    assert {name.split("/")[0] for name in CASES} == set(HANDLERS)


def sent(case, handler, **more):
    """The body as a client sends it: what sagewire enforces itself is not the handler's business."""
    return prepare(make_request(case["request"], **more), handler).invocation.body


@pytest.mark.parametrize("name", CASES)
def test_request(name):
    case = CASES[name]
    handler = make_handler(name, case)
    body = sent(case, handler)
    if "raw_body" in case:
        assert body == case["raw_body"].encode()
    else:
        assert json.loads(body) == case["body"]
    if "stream_body" in case:
        assert json.loads(sent(case, handler, stream=True)) == case["stream_body"]
    assert handler.parameters(make_request(case["request"])) == case.get("parameters", {})


@pytest.mark.parametrize("name", CASES)
def test_whole_answer(name):
    case = CASES[name]
    check_reply(make_handler(name, case).transform_output(case["whole"].encode()), case["reply"])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "stream" in case])
def test_streamed_answer(name):
    case = CASES[name]
    decoder = make_handler(name, case).stream_decoder("")
    check_reply(fold([*decoder.feed(case["stream"].encode()), *decoder.close()]), case["reply"], streamed=True)


@pytest.mark.parametrize("name", CASES)
def test_whole_answer_where_a_stream_was_asked_for(name):
    case = CASES[name]
    handler = make_handler(name, case)
    decoder = handler.stream_decoder("application/json")
    whole = case["whole"].encode()
    assert fold([*decoder.feed(whole), *decoder.close()]) == handler.transform_output(whole)


OPTIONS_OF_SERVERS = {"stop_sequences", "temperature", "top_p", "max_new_tokens"}


@pytest.mark.parametrize("name", CASES)
def test_what_every_handler_owes(name):
    case = CASES[name]
    stream = case.get("stream")
    given = case["request"].get("options", {}).get("extra", {})
    # Extra settings that are options under the server's own name would win over the options that are checked.
    extra = {name: value for name, value in given.items() if name not in OPTIONS_OF_SERVERS}
    check_handler(
        make_handler(name, case),
        request=make_request({**case["request"], "options": {"extra": extra}}),
        whole=case["whole"].encode(),
        stream=stream.encode() if stream else None,
        ends_visibly=case.get("ends_visibly", True),
    )
