"""Agents of LangChain and graphs of LangGraph, to their end."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from pydantic import BaseModel, Field

from sagewire.emulator.engines import Call, EngineFailure, Reply, Scripted
from sagewire.errors import ModelError, UnsupportedFeature
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


@pytest.mark.parametrize(
    ("container", "options"),
    [
        ("openai_chat", {"content_handler": "openai_chat"}),
        ("tgi_chat", {"content_handler": "tgi_chat"}),
        ("tgi", {"content_handler": "tgi", "prompt_format": "hermes_3"}),
    ],
)
def test_tools_run_before_an_agents_structured_answer(add, last_call, container, options):
    answer = '{"city": "Paris", "sky": "blue"}'
    calls = [("get_weather", '{"city": "Paris"}'), ("Weather", answer)]
    if container == "tgi":
        replies = [Reply(f'{{"name": "{name}", "arguments": {arguments}}}') for name, arguments in calls]
    else:
        replies = [Reply(calls=[Call(name, arguments, f"c{n}")]) for n, (name, arguments) in enumerate(calls)]
    model = ChatSagemakerEndpoint(endpoint_name=add(container, Scripted(replies)), **options)
    state = create_agent(model, tools=[get_weather], response_format=Weather).invoke(QUESTION)
    assert [message.type for message in state["messages"]][:4] == ["human", "ai", "tool", "ai"]
    assert state["structured_response"] == Weather(city="Paris", sky="blue")


WRITTEN = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


@pytest.mark.parametrize(
    ("container", "family", "written"),
    [
        ("tgi", "mistral_v3", f"[TOOL_CALLS] [{WRITTEN}]"),
        ("tgi", "granite_3_3", f"<|tool_call|>[{WRITTEN}]"),
        ("hf_pipeline", "hermes_3", f"<tool_call>\n{WRITTEN}\n</tool_call>"),
        ("hf_pipeline", "lfm2", '<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|>'),
    ],
)
def test_an_agent_goes_on_although_its_family_drops_calls_or_wants_short_ids(
    add, last_call, container, family, written
):
    endpoint = add(container, Scripted([written, "Sunny.", written, "Still sunny."]))
    model = ChatSagemakerEndpoint(endpoint_name=endpoint, content_handler=container, prompt_format=family)
    agent = create_agent(model, tools=[get_weather], system_prompt="Be brief.")
    state = agent.invoke(QUESTION)
    state = agent.invoke({"messages": [*state["messages"], HumanMessage("And now?")]})
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"] * 2
    assert state["messages"][-1].text == "Still sunny."
    assert last_call(endpoint)["inputs"].count("sunny in Paris") == 2


def test_a_pipeline_cannot_be_held_to_a_schema_and_says_what_can(add):
    model = chat(add("hf_pipeline"), content_handler="hf_pipeline", prompt_format="qwen2_5")
    agent = create_agent(model, tools=[get_weather], response_format=ProviderStrategy(Weather))
    with pytest.raises(UnsupportedFeature, match=r"ToolStrategy\(Schema\)"):
        agent.invoke(QUESTION)


CUT = '{"city": "Paris'


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("arguments", [CUT, '{"city": ["Paris', '{"city": "Paris"}}', "Paris"])
def test_a_tool_never_runs_with_half_of_its_arguments(add, streamed, arguments):
    ran = []

    def look(city: str) -> str:
        """Look."""
        ran.append(city)
        return "ok"

    replies = [Reply(calls=[Call("look", arguments, "c1")], finish="length"), Reply("Done.")]
    agent = create_agent(chat(add("openai_chat", Scripted(replies))), [look])
    if streamed:
        pieces = [message for message, _ in agent.stream(QUESTION, stream_mode="messages")]
        whole = pieces[0]
        for piece in pieces[1:]:
            whole += piece
    else:
        whole = agent.invoke(QUESTION)["messages"][1]
    assert not ran
    assert [call["name"] for call in whole.invalid_tool_calls] == ["look"]
    assert whole.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("arguments", ["null", '"null"', "", "[]", "{}"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_without_parameters_runs_however_its_arguments_are_written(add, arguments, streamed):
    ran = []

    def clock() -> str:
        """Tell the time."""
        ran.append(1)
        return "12:00"

    replies = [Reply(calls=[Call("clock", arguments, "c1")]), Reply("Noon.")]
    agent = create_agent(chat(add("openai_chat", Scripted(replies))), [clock])
    if streamed:
        list(agent.stream(QUESTION, stream_mode="messages"))
    else:
        assert agent.invoke(QUESTION)["messages"][-1].text == "Noon."
    assert ran == [1]


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
