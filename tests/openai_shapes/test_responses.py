"""Objects and events of the Responses API, judged by the types of OpenAI's own client."""

import itertools
from typing import Any

from openai.types.responses import Response
from pydantic import TypeAdapter

from sagewire.openai_shapes import ResponseEvents, response_arguments, response_object
from sagewire.streaming.accumulate import fold
from sagewire.types import (
    Choice,
    Delta,
    FinishDelta,
    Reply,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageDelta,
)
from tests.cases import each

DELTAS: list[Delta] = [
    ThinkingDelta("Let me "),
    ThinkingDelta("see."),
    TextDelta("I will "),
    TextDelta("add."),
    ToolCallDelta(0, "c0", "add", '{"a":'),
    ToolCallDelta(0, arguments="1}"),
    ToolCallDelta(1, "c1", "never", "{"),
    ToolCallDelta(1, cancelled=True),
    ToolCallDelta(2, "c2", "sub", "{}"),
    FinishDelta("tool_calls"),
    UsageDelta(Usage(1, 2, 3, 4)),
]
BODY = {"instructions": "Be kind.", "tools": [], "temperature": 0.5, "metadata": {"a": "b"}}


def kinds(response: Response) -> list[tuple[str, str]]:
    found = []
    for item in response.output:
        if item.type == "function_call":
            found.append((item.name, item.arguments))
        else:
            found.append((item.type, "".join(part.text for part in item.content)))
    return found


def test_whole_and_streamed_say_the_same() -> None:
    whole = Response.model_validate(response_object(fold(DELTAS), BODY, model="m", created=1))
    events = ResponseEvents(BODY, model="m", created=1)
    seen = [event for delta in DELTAS for event in events.encode(delta)] + events.close()
    streamed = Response.model_validate(seen[-1]["response"])
    expected = [("reasoning", "Let me see."), ("message", "I will add."), ("add", '{"a":1}'), ("sub", "{}")]
    assert kinds(whole) == kinds(streamed) == expected
    assert whole.usage == streamed.usage
    assert (whole.status, whole.instructions, whole.metadata) == ("completed", "Be kind.", {"a": "b"})
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    # Each item is added, written and done, one after the other.
    assert [event["output_index"] for event in seen if event["type"] == "response.output_item.added"] == [0, 1, 2, 3]
    assert [event["item"] for event in seen if event["type"] == "response.output_item.done"] == seen[-1]["response"][
        "output"
    ]


def test_every_event_is_one_that_the_client_knows() -> None:
    from openai.types.responses import ResponseStreamEvent

    adapter = TypeAdapter(ResponseStreamEvent)
    events = ResponseEvents(BODY, model="m")
    seen = [event for delta in DELTAS for event in events.encode(delta)] + events.close() + events.fail({"code": "x"})
    for event in seen[:-1]:
        assert type(adapter.validate_python(event)).__name__.startswith("Response")
    assert seen[-1]["type"] == "error"


CALLS = {
    "in turns": [(0, "a", "f", ""), (1, "b", "g", ""), (0, None, None, '{"x":'), (1, None, None, '{"y":'),
                 (0, None, None, "1}"), (1, None, None, "2}")],
    "the first late": [(0, "a", "f", ""), (1, "b", "g", '{"y":2}'), (0, None, None, '{"x":1}')],
    "blanks late": [(0, "a", "f", '{"x":1}'), (1, "b", "g", '{"y":'), (0, None, None, "\n"), (1, None, None, "2}")],
    "one after the other": [(0, "a", "f", '{"x":'), (0, None, None, "1}"), (1, "b", "g", '{"y":2}')],
}  # fmt: skip


@each(("pieces", "between"), itertools.product(CALLS.values(), ([], [ThinkingDelta("Hm.")], [TextDelta("And")])))
def test_calls_whose_pieces_come_in_turns_stay_apart(pieces: Any, between: list[Delta]) -> None:
    deltas = [delta for piece in pieces for delta in (ToolCallDelta(*piece), *between)]
    events = ResponseEvents(BODY, model="m", created=1, calls_are_final=True)
    seen = [event for delta in [*deltas, FinishDelta("tool_calls")] for event in events.encode(delta)] + events.close()
    output = Response.model_validate(seen[-1]["response"]).output
    called = [item for item in output if item.type == "function_call"]
    assert [(item.call_id, item.name, item.arguments) for item in called] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", '{"y":2}'),
    ]
    # Each item has one place from its beginning to its end.
    places = {event["item"]["id"]: event["output_index"] for event in seen if event["type"].endswith("item.added")}
    assert sorted(places.values()) == list(range(len(output)))
    assert [places[item.id] for item in output] == list(range(len(output)))
    done = {event["item"]["id"]: event["output_index"] for event in seen if event["type"].endswith("item.done")}
    assert done == places


def test_an_empty_answer_and_one_that_was_cut() -> None:
    events = ResponseEvents({}, model="m")
    (message,) = events.close()[-1]["response"]["output"]
    assert message["content"][0]["text"] == ""
    cut = response_object(
        Reply((Choice("a", finish_reason="length", logprobs=(TokenLogprob("a", -1.0),)),)), {}, model="m"
    )
    assert cut["incomplete_details"] == {"reason": "max_output_tokens"}
    assert Response.model_validate(cut).output[0].content[0].logprobs[0].logprob == -1.0


def test_a_whole_conversation_as_input() -> None:
    arguments = response_arguments(
        {
            "model": "m",
            "instructions": "Be kind.",
            "input": [
                {"role": "user", "content": "Add."},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"a":1}'},
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "2"}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "Two."}]},
                {"role": "assistant", "content": "Really."},
                {"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}]},
            ],
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
            "reasoning": {"effort": "low"},
            "tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "add"},
            "store": True,
            "top_k": 3,
        }
    )
    messages = arguments["messages"]
    roles = [message.role for message in messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "assistant", "user"]
    assert messages[2].thinking == "Hm."
    assert messages[2].tool_calls == (ToolCall("c", "add", '{"a":1}'),)
    assert messages[3].text == "2"
    assert messages[6].content[0].detail == "low"
    assert arguments["response_format"]["json_schema"]["name"] == "n"
    assert (arguments["reasoning_effort"], arguments["tool_choice"], arguments["top_k"]) == ("low", "add", 3)


def test_a_choice_of_some_tools_beside_tools_of_openais_platform() -> None:
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("a", "b")]
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "b"}, {"type": "web_search"}],
    }
    body = {"model": "m", "input": "Hi", "tools": [*tools, {"type": "web_search"}], "tool_choice": choice}
    skipped: list[str] = []
    arguments = response_arguments(body, skipped)
    assert [tool.name for tool in arguments["tools"]] == ["b"]
    assert (arguments["tool_choice"], skipped) == ("required", ["web_search"])


def test_functions_are_tools_however_their_type_is_written() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    for tool in ({"name": "f", "parameters": schema}, {"type": "custom", "name": "f", "input_schema": schema}):
        assert response_arguments({"input": "Hi", "tools": [tool]})["tools"][0].parameters == schema


def test_items_of_openais_platform_and_free_text_tools_are_read_in_a_history() -> None:
    arguments = response_arguments(
        {
            "model": "m",
            "input": [
                {"type": "web_search_call", "id": "w", "status": "completed"},
                {"type": "mcp_list_tools", "id": "l", "server_label": "s", "tools": []},
                {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
                {"role": "user", "content": [
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}]},
            ],
        }
    )  # fmt: skip
    called, answered, asked = arguments["messages"]
    assert called.tool_calls == (ToolCall("c", "sql", '{"input": "select 1"}'),)
    assert (answered.tool_call_id, answered.text) == ("c", "1")
    assert asked.content[0].value == {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}
