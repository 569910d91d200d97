"""Agents of LangChain and graphs of LangGraph, to their end."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from pydantic import BaseModel, Field

from sagewire.emulator.engines import Call, EngineFailure, Reply, Scripted
from sagewire.errors import ModelError
from sagewire.integrations.langchain import ChatSagemakerEndpoint


class Weather(BaseModel):
    """The weather somewhere."""

    city: str = Field(description="the city")
    sky: str


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is always sunny in {city}."


def chat(endpoint, **settings):
    settings.setdefault("content_handler", "openai_chat")
    return ChatSagemakerEndpoint(endpoint_name=endpoint, **settings)


@pytest.fixture(params=["openai_chat", "tgi"])
def model(request, add):
    endpoint = add(request.param, "schema")
    settings = {"content_handler": "tgi", "prompt_format": "qwen2_5"} if request.param == "tgi" else {}
    return chat(endpoint, **settings)


QUESTION = {"messages": [HumanMessage("What is the weather in Paris?")]}


def test_a_tool_loop(model):
    state = create_agent(model, tools=[get_weather]).invoke(QUESTION)
    kinds = [message.type for message in state["messages"]]
    assert kinds == ["human", "ai", "tool", "ai"]
    assert "sunny in Paris" in state["messages"][-1].text


async def test_an_awaited_tool_loop(model):
    state = await create_agent(model, tools=[get_weather]).ainvoke(QUESTION)
    assert "sunny in Paris" in state["messages"][-1].text


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy, lambda schema: schema])
@pytest.mark.parametrize("tools", [[], [get_weather]])
def test_structured_answers(add, strategy, tools):
    agent = create_agent(chat(add("openai_chat", "schema")), tools=tools, response_format=strategy(Weather))
    state = agent.invoke({"messages": [HumanMessage("The sky in Paris is blue. Give me city and sky.")]})
    assert isinstance(state["structured_response"], Weather)


def test_a_profile_makes_a_bare_schema_a_provider_strategy(add, last_call):
    endpoint = add("openai_chat", "schema")
    create_agent(chat(endpoint), tools=[], response_format=Weather).invoke(
        {"messages": [HumanMessage("The sky in Paris is blue.")]}
    )
    assert last_call(endpoint)["response_format"]["type"] == "json_schema"


def test_messages_stream_out_of_a_graph(model):
    chunks = [
        message
        for message, _ in create_agent(model, tools=[get_weather]).stream(QUESTION, stream_mode="messages")
        if isinstance(message, AIMessageChunk)
    ]
    assert "sunny in Paris" in "".join(chunk.text for chunk in chunks)
    assert any(chunk.tool_call_chunks for chunk in chunks)
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 2


async def test_messages_stream_out_of_an_awaited_graph(model):
    agent = create_agent(model, tools=[get_weather])
    texts = [
        message.text
        async for message, _ in agent.astream(QUESTION, stream_mode="messages")
        if isinstance(message, AIMessageChunk)
    ]
    assert "sunny in Paris" in "".join(texts)
    assert len(texts) > 3


def test_parallel_calls_are_all_answered(add):
    calls = [Call("get_weather", '{"city": "Rome"}', "a"), Call("get_weather", '{"city": "Oslo"}', "b")]
    endpoint = add("openai_chat", Scripted([Reply(calls=calls), "done"]))
    state = create_agent(chat(endpoint), tools=[get_weather]).invoke({"messages": [HumanMessage("?")]})
    results = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert [(result.tool_call_id, result.content) for result in results] == [
        ("a", "It is always sunny in Rome."),
        ("b", "It is always sunny in Oslo."),
    ]


def test_retry_middleware_retries_what_may_pass(add, emulator):
    endpoint = add("openai_chat", Scripted([EngineFailure("busy", 503), "done"]))
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False, on_failure="error")
    agent = create_agent(chat(endpoint, max_retries=0), tools=[], middleware=[retry])
    assert agent.invoke({"messages": [HumanMessage("?")]})["messages"][-1].content == "done"


def test_retry_middleware_leaves_what_will_not_pass(add, emulator):
    endpoint = add("openai_chat", Scripted([EngineFailure("no", 400), "done"]))
    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0, jitter=False, on_failure="error")
    agent = create_agent(chat(endpoint, max_retries=0), tools=[], middleware=[retry])
    with pytest.raises(ModelError, match="no"):
        agent.invoke({"messages": [HumanMessage("?")]})
    assert len([call for call in emulator.calls if call.endpoint == endpoint]) == 1


def test_summaries_start_from_reported_usage(add):
    endpoint = add("openai_chat", Scripted([Reply("first", usage=(5000, 10)), "a summary", "second"]))
    model = chat(endpoint)
    middleware = SummarizationMiddleware(model, trigger=("tokens", 4000), keep=("messages", 1))
    agent = create_agent(model, tools=[], middleware=[middleware])
    state = agent.invoke({"messages": [HumanMessage("one")]})
    state = agent.invoke({"messages": [*state["messages"], HumanMessage("two")]})
    assert "a summary" in state["messages"][0].content
    assert state["messages"][-1].content == "second"
