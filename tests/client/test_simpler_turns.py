"""Histories with several calls in one message, or text beside a call, for families that know neither."""

import json

import pytest

from sagewire import Client, Message
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import get_format
from sagewire.testing import FakeTransport
from sagewire.types import ToolCall

from ..cases import each

CALLS = (ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", '{"y": 2}'))
HI = Message("user", "Hi")
TOGETHER = [
    HI,
    Message("assistant", tool_calls=CALLS, thinking="both"),
    Message("tool", "two", tool_call_id="b"),
    Message("tool", "one", tool_call_id="a"),
]
APART = [
    HI,
    Message("assistant", tool_calls=CALLS[:1], thinking="both"),
    Message("tool", "one", tool_call_id="a"),
    Message("assistant", tool_calls=CALLS[1:]),
    Message("tool", "two", tool_call_id="b"),
]
BESIDE = [
    HI,
    Message("assistant", "Let me look.", tool_calls=CALLS[:1], thinking="Hm."),
    Message("tool", "one", tool_call_id="a"),
]


def sent(messages, family):
    transport = FakeTransport(b'[{"generated_text": "ok"}]')
    Client(transport=transport, handler="tgi", format=family).chat(messages)
    return json.loads(transport.calls[-1].body)["inputs"]


@each("family", ["gpt_oss", "llama3_1", "llama3_2", "llama3_3"])
def test_calls_stand_beside_their_own_results(family):
    assert sent(TOGETHER, family) == sent(APART, family)


def test_results_without_ids_are_in_the_order_of_the_calls():
    bare = [*TOGETHER[:2], Message("tool", "one"), Message("tool", "two")]
    assert sent(bare, "llama3_1") == sent(APART, "llama3_1")


@each("messages", [TOGETHER[:2], TOGETHER[:3], [*TOGETHER[:3], Message("tool", "three", tool_call_id="c")]])
def test_calls_that_were_not_answered_are_refused_as_before(messages):
    with pytest.raises(UsageError, match="single tool-calls"):
        sent(messages, "llama3_1")


@each("family", ["gpt_oss", "llama3_1"])
def test_text_beside_a_call_stands_before_it(family):
    prompt = sent(BESIDE, family)
    assert prompt.index("Let me look.") < prompt.index('"x": 1') < prompt.index("one")
    if family == "gpt_oss":
        assert "<|channel|>analysis<|message|>Hm.<|end|>" in prompt


@each("family", ["gpt_oss", "llama3_1"])
def test_text_beside_several_calls(family):
    talk = [HI, Message("assistant", "Let me look.", tool_calls=CALLS), *TOGETHER[2:]]
    prompt = sent(talk, family)
    order = [prompt.index(text) for text in ("Let me look.", '"x": 1', "one", '"y": 2', "two")]
    assert order == sorted(order)


def test_a_format_by_itself_keeps_to_its_template():
    with pytest.raises(UsageError, match="single tool-calls"):
        get_format("llama3_1").render(TOGETHER)


def test_a_family_without_tools_still_refuses_them():
    with pytest.raises(UnsupportedFeature, match="tool calls"):
        sent(TOGETHER, "chatml")
