"""Tools: what is sent, what comes back, and the ways both go wrong."""

import json
from collections.abc import Callable

import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.tools import FunctionTool

from sagewire import UnsupportedFeature, UsageError, WireError
from sagewire.emulator import Call, Emulator, Reply
from sagewire.integrations.llama_index import SageMakerLLM

# Releases before 0.14 keep both in `additional_kwargs`.
ToolCallBlock = getattr(types, "ToolCallBlock", None)
has_blocks = pytest.mark.skipif(ToolCallBlock is None, reason="this LlamaIndex has no such block")


def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


def ping() -> str:
    """Say pong."""
    return "pong"


ADD, PING = FunctionTool.from_defaults(add), FunctionTool.from_defaults(ping)
TWO_CALLS = Reply(calls=[Call("add", '{"x": 3, "y": 4}', "a"), Call("ping", "", "b")])


@pytest.fixture
def model(scripted: Callable[..., SageMakerLLM]) -> SageMakerLLM:
    return scripted("openai_chat", TWO_CALLS)


def test_what_is_sent(model: SageMakerLLM, emulator: Emulator) -> None:
    def sent(**given: object) -> tuple:
        model.chat_with_tools([ADD, PING], user_msg="add", **given)
        body = emulator.calls[-1].json
        return body["tool_choice"], body["parallel_tool_calls"]

    assert sent() == ("auto", False)
    assert sent(allow_parallel_tool_calls=True) == ("auto", True)
    assert sent(tool_required=True) == ("required", False)
    assert sent(tool_choice="any") == ("required", False)
    assert sent(tool_choice="none") == ("none", False)
    named = {"type": "function", "function": {"name": "add"}}
    assert sent(tool_choice="add") == sent(tool_choice=named) == (named, False)
    function = emulator.calls[-1].json["tools"][0]["function"]
    assert (function["name"], sorted(function["parameters"]["properties"])) == ("add", ["x", "y"])
    sent(strict=True)
    assert emulator.calls[-1].json["tools"][0]["function"]["strict"] is True


def test_no_tools_means_no_tool_fields(model: SageMakerLLM, emulator: Emulator) -> None:
    model.chat_with_tools([], user_msg="add", tool_required=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(emulator.calls[-1].json)


def test_the_callers_history_does_not_grow(model: SageMakerLLM, emulator: Emulator) -> None:
    history = [ChatMessage(role="system", content="s")]
    model.chat_with_tools([ADD], user_msg="add", chat_history=history)
    assert [m["role"] for m in emulator.calls[-1].json["messages"]] == ["system", "user"]
    assert len(history) == 1


@has_blocks
def test_calls_come_back_as_blocks_and_selections(model: SageMakerLLM) -> None:
    response = model.chat_with_tools([ADD, PING], user_msg="add", allow_parallel_tool_calls=True)
    first, second = response.message.blocks
    assert (first.tool_call_id, first.tool_name, json.loads(first.tool_kwargs)) == ("a", "add", {"x": 3, "y": 4})
    assert second.tool_call_id == "b"
    chosen = model.get_tool_calls_from_response(response)
    assert [(c.tool_id, c.tool_name, c.tool_kwargs) for c in chosen] == [
        ("a", "add", {"x": 3, "y": 4}),
        ("b", "ping", {}),
    ]
    assert [c["id"] for c in response.message.additional_kwargs["tool_calls"]] == ["a", "b"]


@has_blocks
async def test_one_call_where_parallel_ones_are_not_allowed(model: SageMakerLLM) -> None:
    response = model.chat_with_tools([ADD, PING], user_msg="add")
    assert [b.tool_name for b in response.message.blocks] == ["add"]
    assert len(response.raw["choices"][0]["message"]["tool_calls"]) == 2
    async for streamed in await model.astream_chat_with_tools([ADD, PING], user_msg="add"):
        assert {c.tool_name for c in model.get_tool_calls_from_response(streamed, error_on_no_tool_call=False)} <= {
            "add"
        }
    assert model.predict_and_call([ADD, PING], user_msg="add").response == "7"
    assert (await model.apredict_and_call([ADD, PING], user_msg="add")).response == "7"


def test_streamed_arguments_grow_and_are_read_at_every_point(model: SageMakerLLM) -> None:
    seen: list[list[dict]] = []
    for response in model.stream_chat_with_tools([ADD, PING], user_msg="add", allow_parallel_tool_calls=True):
        chosen = model.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        seen.append([c.tool_kwargs for c in chosen])
        assert [c.tool_id for c in chosen] == ["a", "b"][: len(chosen)]
    assert seen[-1] == [{"x": 3, "y": 4}, {}]
    assert [{"x": 3}] in seen
    assert len(seen) > 4


@has_blocks
@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ("", {}),
        ("{", {}),
        ('{"x"', {}),
        ('{"x": 1, "na', {"x": 1}),
        ('{"city": "Pa', {"city": "Pa"}),
        ('{"a": {"b": [1, 2', {"a": {"b": [1, 2]}}),
        ('{"a": "\\', {}),
        ("[1, 2", {}),
        ("no json", {}),
    ],
)
def test_partial_arguments_are_read_as_far_as_they_go(model: SageMakerLLM, arguments: str, read: dict) -> None:
    block = ToolCallBlock(tool_call_id="a", tool_name="add", tool_kwargs=arguments)
    (chosen,) = model.get_tool_calls_from_response(ChatResponse(message=ChatMessage(role="assistant", blocks=[block])))
    assert chosen.tool_kwargs in (read, {"a": ""} if "\\" in arguments else read)


@pytest.mark.parametrize("arguments", ['{"x": 3, "y', "[3, 4]", "three", '{"x": 3}}'])
def test_a_finished_call_with_broken_arguments_is_answered_with_an_error(scripted, arguments: str) -> None:
    model = scripted("openai_chat", Reply(calls=[Call("add", arguments, "a")]))
    response = model.predict_and_call([ADD], user_msg="add")
    assert response.sources[0].is_error
    *_, last = model.stream_chat_with_tools([ADD], user_msg="add")
    (chosen,) = model.get_tool_calls_from_response(last)
    assert chosen.tool_kwargs == {"invalid_json": arguments}


@pytest.mark.parametrize("arguments", ["null", '"null"', "", "[]", "{}"])
def test_no_arguments_however_they_are_written(scripted, arguments: str) -> None:
    model = scripted("openai_chat", Reply(calls=[Call("clock", arguments, "a")]))
    clock = FunctionTool.from_defaults(lambda: "12:00", name="clock")
    assert str(model.predict_and_call([clock], user_msg="?")) == "12:00"


def test_a_call_cut_off_by_max_tokens_says_so(scripted) -> None:
    model = scripted("openai_chat", Reply(calls=[Call("add", '{"x": 3, "y', "a")], finish="length"))
    with pytest.raises(WireError, match="max_tokens"):
        model.predict_and_call([ADD], user_msg="add")


def test_an_answer_in_text(scripted) -> None:
    model = scripted("openai_chat", "seven")
    response = model.chat_with_tools([ADD], user_msg="add")
    assert model.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="did not call a tool; it answered: seven"):
        model.get_tool_calls_from_response(response)


def test_a_tool_choice_without_a_name_is_refused(model: SageMakerLLM) -> None:
    with pytest.raises(UsageError, match="does not name a tool"):
        model.chat([ChatMessage(content="x")], tools=[ADD.metadata.to_openai_tool()], tool_choice={"type": "function"})
    with pytest.raises(UsageError, match="needs tools"):
        model.chat([ChatMessage(content="x")], tool_choice="required")


def test_tool_calls_written_as_text_are_read_by_the_format(scripted, emulator: Emulator) -> None:
    said = 'Let me see.\n<tool_call>\n{"name": "add", "arguments": {"x": 3, "y": 4}}\n</tool_call>'
    model = scripted("tgi", said, prompt_format="qwen2_5")
    assert model.metadata.is_function_calling_model
    response = model.chat_with_tools([ADD], user_msg="add")
    assert '"name": "add"' in emulator.calls[-1].json["inputs"]
    assert [c.tool_kwargs for c in model.get_tool_calls_from_response(response)] == [{"x": 3, "y": 4}]
    assert response.message.content.strip() == "Let me see."
    *_, last = model.stream_chat_with_tools([ADD], user_msg="add")
    assert [c.tool_kwargs for c in model.get_tool_calls_from_response(last)] == [{"x": 3, "y": 4}]


@pytest.mark.parametrize(
    ("given", "calls"),
    [
        ({"content_handler": "openai_chat"}, True),
        ({"content_handler": "openai_chat", "is_function_calling_model": False}, False),
        ({"content_handler": "tgi", "prompt_format": "qwen2_5"}, True),
        ({"content_handler": "tgi", "prompt_format": "chatml"}, False),
        ({"content_handler": "tgi"}, False),
        ({"content_handler": "tgi", "is_function_calling_model": True}, False),
    ],
)
def test_is_function_calling_model_is_the_truth(given: dict, calls: bool) -> None:
    model = SageMakerLLM("e", aws_region_name="us-east-1", **given)
    assert model.metadata.is_function_calling_model is calls


def test_a_format_without_tools_refuses_them(scripted) -> None:
    with pytest.raises(UnsupportedFeature, match="tools"):
        scripted("tgi", prompt_format="chatml").chat_with_tools([ADD], user_msg="add")
