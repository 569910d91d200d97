"""Histories with several calls in one message, or text beside a call, for families that know neither."""

import json

import pytest

from sagewire import Client, Message
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import FORMATS, get_format
from sagewire.testing import FakeTransport
from sagewire.types import Tool, ToolCall

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
    for family in ("granite_3_3", "lfm2", "smollm3_hub", "mistral_v3"):
        with pytest.raises((UsageError, UnsupportedFeature)):
            get_format(family).render(BESIDE)


CLOCK = Tool("clock", "Tell the time.", {"type": "object", "properties": {"zone": {"type": "string"}}})
SYSTEM = Message("system", "Be brief.")


def called(call_id, text=""):
    return Message("assistant", text, tool_calls=(ToolCall(call_id, "clock", '{"zone": "CET"}'),))


def result(call_id):
    return Message("tool", "noon", tool_call_id=call_id)


LOOPS = {
    "a call without an id": [HI, called(""), result("")],
    "an id made up here": [HI, called("call_0"), result("call_0")],
    "an id of OpenAI's": [SYSTEM, HI, called("call_aBcDeFgH12345678"), result("call_aBcDeFgH12345678")],
    "text beside calls": [SYSTEM, HI, called("a", "Let me see."), result("a"), called("b", "Again."), result("b")],
    "a later turn": [SYSTEM, HI, called("a", "Let me see."), result("a"), Message("assistant", "Noon."), HI],
    "an instruction at the end": [HI, called("a"), result("a"), SYSTEM],
    "a question behind a result": [HI, called("a"), result("a"), Message("user", "And?")],
    "a call without a result": [HI, called("a"), Message("user", "noon?")],
    "two questions": [HI, Message("user", "And?"), called("a"), result("a")],
}


# One family of each way to write.
WRITERS = {type(known): name for name, known in FORMATS.items() if known.supports_tools}.values()


@each("family", WRITERS)
def test_no_family_loses_or_refuses_a_loop_of_tools(family):
    transport = FakeTransport(b'[{"generated_text": "ok"}]')
    client = Client(transport=transport, handler="tgi", format=family)
    for name, messages in LOOPS.items():
        if family == "function_gemma" and name == "a question behind a result":
            # Its template goes on in the model's turn, so the user's text has no place.
            continue
        # The last step of an agent may offer no tools any more.
        client.chat(messages, tools=None if name == "a later turn" else [CLOCK])
        prompt = json.loads(transport.calls[-1].body)["inputs"]
        said = ["CET", "noon", *(turn.text for turn in messages if turn.role != "tool")]
        assert [text for text in said if text not in prompt] == [], name


def test_a_family_without_tools_still_refuses_them():
    for family in ("chatml", "gemma", "llama2", "zephyr"):
        with pytest.raises(
            UnsupportedFeature, match=r"tool calls in the conversation.*Choose a format of a family with"
        ):
            sent(TOGETHER, family)
