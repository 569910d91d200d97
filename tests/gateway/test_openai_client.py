"""The gateway as OpenAI's own Python client sees it."""

from collections.abc import Iterator

import openai
import pytest

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
HI = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def client(everything, upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{everything.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["chat", "tgi", "gpt-4o"])
def test_chat(client: openai.OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=HI, max_tokens=20)
    assert "Hello there" in reply.choices[0].message.content
    assert reply.model == model
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens > 0
    assert reply._request_id in reply.id


@pytest.mark.parametrize("model", ["chat", "tgi"])
def test_stream_with_usage(client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model, messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "Hello there" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_helper_and_tools(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="schema", messages=HI, tools=[TOOL], tool_choice="required") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    (call,) = final.choices[0].message.tool_calls
    assert (call.function.name, final.choices[0].finish_reason) == ("add", "tool_calls")
    assert set(call.function.parsed_arguments or {"a": 0, "b": 0}) == {"a", "b"}


def test_tools_whole_and_their_results(client: openai.OpenAI, upstream) -> None:
    reply = client.chat.completions.create(
        model="schema", messages=HI, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "add"}}
    )
    message = reply.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "3"}
    client.chat.completions.create(model="chat", messages=[*HI, message, result])
    sent = upstream.calls[-1].json["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


def test_structured_answers(client: openai.OpenAI) -> None:
    from pydantic import BaseModel

    class City(BaseModel):
        name: str
        inhabitants: int

    reply = client.chat.completions.parse(model="schema", messages=HI, response_format=City)
    assert isinstance(reply.choices[0].message.parsed, City)


def test_provider_fields_pass_through(client: openai.OpenAI, upstream) -> None:
    client.chat.completions.create(model="chat", messages=HI, extra_body={"top_k": 1, "guided_regex": "a+"})
    assert upstream.calls[-1].json["top_k"] == 1
    assert upstream.calls[-1].json["guided_regex"] == "a+"
    assert "user" not in upstream.calls[-1].json


def test_completions(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="tgi", prompt=["one", "two"], echo=True, max_tokens=5)
    assert [choice.text for choice in reply.choices] == ["oneone", "twotwo"]
    chunks = list(client.completions.create(model="tgi", prompt=["one", "two"], stream=True, echo=True))
    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == {0: "oneone", 1: "twotwo"}


def test_embeddings_agree_in_both_encodings(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="embedding", input=["a", "b"])
    plain = client.embeddings.create(model="embedding", input=["a", "b"], encoding_format="float")
    assert len(packed.data) == 2
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding, rel=1e-6)


def test_models(client: openai.OpenAI) -> None:
    assert {"chat", "gpt-4o", "tgi"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_unknown_model_lists_the_known_ones(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"did you mean 'chat'.*tgi") as caught:
        client.chat.completions.create(model="chta", messages=HI)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_bad_requests_name_the_field(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=HI, temperature="hot")  # type: ignore[arg-type]
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError, match="cannot express"):
        client.chat.completions.create(model="tgi", messages=HI, n=3, presence_penalty=1.0)


def test_errors_before_the_first_byte_have_a_status_when_streaming(client: openai.OpenAI, start) -> None:
    broken = start("models: {m: {endpoint: chat--container-error-400, handler: openai_chat}}")
    with (
        openai.OpenAI(base_url=broken.url, api_key="x", max_retries=0) as other,
        pytest.raises(openai.BadRequestError),
    ):
        list(other.chat.completions.create(model="m", messages=HI, stream=True))


def test_errors_after_the_first_byte_are_events(start) -> None:
    broken = start("models: {m: {endpoint: chat--model-stream-error, handler: openai_chat}}")
    chunks = []
    with openai.OpenAI(base_url=broken.url, api_key="x", max_retries=0) as other:
        stream = other.chat.completions.create(model="m", messages=HI, stream=True)
        with pytest.raises(openai.APIError) as caught:
            chunks.extend(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert caught.value.code == "model_stream_error"


def test_an_abort_cancels_the_call_upstream(client: openai.OpenAI, everything, until) -> None:
    words = [{"role": "user", "content": "word " * 200}]
    stream = client.chat.completions.create(model="slow", messages=words, stream=True)
    next(iter(stream))
    (deployment,) = everything.gateway.router.models["slow"].deployments
    assert deployment.in_flight == 1
    stream.close()
    until(lambda: deployment.in_flight == 0)
    assert deployment.breaker.state == "closed"


def test_an_abort_before_the_first_byte_cancels_too(everything, upstream, start, until) -> None:
    waiting = start("models: {m: {endpoint: chat--never-answer, handler: openai_chat}}")
    (deployment,) = waiting.gateway.router.models["m"].deployments
    for streamed in (False, True):
        client = openai.OpenAI(base_url=waiting.url, api_key="x", max_retries=0, timeout=0.3)
        with client, pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="m", messages=HI, stream=streamed)
        until(lambda: deployment.in_flight == 0)


async def test_async_client_many_at_once(everything, upstream) -> None:
    import asyncio

    async with openai.AsyncOpenAI(base_url=everything.url, api_key="x", max_retries=0) as client:

        async def ask(number: int) -> str:
            stream = await client.chat.completions.create(
                model="chat" if number % 2 else "tgi",
                messages=[{"role": "user", "content": f"number {number} please"}],
                stream=True,
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

        answers = await asyncio.gather(*map(ask, range(40)))
    # Every caller got its own answer.
    assert all(f"number {number} please" in answer for number, answer in enumerate(answers))
