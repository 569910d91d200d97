"""The Responses API, as OpenAI's own client reads it."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.responses import Response

TOOL = {
    "type": "function",
    "name": "add",
    "description": "Add.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    "strict": None,
}


@pytest.fixture
def client(everything, upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{everything.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["chat", "tgi"])
def test_text(client: openai.OpenAI, model: str) -> None:
    response = client.responses.create(model=model, input="Hello there", instructions="Be brief.", max_output_tokens=50)
    Response.model_validate(response.to_dict())
    assert response.output_text
    assert (response.status, response.instructions) == ("completed", "Be brief.")
    assert response.usage.output_tokens > 0


def test_a_limit_that_was_reached_is_said(client: openai.OpenAI) -> None:
    response = client.responses.create(model="chat", input="one two three four five", max_output_tokens=2)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize("model", ["chat", "tgi"])
def test_stream(client: openai.OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Hello there") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "Hello there" in final.output_text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == final.output_text
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})
    assert [event.type for event in events][:2] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"


@pytest.mark.parametrize("stream", [False, True])
def test_tools(client: openai.OpenAI, upstream, stream: bool) -> None:
    arguments = {"model": "schema", "input": "Add 1.", "tools": [TOOL], "tool_choice": "required"}
    if stream:
        with client.responses.stream(**arguments) as events:
            names = [event.type for event in events]
            response = events.get_final_response()
        assert "response.function_call_arguments.delta" in names
    else:
        response = client.responses.create(**arguments)
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.name == "add"
    history = [
        {"role": "user", "content": [{"type": "input_text", "text": "Add 1."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": call.call_id, "name": "add", "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "2"},
    ]
    client.responses.create(model="chat", input=history)
    sent = upstream.calls[-1].json["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool"]
    assert sent[1]["content"] == "Let me see."
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == call.call_id


def test_structured_answers(client: openai.OpenAI) -> None:
    from pydantic import BaseModel

    class City(BaseModel):
        name: str

    assert isinstance(client.responses.parse(model="schema", input="Rome", text_format=City).output_parsed, City)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"previous_response_id": "resp_1"}, "send the whole conversation"),
        ({"tools": [{"type": "web_search"}]}, "such as OpenAI"),
        ({"input": []}, "must be a text"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "store: false"),
        ({"input": [{"role": "user", "content": [{"type": "computer_screenshot", "file_id": "x"}]}]}, "unknown part"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"include": [[]]}, "include"),
    ],
)
def test_what_only_openai_has_is_refused(client: openai.OpenAI, change: dict, says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.responses.create(**{"model": "chat", "input": "Hi", **change})


def test_an_error_in_the_middle_is_an_event(start) -> None:
    broken = start("models: {m: {endpoint: chat--model-stream-error, handler: openai_chat}}")
    with openai.OpenAI(base_url=broken.url, api_key="x", max_retries=0) as client:
        stream = client.responses.create(model="m", input="Hello there", stream=True)
        events = list(stream)
    assert [event.type for event in events][-2:] == ["response.output_text.delta", "error"]
    assert events[-1].code == "model_stream_error"
