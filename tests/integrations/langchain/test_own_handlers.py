"""Chat content handlers written for langchain-aws: what they return arrives, and what a call asks for reaches them."""

import io
import json
from unittest.mock import Mock

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage

from sagewire.integrations.langchain import ChatModelContentHandler, ChatSagemakerEndpoint

ANSWER = {
    "content": [{"type": "text", "text": "Thirty"}, {"type": "text", "text": " gears"}],
    "id": "answer-7",
    "additional_kwargs": {"citations": [{"doc": 3}]},
    "response_metadata": {"guardrail": "passed", "finish_reason": "stop"},
    "usage_metadata": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 9},
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def model_of(*answers, lines=b"{}\n"):
    """Return a model whose handler gives these answers, one for each line of a stream, and what it was given."""
    seen = []
    left = list(answers)

    class Handler(ChatModelContentHandler):
        content_type = accepts = "application/json"

        def transform_input(self, prompt, model_kwargs):
            seen.append((prompt, model_kwargs))
            return json.dumps({"messages": prompt, **model_kwargs}).encode()

        def transform_output(self, output):
            return left.pop(0) if len(left) > 1 else left[0]

    client = Mock()
    client.invoke_endpoint.side_effect = lambda **_: {"Body": io.BytesIO(b"{}"), "ContentType": "application/json"}
    client.invoke_endpoint_with_response_stream.side_effect = lambda **_: {"Body": [{"PayloadPart": {"Bytes": lines}}]}
    return ChatSagemakerEndpoint(endpoint_name="e", content_handler=Handler(), client=client), seen


def streamed(model, *arguments, **options):
    whole = None
    for chunk in model.stream(*arguments, **options):
        whole = chunk if whole is None else whole + chunk
    return whole


@pytest.mark.parametrize("ask", [ChatSagemakerEndpoint.invoke, streamed])
@pytest.mark.parametrize("kind", [AIMessage, AIMessageChunk])
def test_a_handlers_message_arrives_as_it_is(ask, kind):
    model, _ = model_of(kind(**ANSWER))
    answer = ask(model, "How many?")
    assert answer.content == ANSWER["content"]
    assert answer.id == "answer-7"
    assert answer.additional_kwargs == ANSWER["additional_kwargs"]
    assert answer.usage_metadata == ANSWER["usage_metadata"]
    assert answer.response_metadata["guardrail"] == "passed"
    assert answer.response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("ask", [ChatSagemakerEndpoint.invoke, streamed])
def test_tool_calls_of_a_handlers_message_arrive(ask):
    calls = [{"name": "f", "args": {"city": "Å"}, "id": "1"}, {"name": "g", "args": {}, "id": "2"}]
    model, _ = model_of(AIMessage("", tool_calls=calls))
    assert [(call["name"], call["args"], call["id"]) for call in ask(model, "?").tool_calls] == [
        ("f", {"city": "Å"}, "1"),
        ("g", {}, "2"),
    ]


def test_lines_of_a_stream_add_up():
    last = AIMessageChunk("gears", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})
    model, _ = model_of(AIMessageChunk("Thirty ", id="a"), last, lines=b"{}\n{}\n")
    whole = streamed(model, "How many?")
    assert (whole.content, whole.id, whole.usage_metadata["total_tokens"]) == ("Thirty gears", "a", 3)


@pytest.mark.parametrize("ask", [ChatSagemakerEndpoint.invoke, streamed])
def test_stop_strings_are_enforced_on_a_handlers_message(ask):
    model, _ = model_of(AIMessage("Thirty gears. END of it", additional_kwargs={"kept": 1}))
    answer = ask(model, "How many?", stop=["END"])
    assert answer.content == "Thirty gears. "
    assert answer.additional_kwargs == {"kept": 1}


def test_what_a_call_asks_for_reaches_the_handler():
    model, seen = model_of(AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]))
    model.bind(tools=[TOOL]).invoke("q")
    model.bind_tools([TOOL], tool_choice="f", parallel_tool_calls=False).invoke("q")
    model.bind(response_format={"type": "json_object"}, logprobs=True, top_logprobs=2, n=1, guided=3).invoke("q")
    assert [tool["function"]["name"] for tool in seen[0][1]["tools"]] == ["f"]
    assert seen[1][1]["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert seen[1][1]["parallel_tool_calls"] is False
    assert seen[2][1] == {
        "response_format": {"type": "json_object"}, "logprobs": True, "top_logprobs": 2, "n": 1, "guided": 3,
    }  # fmt: skip


def test_a_handler_is_given_merged_messages_and_the_system_message_first():
    model, seen = model_of("Yes")
    turns = [
        HumanMessage("a"),
        HumanMessage("b"),
        SystemMessage("s"),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        ToolMessage("r", tool_call_id="1"),
        AIMessage("c"),
        AIMessage("d"),
        HumanMessage([{"type": "text", "text": "e"}]),
        HumanMessage("f"),
    ]
    assert model.invoke(turns).content == "Yes"
    prompt = seen[0][0]
    assert [(turn["role"], turn["content"]) for turn in prompt] == [
        ("system", "s"),
        ("user", "a\nb"),
        ("assistant", None),
        ("tool", "r"),
        ("assistant", "c\nd"),
        ("user", "e\nf"),
    ]
    assert prompt[2]["tool_calls"][0]["function"]["name"] == "f"
